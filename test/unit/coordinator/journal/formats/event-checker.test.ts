// Events are refused exactly when zod refuses their shape, whichever way they are looked at.

import { equal } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { z } from 'zod';
import { eventChecker } from '../../../../../coordinator/journal/formats/event-checker.ts';

const SHAPE = {
  runId: z.string(),
  name: z.string().min(2),
  step: z.number(),
  stage: z.int(),
  members: z.array(z.object({ workerId: z.string() })),
  state: z.enum(['done', 'failed']).optional(),
};

test('an event is refused when its shape says so, and the phrase names every wrong field', () => {
  const refusalOf = eventChecker({ 'a.b': SHAPE });
  const whole = z.object({ atMs: z.number(), ...SHAPE });
  const fine = { atMs: 1, runId: 'r', name: 'ab', step: 0.5, stage: 2, members: [{ workerId: 'w' }] };
  const longer = { kind: 'a.b', ...fine, more: 1 };
  equal(refusalOf([longer]), undefined);
  const value = fc.constantFrom<unknown>('', 'ab', 1, 1.5, Number.NaN, null, undefined, [], [{}], 'done');
  const change = fc.dictionary(fc.constantFrom(...Object.keys(whole.shape)), value, { maxKeys: 2 });
  fc.assert(
    fc.property(change, (wrong) => {
      const event = { kind: 'a.b', ...fine, ...wrong };
      const fields = whole.safeParse(event).error?.issues.map(({ path }) => path.join('.'));
      const phrase = fields && `has a a.b event with a wrong ${fields.join(', ')}`;
      equal(refusalOf([event])?.phrase, phrase);
    }),
  );
});
