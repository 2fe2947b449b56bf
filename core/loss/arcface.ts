// ArcFace (Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", 2019, eq. 3) as
// the reference trains with it. With c the cosine of the angle t between embedding and class, the target's
// logit is
//     s cos(t + m) = s (c cos m - sqrt(1 - c^2) sin m)   where t + m < pi, that is c > -cos m,
//     s (c - m sin m)                                    elsewhere, so that it keeps falling with the angle,
// and every other class has s c. One thing differs from the reference on purpose: that clamps cosines to at
// most 1 + 1e-5, and a cosine that rounds above 1 makes sqrt(1 - c^2) NaN. Here they are clamped to 1 - 1e-5,
// and a clamped cosine has gradient zero.
//
// Legend: N images, E embedding, C classes.

import { matMul } from '../tensor/ops/ops.ts';
import { type Tensor, tf } from '../tensor/tf.ts';
import { oneHot, softmaxCrossEntropy } from './softmax.ts';
import { lengthAlong } from './unit.ts';

/** Constants of the loss. */
export interface Margin {
  /** s, the factor of all logits. */
  readonly scale: number;
  /** m, in radians. */
  readonly margin: number;
}

/** Largest cosine: sqrt(1 - c^2), a divisor in the gradient, stays above 4e-3. */
const COSINE_MAX = 1 - 1e-5;

/** unit [N, E] of unit length, kernel [E, C] of any length, labels [N] int32 -> mean loss, scalar. */
export function arcfaceLoss(unit: Tensor, kernel: Tensor, labels: Tensor, margin: Margin): Tensor {
  const targets = oneHot(labels, kernel.shape[1] ?? 0);
  return softmaxCrossEntropy(arcfaceLogits(unit, kernel, targets, margin), targets);
}

/** Scaled cosines with the margin on the target, [N, C]. */
export function arcfaceLogits(
  unit: Tensor,
  kernel: Tensor,
  targets: Tensor,
  { scale, margin }: Margin,
): Tensor {
  // The product is divided by the classes' lengths, instead of the kernel beforehand: one rounding less in
  // each cosine, and near 1 the margin's derivative and the scale multiply a rounding by hundreds.
  const products = tf.div(matMul(unit, kernel), lengthAlong(kernel, 0)); // [N, E] [E, C] / [1, C] -> [N, C]
  const cosines = tf.clipByValue(products, -COSINE_MAX, COSINE_MAX);
  const target = tf.sum(tf.mul(cosines, targets), 1, true); // [N, 1]
  const withMargin = addMargin(target, margin); // [N, 1]
  // Products with 0 and 1 are exact; cosines + targets (withMargin - target) would round both sides.
  const mixed = tf.add(tf.mul(cosines, tf.sub(1, targets)), tf.mul(withMargin, targets));
  return tf.mul(mixed, scale);
}

/**
 * The target's cosine with the margin, [N, 1]. The gradient is given here, because tfjs would differentiate
 * through the comparison and has no gradient for it: d/dc = cos m + c sin m / sqrt(1 - c^2) where the angle
 * is inside, else 1.
 */
function addMargin(cosine: Tensor, margin: number): Tensor {
  const [cosMargin, sinMargin] = [Math.cos(margin), Math.sin(margin)];
  const add = tf.customGrad((...args: (Tensor | ((tensors: Tensor[]) => void))[]) => {
    const [c, save] = args as [Tensor, (tensors: Tensor[]) => void];
    // (1 - c)(1 + c), not 1 - c^2: near 1 the rounding of the square is as large as the difference.
    const sine = tf.sqrt(tf.mul(tf.sub(1, c), tf.add(1, c)));
    const inside = tf.greater(c, -cosMargin);
    const rotated = tf.sub(tf.mul(c, cosMargin), tf.mul(sine, sinMargin));
    const value = tf.where(inside, rotated, tf.sub(c, margin * sinMargin));
    save([tf.where(inside, tf.add(tf.mul(tf.div(c, sine), sinMargin), cosMargin), tf.onesLike(c))]);
    return {
      value,
      gradFunc: (dy: Tensor | Tensor[], saved: Tensor[]) => tf.mul(dy as Tensor, saved[0] as Tensor),
    };
  });
  return add(cosine);
}
