// Claims about core/optim/outer.ts: the outer step against PyTorch's Nesterov SGD written value by value, and what a round of
// one shard and one step is.

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { FleetError } from '../../../core/errors.ts';
import { buildNetwork } from '../../../core/nn/build.ts';
import { initialRunning, initialWeights } from '../../../core/nn/init.ts';
import { layoutOf } from '../../../core/nn/layout.ts';
import { applyOuterStep, writeDifference } from '../../../core/optim/outer.ts';
import { applyStep } from '../../../core/optim/sgd.ts';
import { normals } from '../../../core/rng.ts';
import { networkSchema } from '../../../core/spec/network.ts';

const layout = layoutOf(
  buildNetwork(networkSchema.parse({ kind: 'pocketnet', channels: 2, layers: 4, embedding: 4 })),
  { classes: 4 },
);
const { parameterCount, runningCount, vectorCount } = layout;
const OUTER = { learningRate: 0.7, momentum: 0.9 };

const beginning = () => ({
  weights: initialWeights(layout, 1),
  momentum: new Float32Array(parameterCount),
  running: initialRunning(layout),
});
const noise = (count: number, seed: number, size: number) =>
  Float32Array.from(normals(seed, 'noise', count), (value) => value * size);

test('three outer steps are those of SGD with Nesterov momentum, and running statistics move to their mean', () => {
  const state = beginning();
  const expected = { ...beginning(), weights: Float64Array.from(state.weights) };
  const buffer = new Float64Array(parameterCount);
  for (let round = 0; round < 3; round++) {
    const mean = noise(vectorCount, round, 0.01);
    const runningBefore = state.running.slice();
    applyOuterStep({ layout, ...state, mean, outer: OUTER });
    for (let i = 0; i < parameterCount; i++) {
      const gradient = mean[i]!;
      buffer[i] = OUTER.momentum * buffer[i]! + gradient;
      expected.weights[i]! -= OUTER.learningRate * (gradient + OUTER.momentum * buffer[i]!);
    }
    for (let i = 0; i < runningCount; i++)
      assert.equal(state.running[i], Math.fround(runningBefore[i]! - mean[parameterCount + i]!));
  }
  // Each round stores a weight and a momentum, both rounded by at most 2^-24 of their size; no weight here is beyond 4, no momentum
  // beyond 1, and a momentum's error counts at most 0.7 x 0.9 in its own round and 0.9 of that in each later one.
  for (let i = 0; i < parameterCount; i++)
    assert.ok(Math.abs(state.weights[i]! - expected.weights[i]!) <= 3 * (4 + 2) * 2 ** -24, `weight ${i}`);
});

test('with one shard, one step, rate 1 and no momentum a round is a step of plain SGD, to the bit wherever the change is exact in float32', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1000 }), (seed) => {
      const gradient = noise(vectorCount, seed, 0.1);
      const step = {
        layout,
        mean: gradient,
        learningRate: 0.1,
        optimizer: { momentum: 0, weightDecay: 5e-4, clipNorm: 5 },
      };
      const plain = beginning();
      applyStep({ ...step, ...plain });
      const inner = beginning();
      applyStep({ ...step, ...inner });
      const state = beginning();
      const from = beginning();
      const mean = new Float32Array(vectorCount);
      writeDifference({ from: state, to: inner, losses: [0, 0, 0], steps: 1, into: mean });
      applyOuterStep({ layout, ...state, mean, outer: { learningRate: 1, momentum: 0 } });
      let exact = 0;
      const compare = (name: 'weights' | 'running', offset: number) =>
        from[name].forEach((before, i) => {
          const difference = before - plain[name][i]!;
          if (Math.fround(difference) === difference) {
            exact++;
            // + 0: a change of -0 into 0 is none.
            assert.equal(state[name][i]! + 0, plain[name][i]! + 0, `${name} ${i}`);
          } else {
            // The difference was rounded, by at most half a unit in its last place.
            const error = Math.abs(state[name][i]! - plain[name][i]!);
            assert.ok(error <= 2 ** -23 * Math.abs(mean[offset + i]!), `${name} ${i} is off by ${error}`);
          }
        });
      compare('weights', 0);
      compare('running', parameterCount);
      assert.ok(exact > (parameterCount + runningCount) / 2, `${exact} changes were exact`);
    }),
    { numRuns: 20 },
  );
});

test('a contribution is how far the shard got, and the means of its losses', () => {
  const from = beginning();
  const to = beginning();
  to.weights[3]! += 0.5;
  to.running[1]! += 0.25;
  const into = new Float32Array(vectorCount).fill(9);
  writeDifference({ from, to, losses: [8, 6, 2], steps: 4, into });
  assert.equal(into[3], Math.fround(from.weights[3]! - to.weights[3]!));
  assert.equal(into[parameterCount + 1], -0.25);
  assert.deepEqual([...into.subarray(vectorCount - 3)], [2, 1.5, 0.5]);
  assert.equal(into.filter((value) => value !== 0).length, 5, 'all else is zero');
});

test('a mean that is not finite changes nothing and is named with the round and the tensor', () => {
  const state = beginning();
  const slot = layout.parameters[2]!;
  const mean = noise(vectorCount, 5, 0.01);
  mean[slot.offset] = Number.NaN;
  assert.throws(
    () => applyOuterStep({ layout, ...state, mean, outer: OUTER, step: 12 }),
    (error) =>
      error instanceof FleetError &&
      error.code === 'outOfRange' &&
      error.message.includes('from step 12') &&
      error.message.includes(slot.name),
  );
  assert.deepEqual(state, beginning());
});
