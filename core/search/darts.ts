// One step of differentiable architecture search on flat vectors (Liu, Simonyan and Yang, "DARTS:
// Differentiable Architecture Search", 2019; reference facts 2.2): which passes are made, what is done with
// their gradients, and in which order weights and alphas move.
//
// The problem is bilevel (eq. 3-4): minimise L_val(w*(a), a) over the alphas a, with w*(a) the weights that
// minimise L_train(w, a). w* is approximated by one step of training, w' = w - xi grad_w L_train(w, a), and
// the gradient for a is then (eq. 7)
//     grad_a L_val(w', a) - xi grad2_aw L_train(w, a) d,   with d = grad_w' L_val(w', a).
// The matrix-vector product in the second term would need second derivatives; a central difference replaces
// it (eq. 8):
//     (grad_a L_train(w+, a) - grad_a L_train(w-, a)) / (2 r),   w+- = w +- r d,   r = 0.01 / ||d||.
// So this gradient takes four passes: L_train at w, L_val at w', L_train at w+ and at w-. First order sets xi
// = 0 and takes one.
//
// Loops are plain, arithmetic is double, and each store rounds once, so a step's bits follow from the passes'
// results alone.
//
// Legend: P weights w, A alphas a, S running statistics; xi the weights' learning rate.

import { type Layout, LOSS_COUNT } from '../nn/layout.ts';
import { type AdamOptions, type AdamState, applyAdam } from '../optim/adam.ts';
import { applyStep, type OptimizerOptions, updateRunning } from '../optim/sgd.ts';
import type { Wanted } from './search-function.ts';

/**
 * The order of moves. darts: alphas move first, as in the paper. reference: weights move first, as in the
 * published PocketNet code, and the training loss' gradient for the alphas, which that code leaves in its
 * buffers, is added to theirs. noleak: weights move first, without that addition.
 */
export type Variant = 'reference' | 'noleak' | 'darts';

/**
 * first: the alphas' gradient at the present weights. second: at the weights one virtual step further, by the
 * equations above.
 */
export type Order = 'first' | 'second';

/** How one step is made. */
export interface SearchStepOptions {
  readonly variant: Variant;
  readonly order: Order;
  /** xi: learning rate of the weights and of the virtual step. */
  readonly learningRate: number;
  readonly optimizer: OptimizerOptions;
  readonly adam: AdamOptions;
  /**
   * Where weights move first, their pass would repeat the first one of a second-order step, with the same
   * weights, alphas and batch. Its result is used twice, unless this is true; for tests and measurements.
   */
  readonly repeatPass?: boolean;
}

/** What a search carries from step to step. The vectors are changed in place. */
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

/** Computes a pass: the mean over the whole batch of searchFunction's vectors. */
export type RunPass = (request: PassRequest) => Float32Array | Promise<Float32Array>;

/** What a step computed, for records and tests. */
export interface SearchStep {
  /** Forward and backward passes made. */
  readonly passes: number;
  /** Of the pass that moved the weights. */
  readonly trainingLoss: number;
  /** Of the alphas' half, at the virtual weights where there are some. */
  readonly validationLoss: number;
  /** L2 norm of the weights' gradient before clipping. */
  readonly gradientNorm: number;
  /** grad_a L_val: the validation loss' gradient for the alphas, [A]. */
  readonly validationGradient: Float32Array;
  /** ||d||, the norm of the validation loss' gradient for the virtual weights; second order only. */
  readonly validationNorm?: number;
  /** The central difference for grad2_aw L_train d, [A]; second order only. */
  readonly hessian?: Float32Array;
  /** validationGradient - xi hessian, or validationGradient in first order, [A]. */
  readonly unrolled: Float32Array;
  /** The training loss' gradient for the alphas, from the pass that moved the weights, [A]. */
  readonly leak: Float32Array;
  /** The gradient that Adam applied, [A]. */
  readonly applied: Float32Array;
}

/** r ||d||: the numerator of the difference's radius, 0.01 in the paper and in the reference. */
const DIFFERENCE_RADIUS = 0.01;

/** Makes one step: moves weights, alphas, running statistics and both optimisers' states. */
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

/** Makes one step of the warm-up: the weights move and the alphas stay. */
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

/** The upper level's result. */
interface UpperLevel {
  readonly alphas: AlphaGradients;
  /** The training pass that the upper level made at the state's own weights and alphas. */
  readonly training?: Float32Array;
}

/** One pass. The published code runs the network itself here, so its running statistics move. */
async function firstOrder({ state, pass }: Context): Promise<UpperLevel> {
  const vector = await pass({ ...state, half: 'alphas', wanted: 'alphas' });
  const gradient = vector.slice(0, state.alphas.length);
  updateRunning(state.running, vector, gradient.length);
  const validationLoss = vector.at(-1) ?? Number.NaN;
  return { alphas: { validationLoss, validationGradient: gradient, unrolled: gradient } };
}

/** Four passes: L_train at w, L_val at w', L_train at w+ and w-. */
async function secondOrder(context: Context): Promise<UpperLevel> {
  const { layout, state, step, pass } = context;
  const { weights, alphas, running } = state;
  const training = await trainingPass(context);
  updateRunning(running, training, layout.parameterCount + alphas.length);
  const virtual = virtualWeights(context, training);
  // The published code makes this pass on a copy of the network, so its running statistics are lost, and so
  // are they here.
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

/**
 * w' = w - xi (momentum v + gradient + decay w), v being the momentum buffer; without clipping, as in the
 * reference.
 */
function virtualWeights({ state, step }: Context, training: Float32Array): Float32Array {
  const { momentum, weightDecay } = step.optimizer;
  return state.weights.map((weight, i) => {
    const update = momentum * state.momentum[i]! + training[i]! + weightDecay * weight;
    return weight - step.learningRate * update;
  });
}

/**
 * Moves weights, momentum and running statistics by one SGD step with clipping and decay. The vector of a
 * pass has alphas' gradients between weights' gradients and statistics; SGD takes a shard's vector, which has
 * none and ends with three losses.
 */
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

/** The alphas' gradients [A] of a pass over weights and alphas. */
function alphaPart({ parameterCount, runningCount }: Layout, vector: Float32Array): Float32Array {
  return vector.subarray(parameterCount, vector.length - runningCount - 1);
}

/** a + factor b. */
function combine(a: Float32Array, factor: number, b: Float32Array): Float32Array {
  return a.map((value, i) => value + factor * b[i]!);
}

/** The pass with a counter. */
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
