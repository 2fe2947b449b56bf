// When a journal that cannot be read is looked at again.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { BEGINNING } from '../../../../coordinator/journal/chain.ts';
import { createJournalIndex } from '../../../../coordinator/journal/journal-index.ts';
import { damageAt } from '../../../../coordinator/journal/journal-reader.ts';
import { openJournalState } from '../../../../coordinator/journal/opening.ts';
import type { Event } from '../../../../coordinator/model/events.ts';
import { FleetError } from '../../../../core/errors.ts';

const started: Event = { kind: 'coordinator.started', epoch: 1, version: '1', atMs: 1 };

/** A journal whose n-th look is `looks[n]`: what it looks like from outside, and what reading it gives. */
async function opened(looks: readonly { readonly print: string; readonly fails?: FleetError }[]) {
  let look = 0;
  let readings = 0;
  const troubles: string[] = [];
  const now = () => looks[Math.min(look, looks.length - 1)]!;
  const state = await openJournalState({
    journal: {
      stream: 'PF_X_JOURNAL',
      place: BEGINNING,
      index: createJournalIndex(),
      sequence: 1,
      prepare: async () => undefined,
      fingerprint: async () => now().print,
      async *replay() {
        readings += 1;
        yield [started];
        const { fails } = now();
        if (fails !== undefined) throw fails;
      },
    },
    clock: {
      now: () => 0,
      monotonic: () => 0,
      sleep: async () => {
        look += 1;
      },
    },
    log: pino({ level: 'silent' }),
    prepare: async () => undefined,
    signal: new AbortController().signal,
    reported: undefined,
    onTrouble: (error, readable) => void troubles.push(`${error.code} ${readable?.events}`),
  });
  return { state, readings, troubles };
}

test('a damaged journal is read again when something about it has changed, and its readable part is shown', async () => {
  const fails = damageAt('PF_X_JOURNAL', 2, 'message 2 is missing');
  const damaged = { print: 'a', fails };
  const { state, readings, troubles } = await opened([damaged, damaged, damaged, { print: 'b' }]);
  assert.equal(state?.events, 1);
  assert.equal(readings, 2, 'three looks at the same damage read it once');
  assert.deepEqual(troubles, ['dataLoss 1']);
});

test('a journal that is away is read again at every look; an error that no look changes ends it', async () => {
  const away = { print: 'a', fails: new FleetError('unavailable', 'the broker is away') };
  const { readings, troubles } = await opened([away, away, { print: 'a' }]);
  assert.equal(readings, 3);
  assert.deepEqual(troubles, ['unavailable undefined', 'unavailable undefined']);
  const fails = new FleetError('unauthenticated', 'the token is wrong');
  await assert.rejects(opened([{ print: 'a', fails }]), { code: 'unauthenticated' });
});
