// The scores of a network as a worker computes them, against those of the library one by one.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { initialWeights } from '../../../core/nn/init.ts';
import { layoutOf } from '../../../core/nn/layout.ts';
import { scoreNetwork } from '../../../core/screening/score.ts';
import { synflow } from '../../../core/screening/synflow.ts';
import { SCORES } from '../../../core/spec/screening.ts';
import { tf } from '../../../core/tensor/tf.ts';
import { CLASSES, LOSS, SCREENING_CASES, screeningInputs } from '../../golden/screening-cases.ts';

test('a network has all four scores, in the order asked for, and leaves no tensor behind', () => {
  const one = SCREENING_CASES[0]!;
  const { network, layout, batches } = screeningInputs(one);
  const request = {
    network: one.network,
    seed: one.seed,
    loss: { kind: 'arcface', ...LOSS } as const,
    batches,
    classes: CLASSES,
  };
  const before = tf.memory().numTensors;
  const scored = scoreNetwork({ ...request, scores: SCORES });
  assert.equal(tf.memory().numTensors, before);
  assert.deepEqual(
    scored.map(({ score }) => score),
    [...SCORES],
  );
  for (const { score, value } of scored) assert.ok(Number.isFinite(value), score);
  const weights = initialWeights(layoutOf(network, { classes: CLASSES }), one.seed);
  assert.equal(scored[0]!.value, synflow(network, layout, weights.subarray(0, layout.parameterCount)));

  const without = scoreNetwork({ ...request, scores: ['zico', 'synflow'], batches: [] });
  assert.equal(without[0]!.reason, 'zico needs images, and got none');
  assert.equal(without[1]!.value, scored[0]!.value);
});
