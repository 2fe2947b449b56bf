// The weights of class shards: one row a class, so that classes are contiguous, where the layout's
// head.kernel has one column a class. Decides the conversion and the update of rows; the arithmetic is that
// of core/optim/sgd.ts, and like the head there, rows are not clipped.
//
// No row ever holds -0: rows travel between members as sums with zeros, which turn -0 into 0, and bits must
// not tell who has moved.

import { FleetError } from '../errors.ts';
import type { OptimizerOptions } from '../optim/sgd.ts';
import type { ClassRange } from './classes.ts';

/** Rows [count, E] of a shard, from a kernel [E, classes] or back into it. */
interface Cut {
  readonly kernel: Float32Array;
  readonly rows: Float32Array;
  readonly classes: number;
  readonly range: ClassRange;
}

export function takeRows({ kernel, rows, classes, range }: Cut): void {
  const { first, count } = range;
  const embedding = kernel.length / classes;
  for (let e = 0; e < embedding; e++) {
    const from = e * classes + first;
    for (let c = 0; c < count; c++) rows[c * embedding + e] = kernel[from + c]! + 0;
  }
}

export function putRows({ kernel, rows, classes, range }: Cut): void {
  const { first, count } = range;
  const embedding = kernel.length / classes;
  for (let e = 0; e < embedding; e++) {
    const to = e * classes + first;
    for (let c = 0; c < count; c++) kernel[to + c] = rows[c * embedding + e]!;
  }
}

export interface RowsUpdate {
  /** [count, E], in place. */
  readonly weights: Float32Array;
  /** [count, E], in place. */
  readonly momentum: Float32Array;
  /** Classes that took part, ascending. The others keep weights and momentum: they are not decayed either. */
  readonly chosen: Uint32Array;
  /** [chosen, E] */
  readonly gradient: Float32Array;
  /** What the gradient is multiplied by; 1/V, a power of two. */
  readonly scale: number;
  readonly learningRate: number;
  readonly optimizer: OptimizerOptions;
  /** For error messages. */
  readonly step: number;
}

/**
 * One SGD step of the rows that took part; a gradient that is not finite throws before anything is changed.
 */
export function updateRows(update: RowsUpdate): void {
  const { weights, momentum, chosen, gradient, scale, learningRate: rate } = update;
  const { momentum: inertia, weightDecay: decay } = update.optimizer;
  const embedding = gradient.length / chosen.length;
  assertFinite(update);
  for (let i = 0; i < chosen.length; i++) {
    const from = i * embedding;
    const to = chosen[i]! * embedding;
    for (let e = 0; e < embedding; e++) {
      const weight = weights[to + e]!;
      const moved =
        Math.fround(inertia * momentum[to + e]! + (gradient[from + e]! * scale + decay * weight)) + 0;
      momentum[to + e] = moved;
      weights[to + e] = Math.fround(weight - rate * moved) + 0;
    }
  }
}

/** Throws where a gradient of rows is not finite, with its first value that is not. `step`: for the message. */
export function assertFinite({ gradient, step }: Pick<RowsUpdate, 'gradient' | 'step'>): void {
  let sum = 0;
  for (const value of gradient) sum += value * value;
  if (Number.isFinite(sum)) return;
  const value = gradient.find((one) => !Number.isFinite(one));
  throw new FleetError(
    'outOfRange',
    `the gradient of head.kernel is ${value ?? 'too large'} in step ${step}; a smaller learning rate usually cures this`,
    { details: { step, tensor: 'the gradient of head.kernel', ...(value === undefined ? {} : { value }) } },
  );
}
