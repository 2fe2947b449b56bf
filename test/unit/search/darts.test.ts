// The arithmetic of a search step on a problem that can be worked out by hand: weights and alphas of a
// quadratic loss, with passes answered by formulas instead of a network.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Layout } from '../../../core/nn/layout.ts';
import { createAdam } from '../../../core/optim/adam.ts';
import type { SearchState, SearchStepOptions } from '../../../core/search/bilevel.ts';
import { type RunPass, searchStep } from '../../../core/search/darts.ts';

/** One weight w, one alpha a, one running pair. */
const layout: Layout = {
  parameters: [
    {
      name: 'w',
      layer: 0,
      role: 'weight',
      offset: 0,
      size: 1,
      shape: [1],
      torchShape: [1],
      torchAxes: [0],
      initial: { kind: 'constant', value: 0 },
      trainable: true,
    },
  ],
  parameterCount: 1,
  backboneCount: 1,
  running: [],
  runningCount: 1,
  classes: 0,
  vectorCount: 1 + 1 + 3,
};

/**
 * Training loss a w^2 / 2, so d/dw = a w and d/da = w^2 / 2; validation loss (w - 1)^2 / 2 + 3 a; batch
 * statistic 1.
 */
const pass: RunPass = ({ half, wanted, weights, alphas }) => {
  const [w, a] = [weights[0]!, alphas[0]!];
  const [dw, da, loss] =
    half === 'weights' ? [a * w, (w * w) / 2, (a * w * w) / 2] : [w - 1, 3, (w - 1) ** 2 / 2 + 3 * a];
  return Float32Array.from(wanted === 'alphas' ? [da, 1, loss] : [dw, da, 1, loss]);
};

const fresh = (): SearchState => ({
  weights: Float32Array.of(2),
  momentum: Float32Array.of(0),
  alphas: Float32Array.of(0.5),
  running: Float32Array.of(0),
  adam: createAdam(1),
});

const options: SearchStepOptions = {
  variant: 'noleak',
  order: 'second',
  learningRate: 0.1,
  optimizer: { momentum: 0.9, weightDecay: 0, clipNorm: 100 },
  adam: { learningRate: 0.01, betas: [0.5, 0.999], epsilon: 1e-8, weightDecay: 0 },
};

const close = (actual: number | undefined, expected: number, tolerance: number) =>
  assert.ok(Math.abs((actual ?? Number.NaN) - expected) <= tolerance, `${actual}, ${expected} expected`);

test('second order: the alphas get the validation gradient less xi times the mixed derivative times d_w', async () => {
  const state = fresh();
  const step = await searchStep({ layout, state, step: options, pass });
  // w' = 2 - 0.1 * 0.5 * 2 = 1.9, d_w = 0.9; mixed derivative of a w^2 / 2 is w = 2: hessian 1.8, unrolled 3
  // - 0.18.
  close(step.validationNorm, 0.9, 1e-6);
  close(step.hessian?.[0], 1.8, 1e-3);
  close(step.unrolled?.[0], 2.82, 1e-4);
  close(state.weights[0], 1.9, 1e-6);
  assert.equal(step.passes, 4);
  // Statistics 1 in four passes of the network itself: 1 - 0.9^4.
  close(state.running[0], 0.3439, 1e-6);
});

test('first order: the validation gradient at the weights as they are, two passes', async () => {
  const state = fresh();
  const step = await searchStep({ layout, state, step: { ...options, order: 'first' }, pass });
  close(step.unrolled?.[0], 3, 0);
  assert.equal(step.hessian, undefined);
  assert.equal(step.passes, 2);
  close(state.running[0], 0.19, 1e-6);
});

test('reference adds the training gradient for the alphas, noleak and darts do not', async () => {
  const applied = async (variant: SearchStepOptions['variant']) =>
    (await searchStep({ layout, state: fresh(), step: { ...options, variant, order: 'first' }, pass }))
      .applied?.[0];
  // w^2 / 2 = 2 at the start.
  close(await applied('reference'), 5, 0);
  close(await applied('noleak'), 3, 0);
  close(await applied('darts'), 3, 0);
});

test('darts moves the alphas before the weights, and then needs all five passes', async () => {
  const state = fresh();
  const step = await searchStep({ layout, state, step: { ...options, variant: 'darts' }, pass });
  assert.equal(step.passes, 5);
  // Adam's first step is the rate: a = 0.49, and the weights' gradient is taken there.
  close(state.alphas[0], 0.49, 1e-6);
  close(state.weights[0], 2 - 0.1 * 0.49 * 2, 1e-6);
});

test('leaving the repeated pass out changes no bit', async () => {
  for (const variant of ['reference', 'noleak'] as const) {
    const [left, made] = [fresh(), fresh()];
    const step = { ...options, variant };
    assert.equal((await searchStep({ layout, state: left, step, pass })).passes, 4);
    assert.equal(
      (await searchStep({ layout, state: made, step: { ...step, repeatPass: true }, pass })).passes,
      5,
    );
    assert.deepEqual(left, made);
  }
});

/** Training loss a w^4. */
const steep: RunPass = (request) => {
  if (request.half === 'alphas') return pass(request);
  const [w, a] = [request.weights[0]!, request.alphas[0]!];
  const [dw, da, loss] = [4 * a * w ** 3, w ** 4, a * w ** 4];
  return Float32Array.from(request.wanted === 'alphas' ? [da, 1, loss] : [dw, da, 1, loss]);
};

test('a probed step makes two more passes, moves the same bits, and says how far both differences are apart', async () => {
  const seen: number[] = [];
  const recorded: RunPass = (request) => {
    if (request.wanted === 'alphas') seen.push(request.weights[0]!);
    return steep(request);
  };
  for (const variant of ['reference', 'noleak', 'darts'] as const) {
    const [plain, probed] = [fresh(), fresh()];
    const step = { ...options, variant };
    const without = await searchStep({ layout, state: plain, step, pass: steep });
    seen.length = 0;
    const withProbe = await searchStep({
      ...{ layout, state: probed, pass: recorded },
      step: { ...step, isProbed: true },
    });
    assert.deepEqual(probed, plain);
    assert.equal(withProbe.passes, without.passes + 2);
    assert.equal(without.differenceError, undefined);
    // r |d| = 0.01, and half of it in the probe, which comes first; w = 2.
    for (const [i, distance] of [0.005, 0.005, 0.01, 0.01].entries())
      close(Math.abs(seen[i]! - 2), distance, 1e-6);
    // Differences of w^4 with h = r |d| are 4 w^3 + 4 w h^2 times d, so these two are (0.01^2 - 0.005^2) / w^2 = 1.9e-5
    // apart, and the weights' rounding of 1.2e-7 over 0.005 adds up to 2.4e-5.
    assert.ok(withProbe.differenceError! < 1e-4, `${withProbe.differenceError}`);
  }
});

test('an exact difference has the error that the third derivative leaves', async () => {
  // Training loss a (w - 2)^3 / 3 about w = 2: da = (w - 2)^3 / 3, whose difference is r^2 d^3 / 3, and a quarter with
  // half of the radius. (1 - 1/4) / (1/4) = 3.
  const cubic: RunPass = (request) => {
    if (request.half === 'alphas') return pass(request);
    const da = (request.weights[0]! - 2) ** 3 / 3;
    return Float32Array.from(request.wanted === 'alphas' ? [da, 1, 1] : [1, da, 1, 1]);
  };
  const step = { ...options, isProbed: true };
  const { differenceError } = await searchStep({ layout, state: fresh(), step, pass: cubic });
  close(differenceError, 3, 1e-3);
});

test('a warm-up step moves the weights and leaves the alphas', async () => {
  const state = fresh();
  const step = { ...options, warmUp: true };
  const { trainingLoss, passes } = await searchStep({ layout, state, step, pass });
  assert.equal(passes, 1);
  close(trainingLoss, 1, 0);
  close(state.weights[0], 1.9, 1e-6);
  assert.deepEqual(state.alphas, fresh().alphas);
  assert.equal(state.adam.steps, 0);
});

test('a gradient of the alphas that is not finite moves nothing and names the edge and the op', async () => {
  for (const variant of ['reference', 'noleak', 'darts'] as const)
    for (const order of ['first', 'second'] as const) {
      const state = fresh();
      const lost: RunPass = (request) => {
        const vector = pass(request) as Float32Array;
        if (request.half === 'alphas') vector[vector.length - 3] = Number.NaN;
        return vector;
      };
      await assert.rejects(
        searchStep({ layout, state, step: { ...options, variant, order }, pass: lost }),
        /^FleetError: the gradient of max_pool_3x3 of input 0 of node 0 of the normal cell is NaN/,
      );
      assert.deepEqual(state, fresh(), `${variant}, ${order}`);
    }
});
