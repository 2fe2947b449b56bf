// What a batch of logits counts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scoreLogits } from '../../../core/search/logits-score.ts';

test('losses are cross entropies, and of equal logits the first label is the answer', () => {
  // Image 0: two classes with equal logits, so -log(1/2) = log 2, and the answer is class 0, which is right.
  // Image 1: the odds are 3 to 1 for class 0 and the label is 1, so log 4.
  const logits = Float32Array.of(5, 5, Math.log(3), 0);
  const { loss, right } = scoreLogits(logits, [0, 1]);
  assert.ok(Math.abs(loss - Math.log(8)) < 1e-6, `${loss}`);
  assert.equal(right, 1);
  assert.equal(scoreLogits(logits, [1, 1]).right, 0);
});

test('only the first images count where a batch has more than the epoch', () => {
  const logits = Float32Array.of(0, 0, 0, 9);
  assert.deepEqual(scoreLogits(logits, [0, 1], 1), { loss: Math.log(2), right: 1 });
  assert.deepEqual(scoreLogits(logits, [0, 1], 0), { loss: 0, right: 0 });
});

test('large logits do not overflow', () => {
  const { loss } = scoreLogits(Float32Array.of(1e4, -1e4), [1]);
  assert.equal(loss, 2e4);
});
