// Sub-networks with inherited weights: their statistics and the candidates that are trained for comparison. The networks
// themselves are checked with the fixtures (`npm run test:golden`).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { calibratedStatistics, comparisonRanks, rankAgreement } from '../../../core/search/inherited.ts';

test('statistics are the mean over the calibration batches, summed in double precision', async () => {
  const seen: number[] = [];
  const running = await calibratedStatistics(4, async (batch) => {
    seen.push(batch);
    // The second one loses its last digits in a sum of float32.
    return Float32Array.of(batch, batch === 0 ? 2 ** 24 : 1);
  });
  assert.deepEqual(seen, [0, 1, 2, 3]);
  assert.deepEqual(running, Float32Array.of(1.5, (2 ** 24 + 3) / 4));
  assert.deepEqual(await calibratedStatistics(1, async () => Float32Array.of(7)), Float32Array.of(7));
});

test('the sample for the comparison covers the ranking in equal steps, with the best and the worst', () => {
  assert.deepEqual(comparisonRanks(5, 3), [0, 2, 4]);
  assert.deepEqual(comparisonRanks(5, 9), [0, 1, 2, 3, 4]);
  assert.deepEqual(comparisonRanks(5, 1), [0]);
  assert.deepEqual(comparisonRanks(0, 12), []);
  const ranks = comparisonRanks(1000, 12);
  assert.equal(new Set(ranks).size, 12);
  for (let i = 1; i < ranks.length; i++) assert.ok(Math.abs(ranks[i]! - ranks[i - 1]! - 999 / 11) < 1);
});

test('agreement is Kendall tau with its interval', () => {
  const inherited = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
  const { tau, low, high, candidates } = rankAgreement(inherited, [1, 2, 3, 4, 6, 5]);
  // One of 15 pairs is the other way round.
  assert.ok(Math.abs(tau - 13 / 15) < 1e-12);
  assert.ok(low < tau && tau < high && candidates === 6);
});
