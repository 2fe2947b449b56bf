// How much of refused calls reaches the journal.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createAccessJournal } from '../../../../coordinator/api/access-journal.ts';
import type { Input } from '../../../../coordinator/decisions/inputs.ts';
import { type Clock, systemClock } from '../../../../core/clock.ts';
import { FleetError } from '../../../../core/errors.ts';
import { createLogger } from '../../../../core/log.ts';
import { createTokenBook } from '../../../../core/net/token-book.ts';
import { until } from '../../../support/processes.ts';

function journal(t: TestContext, submit: (input: Input) => Promise<undefined>, clock: Clock = systemClock) {
  const book = createTokenBook({ token: 'of-this-test' });
  const log = createLogger({ program: 'test', level: 'silent' });
  const access = createAccessJournal({ driver: { leads: true, submit }, book, clock, log });
  t.after(() => {
    access.close();
    book.close();
  });
  return access;
}

test('refused calls are one input of at most sixteen kinds, and the next one comes a minute later', async (t) => {
  const inputs: Input[] = [];
  let nowMs = 1_000_000;
  const clock: Clock = { ...systemClock, monotonic: () => nowMs };
  const access = journal(
    t,
    async (input) => {
      inputs.push(input);
      return undefined;
    },
    clock,
  );
  const flood = () => {
    for (let i = 0; i < 10_000; i++) access.refused({ method: `Method${i % 20}`, reason: 'unknown' });
  };
  flood();
  await until('the first input', () => inputs.length === 1);
  const [first] = inputs as Extract<Input, { kind: 'refusals' }>[];
  assert.deepEqual(
    [first!.refusals.length, first!.refusals[0]],
    [16, { method: 'Method0', reason: 'unknown', count: 500 }],
  );
  assert.equal(first!.others, 4 * 500);
  // A minute has passed but for half a second: the next input comes then, and not before.
  nowMs += 59_500;
  flood();
  assert.equal(inputs.length, 1);
  await until('the second input', () => inputs.length === 2);
});

test('a journal that takes nothing costs the event and nothing else', async (t) => {
  let refused = 0;
  const access = journal(t, async () => {
    refused += 1;
    throw new FleetError('unavailable', 'another coordinator leads');
  });
  access.refused({ method: 'Submit', reason: 'none' });
  await until('it was tried', () => refused === 1);
  access.refused({ method: 'Submit', reason: 'none' });
});
