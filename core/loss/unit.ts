// Vectors of unit length: what margin loss and distillation compare.

import { type Tensor, tf } from '../tensor/tf.ts';

/** Squared length below which a vector counts as zero; keeps the gradient of a zero embedding from being NaN. */
const SQUARE_MIN = 1e-24;

/** x divided by its Euclidean length along `axis`; a zero vector stays zero. */
export function unitAlong(x: Tensor, axis: number): Tensor {
  const square = tf.sum(tf.square(x), axis, true);
  return tf.div(x, tf.sqrt(tf.maximum(square, SQUARE_MIN)));
}
