// Adam and the cosine schedule against numbers computed by hand.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ALPHA_ADAM, applyAdam, createAdam } from '../../../core/optim/adam.ts';
import { cosineRate } from '../../../core/optim/cosine.ts';

test('the first step moves each value by the rate against the sign of its gradient', () => {
  const values = new Float32Array([0, 0, 0]);
  const gradient = new Float32Array([5, -1e-3, 0]);
  const state = applyAdam({ values, gradient, state: createAdam(3), adam: ALPHA_ADAM });
  assert.equal(state.steps, 1);
  // |g| / (|g| + 1e-8) of the rate 1.2e-3.
  assert.ok(Math.abs(values[0]! + 1.2e-3) < 1e-9);
  assert.ok(Math.abs(values[1]! - 1.2e-3 / (1 + 1e-5)) < 1e-9);
  assert.equal(values[2], 0);
});

test('two steps with decay give the numbers of the formula', () => {
  const adam = { learningRate: 0.1, betas: [0.5, 0.9], epsilon: 0, weightDecay: 0.5 } as const;
  const values = new Float32Array([2]);
  const gradient = new Float32Array([1]);
  let state = applyAdam({ values, gradient, state: createAdam(1), adam });
  // Slope 1 + 0.5 * 2 = 2; m = 1, v = 0.4; corrected 2 and 4: step 0.1 * 2 / 2.
  assert.ok(Math.abs(values[0]! - 1.9) < 1e-6);
  state = applyAdam({ values, gradient, state, adam });
  // Slope 1.95; m = 0.5 + 0.975 = 1.475, /0.75; v = 0.36 + 0.38025 = 0.74025, /0.19.
  const step = (0.1 * (1.475 / 0.75)) / Math.sqrt(0.74025 / 0.19);
  assert.ok(Math.abs(values[0]! - (1.9 - step)) < 1e-6);
  assert.equal(state.steps, 2);
});

test('a gradient that is not finite is refused before anything moves', () => {
  const values = new Float32Array([1, 2]);
  const gradient = new Float32Array([1, Number.NaN]);
  assert.throws(
    () => applyAdam({ values, gradient, state: createAdam(2), adam: ALPHA_ADAM }),
    /gradient of value 1 is NaN in step 1/,
  );
  assert.deepEqual([...values], [1, 2]);
});

test('the cosine schedule starts at the first rate, is half way in the middle and nears the last', () => {
  const at = (epoch: number) => cosineRate({ first: 0.1, last: 0.004, epoch, epochs: 50 });
  assert.equal(at(0), 0.1);
  assert.ok(Math.abs(at(25) - 0.052) < 1e-12);
  assert.ok(at(49) > 0.004 && at(49) < 0.0042);
  assert.ok(Math.abs(at(50) - 0.004) < 1e-15);
});
