// Softmax cross entropy with its gradient (softmax - target) / N written out: one pass over the logits, where
// differentiating through logarithm, sum and exponential makes several.

import { type Tensor, type Tensor1D, type Tensor2D, tf } from '../tensor/tf.ts';

/**
 * logits [N, C], targets [N, C] with one 1 in each row -> mean over the batch, scalar. Targets get no
 * gradient. The largest logit of a row is subtracted before exp, which changes no quotient and keeps exp from
 * overflowing.
 */
export function softmaxCrossEntropy(logits: Tensor, targets: Tensor): Tensor {
  const rows = logits.shape[0] ?? 1;
  const loss = tf.customGrad((...args: (Tensor | ((tensors: Tensor[]) => void))[]) => {
    const [x, save] = args as [Tensor, (tensors: Tensor[]) => void];
    const shifted = tf.sub(x, tf.max(x, 1, true)); // [N, C] - [N, 1]
    const exponentials = tf.exp(shifted);
    const sums = tf.sum(exponentials, 1, true); // [N, 1]
    const logLikelihood = tf.mul(targets, tf.sub(shifted, tf.log(sums)));
    const value = tf.neg(tf.div(tf.sum(logLikelihood), rows));
    save([tf.div(exponentials, sums), targets]);
    return {
      value,
      gradFunc: (dy: Tensor | Tensor[], saved: Tensor[]) => {
        const [probabilities, kept] = saved as [Tensor, Tensor];
        return tf.mul(tf.sub(probabilities, kept), tf.div(dy as Tensor, rows));
      },
    };
  });
  return loss(logits);
}

/** labels [N] int32 -> [N, classes] float32. */
export function oneHot(labels: Tensor, classes: number): Tensor2D {
  return tf.oneHot(labels as Tensor1D, classes, 1, 0, 'float32') as Tensor2D;
}
