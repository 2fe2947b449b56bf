// Vectors of unit length, which the margin loss and distillation compare.

import { type Tensor, tf } from '../tensor/tf.ts';

/**
 * Least squared length. The square root has an infinite derivative at 0, and a zero embedding would get a
 * gradient of NaN.
 */
const SQUARE_MIN = 1e-24;

/** x divided by its Euclidean length along `axis`; a zero vector stays zero. */
export function unitAlong(x: Tensor, axis: number): Tensor {
  return tf.div(x, lengthAlong(x, axis));
}

/** Euclidean lengths along `axis`, which stays as a dimension of 1; at least 1e-12. */
export function lengthAlong(x: Tensor, axis: number): Tensor {
  return tf.sqrt(tf.maximum(tf.sum(tf.square(x), axis, true), SQUARE_MIN));
}
