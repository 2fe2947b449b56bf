// Accuracy of sub-networks with inherited weights, with passes answered by formulas; the networks themselves are
// checked with the fixtures (`npm run test:golden`).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Layout } from '../../../core/nn/layout.ts';
import {
  comparisonSample,
  type InheritedPasses,
  inheritedAccuracy,
  rankAgreement,
} from '../../../core/search/inherited.ts';

const layout = { runningCount: 2 } as Layout;
const alphas = Float32Array.of(1, 2, 3);

test('statistics are the mean over the calibration batches, and accuracy counts the images of all batches', async () => {
  const seen: Float32Array[] = [];
  const passes: InheritedPasses = {
    // Gradients of the three alphas, two statistics, the loss.
    statistics: (given, batch) => {
      assert.equal(given, alphas);
      return Float32Array.of(9, 9, 9, batch, 10 * batch, 7);
    },
    logits: async (_, running, batch) => {
      seen.push(running);
      // Of three classes: image 0 is right, image 1 ties between 0 and 2, so the first counts.
      return batch === 0
        ? { logits: Float32Array.of(0, 5, 1, 4, 0, 4), labels: [1, 2] }
        : { logits: Float32Array.of(1, 0, 3), labels: [2] };
    },
  };
  const accuracy = await inheritedAccuracy({ alphas, layout, passes, calibration: 4, batches: 2 });
  assert.equal(accuracy, 2 / 3);
  assert.deepEqual(seen, [Float32Array.of(1.5, 15), Float32Array.of(1.5, 15)]);
});

test('the sample for the comparison covers the ranking, with the best and the worst', () => {
  const accuracies = [0.1, 0.9, 0.5, 0.7, 0.3];
  assert.deepEqual(comparisonSample(accuracies, 3), [1, 2, 0]);
  assert.deepEqual(comparisonSample(accuracies, 9), [1, 3, 2, 4, 0]);
  assert.deepEqual(comparisonSample(accuracies, 1), [1]);
  const many = Array.from({ length: 1000 }, (_, i) => ((i * 619) % 1000) / 1000);
  const sample = comparisonSample(many, 12);
  assert.equal(new Set(sample).size, 12);
  const ranks = sample.map((place) => many[place]!);
  for (let i = 1; i < ranks.length; i++)
    assert.ok(Math.abs(ranks[i - 1]! - ranks[i]! - 999 / 11 / 1000) < 2e-3);
});

test('agreement is Kendall tau with its interval', () => {
  const inherited = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
  const { tau, low, high, candidates } = rankAgreement(inherited, [1, 2, 3, 4, 6, 5]);
  // One of 15 pairs is the other way round.
  assert.ok(Math.abs(tau - 13 / 15) < 1e-12);
  assert.ok(low < tau && tau < high && candidates === 6);
});
