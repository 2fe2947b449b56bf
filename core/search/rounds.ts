// The passes of one search step, in the order in which their results are needed. A round is what can be
// computed before anything has to be known of the whole batch: its passes follow from the results of the
// rounds before it, so where the batch is shared among workers there is one sum over them for each round.
// Decides that from variant and order alone.
//
// Round by round (the equations are in bilevel.ts):
//
//     second order     L_train at w;  L_val at w';  L_train at w+ and w-;  darts: L_train at w and the new alphas
//                      (probed: before w+ and w- the same with half of the radius)
//     first order      L_train at w and L_val at w;  darts: L_val at w, then L_train at w and the new alphas
//     warm-up          L_train at w
//
// Legend: P weights w, A alphas a, S running statistics.

import type { Half } from './halves.ts';

/**
 * The order of moves. darts: alphas move first, as in the paper. reference: weights move first, as in the
 * published PocketNet code, and the training loss' gradient for the alphas, which that code leaves in its
 * buffers, is added to theirs. noleak: weights move first, without that addition.
 */
export type Variant = 'reference' | 'noleak' | 'darts';

/**
 * first: the alphas' gradient at the present weights. second: at the weights one virtual step further
 * (bilevel.ts).
 */
export type Order = 'first' | 'second';

/**
 * What is differentiated. Finite differences need the alphas' gradient only, and without weights' gradients
 * no filter gradient is made.
 */
export type Wanted = 'weights-and-alphas' | 'alphas';

/** One forward and backward pass over this step's batch of one half. */
export interface Pass {
  readonly half: Half;
  readonly wanted: Wanted;
  /** present: of the state. virtual: w'. plus, minus: w+ and w-; narrow: with half of the radius. */
  readonly weights: 'present' | 'virtual' | 'plus' | 'minus' | 'narrow plus' | 'narrow minus';
  /** moved: as the step leaves them. */
  readonly alphas: 'present' | 'moved';
}

/** Passes whose results are summed together. */
export interface Round {
  /** Names the vector of the round: rounds of one kind have one length within a search. */
  readonly kind: 'training' | 'upper' | 'probe' | 'sides' | 'both';
  readonly passes: readonly Pass[];
}

/** What the rounds of a step follow from. */
export interface RoundOptions {
  readonly variant: Variant;
  readonly order: Order;
  /** Weights alone move in this step. */
  readonly warmUp?: boolean;
  /**
   * The finite difference of second order is made a second time, with half of the radius, to see how good it is
   * (difference-error.ts). That moves nothing.
   */
  readonly isProbed?: boolean;
  /**
   * Where weights move first, their pass would repeat the first one of a second-order step, with the same
   * weights, alphas and batch. Its result is used twice, unless this is true; for tests and measurements.
   */
  readonly repeatPass?: boolean;
}

const TRAINING: Pass = {
  half: 'weights',
  wanted: 'weights-and-alphas',
  weights: 'present',
  alphas: 'present',
};
const UPPER_FIRST: Pass = { half: 'alphas', wanted: 'alphas', weights: 'present', alphas: 'present' };
const UPPER_SECOND: Pass = { ...UPPER_FIRST, wanted: 'weights-and-alphas', weights: 'virtual' };

/** The training pass alone. */
const LOWER: Round = { kind: 'training', passes: [TRAINING] };
const AFTER_ALPHAS: Round = { kind: 'training', passes: [{ ...TRAINING, alphas: 'moved' }] };
const at = (weights: Pass['weights']): Pass => ({ ...UPPER_FIRST, half: 'weights', weights });
const SIDES: Round = { kind: 'sides', passes: [at('plus'), at('minus')] };
const PROBE: Round = { kind: 'probe', passes: [at('narrow plus'), at('narrow minus')] };

/** The rounds of a step, in order; the state moves after the last. */
export function roundsOf({ variant, order, warmUp, isProbed, repeatPass }: RoundOptions): readonly Round[] {
  if (warmUp === true) return [LOWER];
  if (order === 'first')
    return variant === 'darts'
      ? [{ kind: 'upper', passes: [UPPER_FIRST] }, AFTER_ALPHAS]
      : [{ kind: 'both', passes: [TRAINING, UPPER_FIRST] }];
  const upper: Round = { kind: 'upper', passes: [UPPER_SECOND] };
  const repeated = variant === 'darts' ? [AFTER_ALPHAS] : repeatPass === true ? [LOWER] : [];
  return [LOWER, upper, ...(isProbed === true ? [PROBE] : []), SIDES, ...repeated];
}

/** Numbers of values of a search network. */
export interface SearchSizes {
  /** P. */
  readonly weights: number;
  /** A. */
  readonly alphas: number;
  /** S. */
  readonly running: number;
}

/** Length of a pass's vector: [P + A + S + 1], or [A + S + 1] without the weights' gradient. */
const passLength = (sizes: SearchSizes, wanted: Wanted): number =>
  (wanted === 'alphas' ? 0 : sizes.weights) + sizes.alphas + sizes.running + 1;

/** Length of a round's vector: those of its passes, one behind the other. */
export const roundLength = (sizes: SearchSizes, { passes }: Round): number =>
  passes.reduce((sum, { wanted }) => sum + passLength(sizes, wanted), 0);

/** Views of the passes' vectors in a round's, in order. */
export function passVectors(sizes: SearchSizes, { passes }: Round, vector: Float32Array): Float32Array[] {
  let offset = 0;
  return passes.map(({ wanted }) => {
    const first = offset;
    offset += passLength(sizes, wanted);
    return vector.subarray(first, offset);
  });
}
