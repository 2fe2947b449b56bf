// The arithmetic of one step of differentiable architecture search on flat vectors (Liu, Simonyan and Yang,
// "DARTS: Differentiable Architecture Search", 2019; reference facts 2.2): what is done with the gradients of
// each round of passes, and in which order weights and alphas move.
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
// Nothing of the state moves before the last round, so a step that is given up has changed nothing. All works
// in place on memory that is made once. Loops are plain, arithmetic is double, and each store rounds once, so
// a step's bits follow from the rounds' means alone.
//
// Legend: P weights w, A alphas a, S running statistics; xi the weights' learning rate.

import { FleetError } from '../errors.ts';
import { type Layout, LOSS_COUNT } from '../nn/layout.ts';
import { alphaName } from '../nn/supernet.ts';
import { type AdamOptions, type AdamState, applyAdam } from '../optim/adam.ts';
import { applyStep, type OptimizerOptions, sumOfSquares, updateRunning } from '../optim/sgd.ts';
import { differenceError } from './difference-error.ts';
import { passVectors, type Round, type RoundOptions, roundsOf, type SearchSizes } from './rounds.ts';

/** How one step is made. */
export interface SearchStepOptions extends RoundOptions {
  /** xi: learning rate of the weights and of the virtual step. */
  readonly learningRate: number;
  readonly optimizer: OptimizerOptions;
  readonly adam: AdamOptions;
}

/** What a search carries from step to step. The vectors are changed in place. */
export interface SearchState {
  readonly weights: Float32Array;
  readonly momentum: Float32Array;
  readonly alphas: Float32Array;
  readonly running: Float32Array;
  adam: AdamState;
}

/** Memory of an open step: what later rounds need of earlier ones. */
export interface SearchWork {
  /** w' until the upper level is known, then w+, [P]. */
  readonly virtual: Float32Array;
  /** w-, [P]. */
  readonly minus: Float32Array;
  /** Both with half of the radius, [P] each, and their difference, [A]; empty without probes. */
  readonly narrowPlus: Float32Array;
  readonly narrowMinus: Float32Array;
  readonly narrow: Float32Array;
  /** The first training pass of a second-order step, [P + A + S + 1]. */
  readonly training: Float32Array;
  /** Both sides' passes, [2 (A + S + 1)]. */
  readonly sides: Float32Array;
  /** The upper level's pass without the weights' gradient, [A + S + 1]. */
  readonly upper: Float32Array;
  /** ||d||, [1]. */
  readonly norm: Float64Array;
  /** Alphas and both moments as the step leaves them, [A] each. */
  readonly alphas: Float32Array;
  readonly first: Float32Array;
  readonly second: Float32Array;
}

/** Memory for the steps of a search; what neither its order nor a probe needs is empty. */
export function createWork(
  sizes: SearchSizes,
  { order, isProbed = false }: Pick<RoundOptions, 'order' | 'isProbed'>,
  floats: (length: number) => Float32Array = (length) => new Float32Array(length),
): SearchWork {
  const { weights, alphas, running } = sizes;
  const side = alphas + running + 1;
  const ofSecond = (length: number) => floats(order === 'second' ? length : 0);
  const ofProbe = (length: number) => ofSecond(isProbed ? length : 0);
  return {
    virtual: ofSecond(weights),
    minus: ofSecond(weights),
    narrowPlus: ofProbe(weights),
    narrowMinus: ofProbe(weights),
    narrow: ofProbe(alphas),
    training: ofSecond(weights + side),
    sides: ofSecond(2 * side),
    upper: floats(side),
    norm: new Float64Array(floats(2).buffer),
    alphas: floats(alphas),
    first: floats(alphas),
    second: floats(alphas),
  };
}

/** An open step. */
export interface OpenStep {
  readonly layout: Layout;
  readonly state: SearchState;
  readonly work: SearchWork;
  readonly step: SearchStepOptions;
  /** Number of the step, for messages about values that are not finite. */
  readonly number?: number;
}

/** What a step computed, for records and tests. A step of the warm-up has the first two alone. */
export interface SearchStep extends Partial<AlphaGradients> {
  /** Of the pass that moved the weights. */
  readonly trainingLoss: number;
  /** L2 norm of the weights' gradient before clipping. */
  readonly gradientNorm: number;
  /** The training loss' gradient for the alphas, from the pass that moved the weights, [A]. */
  readonly leak?: Float32Array;
  /** The gradient that Adam applied, [A]. */
  readonly applied?: Float32Array;
}

/** The upper level's results. */
interface AlphaGradients {
  /** Of the alphas' half, at the virtual weights where there are some. */
  readonly validationLoss: number;
  /** grad_a L_val: the validation loss' gradient for the alphas, [A]. */
  readonly validationGradient: Float32Array;
  /** ||d||, the norm of the validation loss' gradient for the virtual weights; second order only. */
  readonly validationNorm?: number;
  /** The central difference for grad2_aw L_train d, [A]; second order only. */
  readonly hessian?: Float32Array;
  /** How far that is from the difference with half of the radius (`differenceError`), where it is probed. */
  readonly differenceError?: number;
  /** validationGradient - xi hessian, or validationGradient in first order, [A]. */
  readonly unrolled: Float32Array;
}

/** r ||d||: the numerator of the difference's radius, 0.01 in the paper and in the reference. */
const DIFFERENCE_RADIUS = 0.01;

/** The sizes of a layout's search network. */
export const sizesOf = ({ parameterCount, runningCount }: Layout, alphas: number): SearchSizes => ({
  weights: parameterCount,
  alphas,
  running: runningCount,
});

/** Takes the mean of a round that is not the last: the next one can then be computed. */
export function continueStep(open: OpenStep, round: Round, mean: Float32Array): void {
  const { work, step } = open;
  switch (round.kind) {
    case 'training':
      work.training.set(mean);
      setVirtualWeights(open);
      return;
    case 'upper':
      takeUpper(open, mean);
      break;
    case 'probe':
      work.narrow.set(centralDifference(mean, work.narrow.length, radiusOf(work) / 2));
      return;
    case 'sides':
      work.sides.set(mean);
      break;
    case 'both':
      throw new Error('assertion: a round with both passes is the last one');
  }
  const isAlphasTurn = step.variant === 'darts' && (step.order === 'first' || round.kind === 'sides');
  if (isAlphasTurn) setMovedAlphas(open, upperLevel(open).unrolled);
}

/** Takes the mean of the last round and moves the state: weights, momentum, running statistics, alphas, Adam. */
export function commitStep(open: OpenStep, mean: Float32Array): SearchStep {
  const { layout, state, work, step } = open;
  const last = roundsOf(step).at(-1)!;
  const sizes = sizesOf(layout, state.alphas.length);
  if (step.warmUp === true) return moveWeights(open, mean);
  if (last.kind === 'sides') work.sides.set(mean);
  let training = work.training;
  if (last.kind === 'training') training = mean;
  if (last.kind === 'both') {
    const [lower, upper] = passVectors(sizes, last, mean) as [Float32Array, Float32Array];
    takeUpper(open, upper);
    training = lower;
  }
  const upper = upperLevel(open);
  const leak = alphaPart(layout, training).slice();
  const applied = step.variant === 'reference' ? combine(upper.unrolled, 1, leak) : upper.unrolled;
  // Before anything moves: a gradient that is not finite ends the step here.
  if (step.variant !== 'darts') setMovedAlphas(open, applied);
  // In the order of the passes of the network itself. The published code makes the pass at w' on a copy of
  // the network, so those statistics are lost, and so are they here.
  if (step.order === 'second') {
    updateRunning(state.running, work.training, sizes.weights + sizes.alphas);
    for (const side of sidesOf(open)) updateRunning(state.running, side, sizes.alphas);
  } else updateRunning(state.running, work.upper, sizes.alphas);
  const moved = moveWeights(open, training);
  state.alphas.set(work.alphas);
  state.adam.first.set(work.first);
  state.adam.second.set(work.second);
  state.adam = { ...state.adam, steps: state.adam.steps + 1 };
  return { ...moved, ...upper, leak, applied };
}

/**
 * w' = w - xi (momentum v + gradient + decay w), v being the momentum buffer; without clipping, as in the
 * reference.
 */
function setVirtualWeights({ state, work, step }: OpenStep): void {
  const { momentum, weightDecay } = step.optimizer;
  const { virtual, training } = work;
  for (let i = 0; i < virtual.length; i++) {
    const weight = state.weights[i]!;
    const update = momentum * state.momentum[i]! + training[i]! + weightDecay * weight;
    virtual[i] = weight - step.learningRate * update;
  }
}

/** Keeps the upper level's pass, and in second order sets w+ and w- by its gradient d for the virtual weights. */
function takeUpper({ state, work, step }: OpenStep, mean: Float32Array): void {
  work.upper.set(mean.subarray(mean.length - work.upper.length));
  if (step.order === 'first') return;
  const { virtual, minus, narrowPlus, narrowMinus, norm } = work;
  norm[0] = Math.sqrt(sumOfSquares(mean, 0, virtual.length));
  const radius = radiusOf(work);
  for (let i = 0; i < virtual.length; i++) {
    virtual[i] = state.weights[i]! + radius * mean[i]!;
    minus[i] = state.weights[i]! + -radius * mean[i]!;
  }
  if (step.isProbed !== true) return;
  for (let i = 0; i < narrowPlus.length; i++) {
    narrowPlus[i] = state.weights[i]! + (radius / 2) * mean[i]!;
    narrowMinus[i] = state.weights[i]! + (-radius / 2) * mean[i]!;
  }
}

/** r of eq. 8. */
const radiusOf = ({ norm }: SearchWork): number => DIFFERENCE_RADIUS / norm[0]!;

/** (a - b) / (2 radius) of the first `length` values [A] of the passes a and b at both sides. */
function centralDifference(sides: Float32Array, length: number, radius: number): Float32Array {
  const half = sides.length / 2;
  return sides.slice(0, length).map((value, i) => (value - sides[half + i]!) / (2 * radius));
}

function upperLevel({ state, work, step }: OpenStep): AlphaGradients {
  const { length } = state.alphas;
  const validationGradient = work.upper.slice(0, length);
  const validationLoss = work.upper.at(-1) ?? Number.NaN;
  if (step.order === 'first') return { validationLoss, validationGradient, unrolled: validationGradient };
  const validationNorm = work.norm[0]!;
  const hessian = centralDifference(work.sides, length, radiusOf(work));
  const unrolled = combine(validationGradient, -step.learningRate, hessian);
  const probed = step.isProbed === true ? { differenceError: differenceError(hessian, work.narrow) } : {};
  return { validationLoss, validationNorm, validationGradient, hessian, unrolled, ...probed };
}

/** The vectors of the passes at w+ and w-. */
function sidesOf({ work }: OpenStep): Float32Array[] {
  const half = work.sides.length / 2;
  return [work.sides.subarray(0, half), work.sides.subarray(half)];
}

/** Adam's step on copies; a gradient that is not finite is an error that names its edge and op. */
function setMovedAlphas({ state, work, step, number }: OpenStep, gradient: Float32Array): void {
  const at = number === undefined ? '' : ` in step ${number}`;
  const refuse = (what: string, index: number, value: number) => {
    const name = alphaName(index);
    throw new FleetError(
      'outOfRange',
      `${what} ${name} is ${value}${at}; a smaller learning rate of the weights or of the alphas usually cures this`,
      { details: { step: number, tensor: name, value, index } },
    );
  };
  const wrong = gradient.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0) refuse('the gradient of', wrong, gradient[wrong]!);
  work.alphas.set(state.alphas);
  work.first.set(state.adam.first);
  work.second.set(state.adam.second);
  const moments = { first: work.first, second: work.second, steps: state.adam.steps };
  applyAdam({ values: work.alphas, gradient, state: moments, adam: step.adam });
  const lost = work.alphas.findIndex((value) => !Number.isFinite(value));
  if (lost >= 0) refuse('', lost, work.alphas[lost]!);
}

/**
 * Moves weights, momentum and running statistics by one SGD step with clipping and decay. The vector of a
 * pass has alphas' gradients between weights' gradients and statistics; SGD takes a shard's vector, which has
 * none and ends with three losses.
 */
function moveWeights({ layout, state, step, number }: OpenStep, training: Float32Array) {
  const { parameterCount: weights } = layout;
  const loss = training.at(-1) ?? Number.NaN;
  const mean = new Float32Array(layout.vectorCount);
  mean.set(training.subarray(0, weights));
  mean.set(training.subarray(weights + state.alphas.length, -1), weights);
  mean.fill(loss, layout.vectorCount - LOSS_COUNT);
  const { learningRate, optimizer } = step;
  const at = number === undefined ? {} : { step: number };
  const { gradientNorm } = applyStep({ layout, ...state, mean, learningRate, optimizer, ...at });
  return { trainingLoss: loss, gradientNorm };
}

/** The alphas' gradients [A] of a pass over weights and alphas. */
function alphaPart({ parameterCount, runningCount }: Layout, vector: Float32Array): Float32Array {
  return vector.subarray(parameterCount, vector.length - runningCount - 1);
}

/** a + factor b. */
function combine(a: Float32Array, factor: number, b: Float32Array): Float32Array {
  return a.map((value, i) => value + factor * b[i]!);
}
