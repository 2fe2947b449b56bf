// The distillation term (reference facts 4.3): weight times the mean, over batch and dimensions, of the
// squared difference of unit embeddings. For unit vectors |a - b|^2 = 2 - 2 cos, so it equals 2 weight / E
// times (1 - mean cosine).

import { type Tensor, tf } from '../tensor/tf.ts';
import { unitAlong } from './unit.ts';

/**
 * unit [N, E] of unit length (the student), teacher [N, E] of any length, weight [] -> scalar. The teacher gets
 * no gradient.
 */
export function distillationLoss(unit: Tensor, teacher: Tensor, weight: Tensor | number): Tensor {
  return tf.mul(tf.mean(tf.square(tf.sub(unit, unitAlong(teacher, 1)))), weight);
}
