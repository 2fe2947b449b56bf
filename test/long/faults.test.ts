// At least 200 faults, of every kind, over real training: messages lost and doubled, slow and broken wires, processes stopped,
// killed and started again. Every fault is asserted to have happened, every run to end with the same bytes and a ledger
// that holds. POCKETFLEET_SEED repeats a schedule. `npm run soak` runs a thousand, and a hundred over searches.

import assert from 'node:assert/strict';
import test from 'node:test';
import { fight } from '../fault/battle.ts';
import { dealDeck } from '../fault/deck.ts';
import { training } from '../fault/disturbed.ts';
import { seedOf } from '../fault/seed.ts';

const FAULTS = 200;

test('a deck is determined by its seed, has every kind, and everybody who is taken away comes back', () => {
  for (const size of [10, 200, 1000]) {
    assert.deepEqual(dealDeck(5, size), dealDeck(5, size));
    assert.notDeepEqual(dealDeck(5, size), dealDeck(6, size));
    const deck = dealDeck(5, size);
    const count = (...kinds: string[]) => deck.filter(({ kind }) => kinds.includes(kind)).length;
    assert.ok(deck.length >= size);
    assert.equal(count('join'), count('kill', 'leave'));
    for (const kind of [
      'drop',
      'duplicate',
      'slow',
      'cut',
      'deaf',
      'pause',
      'freeze',
      'broker',
      'coordinator',
    ])
      assert.ok(count(kind) >= 1, kind);
  }
});

test(`${FAULTS} faults over real training change no byte of its result, and every sample is counted once`, async (t) => {
  const seed = seedOf(1);
  t.diagnostic(`POCKETFLEET_SEED=${seed}`);
  const outcome = await fight({
    seed,
    faults: FAULTS,
    kinds: [training('{ kind: every-step }')],
    log: (line) => t.diagnostic(line),
  });
  t.diagnostic(JSON.stringify(outcome));
  assert.ok(outcome.total >= FAULTS, `${outcome.total} faults`);
  assert.ok(outcome.runs >= 1);
});
