// Vectors of unit length: what margin loss and distillation compare.

import { type Tensor, tf } from '../tensor/tf.ts';

/** Squared length below which a vector counts as zero; keeps the gradient of a zero embedding from being NaN. */
const SQUARE_MIN = 1e-24;

/** x divided by its Euclidean length along `axis`; a zero vector stays zero. */
export function unitAlong(x: Tensor, axis: number): Tensor {
  return tf.div(x, lengthAlong(x, axis));
}

/** Euclidean lengths along `axis`, which stays as a dimension of 1; never zero. */
export function lengthAlong(x: Tensor, axis: number): Tensor {
  return tf.sqrt(tf.maximum(tf.sum(tf.square(x), axis, true), SQUARE_MIN));
}
