// Adam as the alphas of a search are trained with it (Kingma and Ba, 2015, algorithm 1; reference facts 2.1):
// L2 decay is added to the gradient, as in PyTorch, and not to the step. Plain loops in a fixed order, double
// arithmetic, one rounding to float32 at each store, so that every worker gets the same bits.

import { FleetError } from '../errors.ts';

export interface AdamOptions {
  readonly learningRate: number;
  /** Shares of the old moments that are kept. */
  readonly betas: readonly [number, number];
  /** Added to the root of the second moment. */
  readonly epsilon: number;
  readonly weightDecay: number;
}

export interface AdamState {
  /** Mean of the gradients, not yet corrected for its start at zero. */
  readonly first: Float32Array;
  /** Mean of their squares, likewise. */
  readonly second: Float32Array;
  /** Steps taken. */
  readonly steps: number;
}

/** The search's own: rate 1.2e-3, betas 0.5 and 0.999, decay 1e-3. */
export const ALPHA_ADAM: AdamOptions = {
  learningRate: 1.2e-3,
  betas: [0.5, 0.999],
  epsilon: 1e-8,
  weightDecay: 1e-3,
};

export function createAdam(count: number): AdamState {
  return { first: new Float32Array(count), second: new Float32Array(count), steps: 0 };
}

/**
 * Updates `values` and both moments in place; the state that counts the step is returned. A gradient that is
 * not finite throws first.
 */
export function applyAdam(options: {
  values: Float32Array;
  gradient: Float32Array;
  state: AdamState;
  adam: AdamOptions;
}): AdamState {
  const { values, gradient, state } = options;
  const { learningRate, betas, epsilon, weightDecay } = options.adam;
  checkGradient(values, gradient, state);
  const steps = state.steps + 1;
  const [keepFirst, keepSecond] = betas;
  const rate = learningRate / (1 - keepFirst ** steps);
  const correction = Math.sqrt(1 - keepSecond ** steps);
  const { first, second } = state;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    const slope = gradient[i]! + weightDecay * value;
    first[i] = keepFirst * first[i]! + (1 - keepFirst) * slope;
    second[i] = keepSecond * second[i]! + (1 - keepSecond) * slope * slope;
    values[i] = value - (rate * first[i]!) / (Math.sqrt(second[i]!) / correction + epsilon);
  }
  return { first, second, steps };
}

function checkGradient(values: Float32Array, gradient: Float32Array, state: AdamState): void {
  for (const [name, { length }] of Object.entries({
    gradient,
    'first moment': state.first,
    'second moment': state.second,
  }))
    if (length !== values.length)
      throw new FleetError(
        'internal',
        `applyAdam: the ${name} has ${length} values, there are ${values.length}`,
      );
  const index = gradient.findIndex((value) => !Number.isFinite(value));
  if (index >= 0)
    throw new FleetError(
      'outOfRange',
      `the gradient of value ${index} is ${gradient[index]} in step ${state.steps + 1} of Adam; a smaller learning rate usually cures this`,
      { details: { index, step: state.steps + 1 } },
    );
}
