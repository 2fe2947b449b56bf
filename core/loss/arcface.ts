// ArcFace (Deng et al., 2019, eq. 3) as the reference trains with it: an angle m is added to the target's angle, or, where
// that would pass pi, a constant is subtracted from its cosine. One thing is different on purpose: the reference clamps
// cosines to at most 1 + 1e-5, and a cosine that rounds above 1 makes sqrt(1 - cos^2) NaN; here they are clamped to
// 1 - 1e-5 and a clamped cosine has gradient zero.
//
// Legend: N images, E embedding, C classes.

import { matMul } from '../tensor/ops/ops.ts';
import { type Tensor, tf } from '../tensor/tf.ts';
import { oneHot, softmaxCrossEntropy } from './softmax.ts';
import { lengthAlong } from './unit.ts';

export interface Margin {
  /** s, what all logits are multiplied by. */
  readonly scale: number;
  /** m, in radians. */
  readonly margin: number;
}

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
  // The product is divided by the classes' lengths, not the kernel beforehand: one rounding less in each cosine, which near
  // 1 the margin's slope and the scale multiply by hundreds.
  const products = tf.div(matMul(unit, kernel), lengthAlong(kernel, 0));
  const cosines = tf.clipByValue(products, -COSINE_MAX, COSINE_MAX);
  const target = tf.sum(tf.mul(cosines, targets), 1, true); // [N, 1]
  const withMargin = addMargin(target, margin);
  // Products with 0 and 1 keep both sides exact, which adding a difference would not.
  const mixed = tf.add(tf.mul(cosines, tf.sub(1, targets)), tf.mul(withMargin, targets));
  return tf.mul(mixed, scale);
}

/**
 * cos(theta + m) where theta + m stays below pi, else the cosine less a constant. With a gradient of its own, because tfjs
 * would differentiate through the comparison and has no gradient for one.
 */
function addMargin(cosine: Tensor, margin: number): Tensor {
  const [cosMargin, sinMargin] = [Math.cos(margin), Math.sin(margin)];
  const add = tf.customGrad((...args: (Tensor | ((tensors: Tensor[]) => void))[]) => {
    const [c, save] = args as [Tensor, (tensors: Tensor[]) => void];
    // (1-c)(1+c) rather than 1-c^2: near 1 the square rounds away what the difference is made of.
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
