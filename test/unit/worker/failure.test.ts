import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODES, type Code, FleetError } from '../../../core/errors.ts';
import { causeOf } from '../../../worker/failure.ts';

const cause = (code: Code) => causeOf(new FleetError(code, 'x'));

test('numbers that are not finite are numeric, exhausted memory is that, data and spec are the user’s', () => {
  assert.equal(cause('outOfRange'), 'numeric');
  assert.equal(cause('resourceExhausted'), 'out_of_memory');
  assert.equal(cause('invalidArgument'), 'user');
  assert.equal(cause('notFound'), 'user');
});

test('what another try elsewhere may cure is infrastructure', () => {
  const codes = Object.keys(CODES) as Code[];
  const others = codes.filter((code) => cause(code) === 'infrastructure');
  for (const code of ['unavailable', 'internal', 'dataLoss', 'deadlineExceeded', 'aborted'] as const)
    assert.ok(others.includes(code), code);
});
