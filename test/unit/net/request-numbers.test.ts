// Numbers of requests: what a double may hold and no stage or sequence is.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertRequestBounded } from '../../../core/text/wire-text.ts';

test('a count is a whole number that a double holds, and a rate is a number', () => {
  for (const after of [0, 7, Number.MAX_SAFE_INTEGER]) assertRequestBounded({ after });
  for (const afterSequence of [Number.NaN, Number.POSITIVE_INFINITY, -1, 0.5, 2 ** 53])
    assert.throws(() => assertRequestBounded({ afterSequence }), {
      code: 'invalidArgument',
      message: `after_sequence: a whole number from 0 to 9007199254740991 is expected, found ${afterSequence}`,
    });
  for (const rateHz of [-1, 0, 0.25]) assertRequestBounded({ rateHz });
  assert.throws(() => assertRequestBounded({ rateHz: Number.NaN }), {
    message: 'rate_hz: a number is expected, found NaN',
  });
});
