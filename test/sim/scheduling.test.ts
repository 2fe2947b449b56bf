import assert from 'node:assert/strict';
import test from 'node:test';
import { calmMoves, liveThrough } from './life.ts';

/** One seed here; `npm run soak:control -- --lives 10` has minutes of them. */
const SEED = 62;
const TRIALS = 6;

test('a search makes the same moves whoever is paused, preempted and killed on the way, and every run ends once', async () => {
  const counts = await liveThrough(SEED, TRIALS, await calmMoves(TRIALS));
  for (const [kind, count] of Object.entries(counts)) assert.ok(count > 0, `no ${kind}`);
});
