import assert from 'node:assert/strict';
import test from 'node:test';
import { calmMoves, liveThrough } from './life.ts';

/** The first life here; `npm run soak:control -- --lives 10` has minutes of them. */
const SEED = 62;
/** Lives until each kind of fault and of users' commands must have come. A short life may lack one. */
const LIVES_MAX = 4;
const TRIALS = 6;

test('a search makes the same moves whoever is paused, preempted and killed on the way, and every run ends once', async () => {
  const expected = await calmMoves(TRIALS);
  const total = new Map<string, number>();
  const missing = () => [...total].flatMap(([kind, count]) => (count === 0 ? [kind] : []));
  for (let lives = 0; lives === 0 || (missing().length > 0 && lives < LIVES_MAX); lives++) {
    const counts = await liveThrough(SEED + lives, TRIALS, expected);
    for (const [kind, count] of Object.entries(counts)) total.set(kind, (total.get(kind) ?? 0) + count);
  }
  assert.deepEqual(missing(), [], 'each kind has come');
});
