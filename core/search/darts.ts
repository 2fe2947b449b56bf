// One step of differentiable search on flat vectors (Liu, Simonyan and Yang, "DARTS", 2019, eq. 5-8; reference facts 2.2):
// which passes are made, what is done with their gradients, in which order weights and alphas move. Plain loops, double
// arithmetic, one rounding at each store. How a pass is computed, and where, is the caller's: compiled graphs are
// search-function.ts'.
//
// Legend: P weights w, A alphas, S running statistics; xi the weights' learning rate.

import { type Layout, LOSS_COUNT } from '../nn/layout.ts';
import { type AdamOptions, type AdamState, applyAdam } from '../optim/adam.ts';
import { applyStep, type OptimizerOptions, updateRunning } from '../optim/sgd.ts';
import type { Wanted } from './search-function.ts';

/**
 * reference: weights move first, and the gradient of the training loss for the alphas, which the published code leaves behind,
 * is added to the alphas' gradient. noleak: the same order without it. darts: alphas move first, as in DARTS itself.
 */
export type Variant = 'reference' | 'noleak' | 'darts';

/** first: the alphas' gradient at the weights as they are. second: at the weights one virtual step further. */
export type Order = 'first' | 'second';

export interface SearchStepOptions {
  readonly variant: Variant;
  readonly order: Order;
  /** Of the weights; xi of the virtual step too. */
  readonly learningRate: number;
  readonly optimizer: OptimizerOptions;
  readonly adam: AdamOptions;
  /**
   * Where weights move first, their pass repeats the first one of a second-order step: same weights, alphas and batch. Its
   * numbers are used twice, unless this is true; for tests and measurements.
   */
  readonly repeatPass?: boolean;
}

/** All that a search carries from step to step; the vectors are changed in place. */
export interface SearchState {
  readonly weights: Float32Array;
  readonly momentum: Float32Array;
  readonly alphas: Float32Array;
  readonly running: Float32Array;
  adam: AdamState;
}

/** One forward and backward pass over this step's batch of one half of the data. */
export interface PassRequest {
  readonly half: 'weights' | 'alphas';
  readonly wanted: Wanted;
  readonly weights: Float32Array;
  readonly alphas: Float32Array;
}

/** Answers with the mean over the whole batch of what searchFunction puts out. */
export type RunPass = (request: PassRequest) => Float32Array | Promise<Float32Array>;

export interface SearchStep {
  readonly passes: number;
  /** Of the pass that moved the weights. */
  readonly trainingLoss: number;
  /** Of the alphas' half, at the virtual weights where there are some. */
  readonly validationLoss: number;
  /** L2 norm of the weights' gradient before clipping. */
  readonly gradientNorm: number;
  /** d_alpha: the alphas' gradient of the validation loss. */
  readonly validationGradient: Float32Array;
  /** ||d_w||, the norm of the validation loss' gradient for the virtual weights; second order only. */
  readonly validationNorm?: number;
  /** Finite-difference product of the mixed second derivative with d_w; second order only. */
  readonly hessian?: Float32Array;
  /** d_alpha - xi hessian, or d_alpha in first order. */
  readonly unrolled: Float32Array;
  /** The training loss' gradient for the alphas, from the pass that moved the weights. */
  readonly leak: Float32Array;
  /** What Adam was given. */
  readonly applied: Float32Array;
}

/** Radius of the finite difference is this over ||d_w||. */
const DIFFERENCE_RADIUS = 0.01;

export async function searchStep(options: {
  layout: Layout;
  state: SearchState;
  step: SearchStepOptions;
  pass: RunPass;
}): Promise<SearchStep> {
  const { layout, state, step } = options;
  const counted = countPasses(options.pass);
  const context: Context = { layout, state, step, pass: counted.pass };
  const upper = step.order === 'second' ? await secondOrder(context) : await firstOrder(context);
  const { unrolled } = upper.alphas;
  if (step.variant === 'darts') moveAlphas(context, unrolled);
  const repeats = step.variant === 'darts' || step.repeatPass === true;
  const training = (repeats ? undefined : upper.training) ?? (await trainingPass(context));
  const moved = moveWeights(context, training);
  const leak = alphaPart(layout, training).slice();
  const applied = step.variant === 'reference' ? combine(unrolled, 1, leak) : unrolled;
  if (step.variant !== 'darts') moveAlphas(context, applied);
  return {
    passes: counted.count(),
    trainingLoss: moved.loss,
    gradientNorm: moved.gradientNorm,
    ...upper.alphas,
    leak,
    applied,
  };
}

/** A step of the warm-up: the weights move, the alphas stay. */
export async function warmUpStep(options: {
  layout: Layout;
  state: SearchState;
  step: SearchStepOptions;
  pass: RunPass;
}): Promise<{ trainingLoss: number; gradientNorm: number }> {
  const { loss, gradientNorm } = moveWeights(options, await trainingPass(options));
  return { trainingLoss: loss, gradientNorm };
}

interface Context {
  readonly layout: Layout;
  readonly state: SearchState;
  readonly step: SearchStepOptions;
  readonly pass: RunPass;
}

type AlphaGradients = Pick<
  SearchStep,
  'validationLoss' | 'validationGradient' | 'validationNorm' | 'hessian' | 'unrolled'
>;

interface Upper {
  readonly alphas: AlphaGradients;
  /** The training pass that was made on the way, at the state's own weights and alphas. */
  readonly training?: Float32Array;
}

/** One pass; it is the network itself that runs, so its running statistics move. */
async function firstOrder({ state, pass }: Context): Promise<Upper> {
  const vector = await pass({ ...state, half: 'alphas', wanted: 'alphas' });
  const gradient = vector.slice(0, state.alphas.length);
  updateRunning(state.running, vector, gradient.length);
  const validationLoss = vector.at(-1) ?? Number.NaN;
  return { alphas: { validationLoss, validationGradient: gradient, unrolled: gradient } };
}

/** Four passes: training, validation at the virtual weights, and training at the weights moved to both sides. */
async function secondOrder(context: Context): Promise<Upper> {
  const { layout, state, step, pass } = context;
  const { weights, alphas, running } = state;
  const training = await trainingPass(context);
  updateRunning(running, training, layout.parameterCount + alphas.length);
  const virtual = virtualWeights(context, training);
  // On a copy of the network in the published code: these statistics go nowhere.
  const upper = await pass({ half: 'alphas', wanted: 'weights-and-alphas', weights: virtual, alphas });
  const direction = upper.subarray(0, layout.parameterCount);
  const validationNorm = Math.sqrt(direction.reduce((sum, value) => sum + value * value, 0));
  const radius = DIFFERENCE_RADIUS / validationNorm;
  const sides: Float32Array[] = [];
  for (const sign of [1, -1]) {
    const vector = await pass({
      half: 'weights',
      wanted: 'alphas',
      weights: combine(weights, sign * radius, direction),
      alphas,
    });
    updateRunning(running, vector, alphas.length);
    sides.push(vector.subarray(0, alphas.length));
  }
  const [plus, minus] = sides as [Float32Array, Float32Array];
  const hessian = plus.map((value, i) => (value - minus[i]!) / (2 * radius));
  const validationGradient = alphaPart(layout, upper).slice();
  return {
    training,
    alphas: {
      validationLoss: upper.at(-1) ?? Number.NaN,
      validationNorm,
      validationGradient,
      hessian,
      unrolled: combine(validationGradient, -step.learningRate, hessian),
    },
  };
}

function trainingPass({ state, pass }: Context): Float32Array | Promise<Float32Array> {
  return pass({ ...state, half: 'weights', wanted: 'weights-and-alphas' });
}

/** w - xi (momentum v + gradient + decay w), without clipping, v being the momentum buffer. */
function virtualWeights({ state, step }: Context, training: Float32Array): Float32Array {
  const { momentum, weightDecay } = step.optimizer;
  return state.weights.map((weight, i) => {
    const slope = momentum * state.momentum[i]! + training[i]! + weightDecay * weight;
    return weight - step.learningRate * slope;
  });
}

/** Clips, decays, moves; running statistics too. */
function moveWeights({ layout, state, step }: Context, training: Float32Array) {
  const { parameterCount: weights } = layout;
  const loss = training.at(-1) ?? Number.NaN;
  const mean = new Float32Array(layout.vectorCount);
  mean.set(training.subarray(0, weights));
  mean.set(training.subarray(weights + state.alphas.length, -1), weights);
  mean.fill(loss, layout.vectorCount - LOSS_COUNT);
  return applyStep({ layout, ...state, mean, learningRate: step.learningRate, optimizer: step.optimizer });
}

function moveAlphas({ state, step }: Context, gradient: Float32Array): void {
  state.adam = applyAdam({ values: state.alphas, gradient, state: state.adam, adam: step.adam });
}

function alphaPart({ parameterCount, runningCount }: Layout, vector: Float32Array): Float32Array {
  return vector.subarray(parameterCount, vector.length - runningCount - 1);
}

/** a + factor b. */
function combine(a: Float32Array, factor: number, b: Float32Array): Float32Array {
  return a.map((value, i) => value + factor * b[i]!);
}

function countPasses(pass: RunPass): { pass: RunPass; count(): number } {
  let count = 0;
  return {
    pass: (request) => {
      count++;
      return pass(request);
    },
    count: () => count,
  };
}
