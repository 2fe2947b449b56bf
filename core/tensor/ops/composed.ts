// The operations composed of plain tfjs ones, with tfjs' own gradients. Other backends than `tensorflow` run
// them, and native kernels are tested against them, so they are slow and plain on purpose.

import { type Tensor, type Tensor1D, type Tensor4D, tf } from '../tf.ts';
import { divisorCorrection, type Pool } from './native-pool.ts';

/**
 * Lower than any activation, yet finite: minus infinity from a window of padding alone would become NaN
 * further on.
 */
const MINUS_INFINITY = -3.4e38;

function pad(x: Tensor, padding: number, value = 0): Tensor4D {
  if (padding === 0) return x as Tensor4D;
  return tf.pad4d(
    x as Tensor4D,
    [
      [0, 0],
      [padding, padding],
      [padding, padding],
      [0, 0],
    ],
    value,
  );
}

export function composedConv2d(x: Tensor, kernel: Tensor, stride: number, padding: number): Tensor {
  return tf.conv2d(pad(x, padding), kernel as Tensor4D, stride, 'valid');
}

export function composedDepthwiseConv2d(x: Tensor, kernel: Tensor, stride: number, padding: number): Tensor {
  return tf.depthwiseConv2d(pad(x, padding), kernel as Tensor4D, stride, 'valid');
}

/**
 * Normalises by the biased variance, as every framework does, and returns the unbiased one for running
 * statistics.
 */
export function composedBatchNorm(x: Tensor, scale: Tensor, offset: Tensor, epsilon: number): Tensor[] {
  const axes = x.shape.map((_, axis) => axis).slice(0, -1);
  const count = x.size / x.shape.at(-1)!;
  const { mean, variance } = tf.moments(x, axes);
  const y = tf.add(tf.mul(tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, epsilon))), scale), offset);
  return [y, mean, tf.mul(variance, count / Math.max(1, count - 1))];
}

export function composedBatchNormEval(
  inputs: { x: Tensor; scale: Tensor; offset: Tensor; mean: Tensor; variance: Tensor },
  epsilon: number,
): Tensor {
  const { x, scale, offset, mean, variance } = inputs;
  return tf.batchNorm(
    x,
    mean as Tensor1D,
    variance as Tensor1D,
    offset as Tensor1D,
    scale as Tensor1D,
    epsilon,
  );
}

export function composedPrelu(x: Tensor, slope: Tensor): Tensor {
  const positive = tf.relu(x);
  return tf.add(positive, tf.mul(slope, tf.sub(x, positive)));
}

export function composedMaxPool(x: Tensor, { size, stride, padding }: Pool): Tensor {
  return tf.maxPool(pad(x, padding, MINUS_INFINITY), size, stride, 'valid');
}

export function composedAvgPool(x: Tensor, pool: Pool): Tensor {
  const mean = tf.avgPool(pad(x, pool.padding), pool.size, pool.stride, 'valid');
  return pool.padding === 0 ? mean : tf.mul(mean, divisorCorrection(x.shape, pool));
}
