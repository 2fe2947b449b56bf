// The operations that networks are made of, differentiable, on float32 tensors. On the tensorflow backend
// they are native kernels with native gradients, on other backends compositions of plain tfjs operations;
// results are equal to rounding. Padding is PyTorch's: symmetric.
//
// Legend: N images, H x W map, C channels; maps are NHWC, kernels HWIO.

import { FleetError } from '../../errors.ts';
import { hasOwnKernels, isNative, type Tensor, type Tensor2D, tf } from '../tf.ts';
import {
  composedAvgPool,
  composedBatchNorm,
  composedBatchNormEval,
  composedConv2d,
  composedDepthwiseConv2d,
  composedMaxPool,
  composedPrelu,
} from './composed.ts';
import { nativeConv2d, nativeDepthwiseConv2d, nativeMatMul } from './native-conv.ts';
import { nativeBatchNorm, nativeBatchNormEval } from './native-norm.ts';
import { nativeAvgPool, nativeMaxPool, type PoolKernels } from './native-pool.ts';
import { nativePrelus } from './native-prelu.ts';
import {
  nativeAffineSeparable,
  nativeSeparable,
  type SeparableWeights,
  type SeparableWindow,
} from './native-separable.ts';

/**
 * x [N, H, W, Ci], kernel [kh, kw, Ci, Co] -> [N, H', W', Co] with H' = floor((H + 2 padding - kh) / stride)
 * + 1.
 */
export function conv2d(x: Tensor, kernel: Tensor, stride = 1, padding = 0): Tensor {
  checkChannels('conv2d', x, kernel, kernel.shape[2]!);
  return isNative()
    ? nativeConv2d(x, kernel, { stride, padding })
    : composedConv2d(x, kernel, stride, padding);
}

/** x [N, H, W, C], kernel [kh, kw, C, 1] -> [N, H', W', C]: each channel with its own filter. */
export function depthwiseConv2d(x: Tensor, kernel: Tensor, stride = 1, padding = 0): Tensor {
  checkChannels('depthwiseConv2d', x, kernel, kernel.shape[2]!);
  return isNative()
    ? nativeDepthwiseConv2d(x, kernel, { stride, padding })
    : composedDepthwiseConv2d(x, kernel, stride, padding);
}

/**
 * x [N, H, W, Ci], kernel [kh, kw, Ci / groups, Co] -> [N, H', W', Co]. Group g maps input channels g Ci /
 * groups and on to output channels g Co / groups and on.
 */
export function groupedConv2d(x: Tensor, kernel: Tensor, groups: number, stride = 1, padding = 0): Tensor {
  checkChannels('groupedConv2d', x, kernel, kernel.shape[2]! * groups);
  if (kernel.shape[3]! % groups !== 0)
    throw new FleetError(
      'invalidArgument',
      `groupedConv2d: ${kernel.shape[3]} output channels do not divide into ${groups} groups`,
    );
  // tfjs cannot differentiate a split into one part.
  if (groups === 1) return conv2d(x, kernel, stride, padding);
  const maps = tf.split(x, groups, 3);
  const kernels = tf.split(kernel, groups, 3);
  return tf.concat(
    maps.map((map, group) => conv2d(map, kernels[group]!, stride, padding)),
    3,
  );
}

export type { SeparableWeights } from './native-separable.ts';

/** Result of a batch norm in training. */
export interface NormalisedBatch {
  readonly y: Tensor;
  /** [C], without gradient: for running statistics. */
  readonly mean: Tensor;
  /** [C], unbiased, without gradient: for running statistics. */
  readonly variance: Tensor;
}

/**
 * Normalises x [N, H, W, C] or [N, C] by the statistics of this batch; scale and offset are [C], or null for
 * 1 and 0.
 */
export function batchNormTrain(
  x: Tensor,
  scale: Tensor | null,
  offset: Tensor | null,
  epsilon: number,
): NormalisedBatch {
  const map = asMap(x);
  const channels = map.shape[3]!;
  const run = isNative() ? nativeBatchNorm : composedBatchNorm;
  const [y, mean, variance] = run(map, scale ?? tf.ones([channels]), offset ?? tf.zeros([channels]), epsilon);
  return { y: asShape(y!, x.shape), mean: mean!, variance: variance! };
}

/**
 * PReLU, depthwise convolution (with the window's stride and padding), pointwise convolution and batch norm
 * of x [N, H, W, C] by the statistics of this batch -> y [N, H', W', O]. One operation of our own where it
 * exists (`hasOwnKernels`), else composed of the above.
 */
export function separable(x: Tensor, weights: SeparableWeights, window: SeparableWindow): NormalisedBatch {
  if (hasOwnKernels()) {
    const [y, mean, variance] = nativeSeparable(x, weights, window);
    return { y: y!, mean: mean!, variance: variance! };
  }
  const { slope, depthwise, pointwise, scale, offset } = weights;
  const hidden = depthwiseConv2d(prelu(x, slope), depthwise, window.stride, window.padding);
  return batchNormTrain(conv2d(hidden, pointwise), scale, offset, window.epsilon);
}

/**
 * The same block with y = z scale + offset in place of the batch norm, z [N, H', W', O] being the pointwise
 * convolution's map: the block in evaluation. Not differentiable. Only where the operation exists
 * (`hasOwnKernels`).
 */
export const affineSeparable = (
  x: Tensor,
  weights: SeparableWeights,
  window: Pick<SeparableWindow, 'stride' | 'padding'>,
): Tensor => nativeAffineSeparable(x, weights, window);

/**
 * Normalises x [N, H, W, C] or [N, C] by given statistics [C]; not differentiable on the tensorflow backend.
 */
export function batchNormEval(
  x: Tensor,
  mean: Tensor,
  variance: Tensor,
  scale: Tensor | null,
  offset: Tensor | null,
  epsilon: number,
): Tensor {
  const channels = x.shape.at(-1)!;
  const run = isNative() ? nativeBatchNormEval : composedBatchNormEval;
  const inputs = {
    x: asMap(x),
    mean,
    variance,
    scale: scale ?? tf.ones([channels]),
    offset: offset ?? tf.zeros([channels]),
  };
  return asShape(run(inputs, epsilon), x.shape);
}

/** x [N, H, W, C] or [N, C] where positive, slope [C] times x elsewhere, for any slope. */
export function prelu(x: Tensor, slope: Tensor): Tensor {
  return prelus(x, [slope])[0]!;
}

/** One PReLU of x for each of the slopes [C]; what does not depend on the slope is computed once. */
export function prelus(x: Tensor, slopes: readonly Tensor[]): Tensor[] {
  if (!isNative()) return slopes.map((slope) => composedPrelu(x, slope));
  return nativePrelus(asMap(x), slopes).map((y) => asShape(y, x.shape));
}

/**
 * Largest value of each window of size x size; padding counts as minus infinity. `kernels`: whose operation computes it
 * on a CPU.
 */
export function maxPool(
  x: Tensor,
  size: number,
  stride: number,
  padding: number,
  kernels: PoolKernels = 'own',
): Tensor {
  return isNative()
    ? nativeMaxPool(x, { size, stride, padding }, kernels)
    : composedMaxPool(x, { size, stride, padding });
}

/** Mean of each window of size x size over the part inside the map: padding is left out of the divisor. */
export function avgPool(
  x: Tensor,
  size: number,
  stride: number,
  padding: number,
  kernels: PoolKernels = 'own',
): Tensor {
  return isNative()
    ? nativeAvgPool(x, { size, stride, padding }, kernels)
    : composedAvgPool(x, { size, stride, padding });
}

/** Product of two matrices, either one transposed first. */
export function matMul(a: Tensor, b: Tensor, transposeA = false, transposeB = false): Tensor {
  return isNative()
    ? nativeMatMul(a, b, transposeA, transposeB)
    : tf.matMul(a as Tensor2D, b as Tensor2D, transposeA, transposeB);
}

/** x [N, I] times weight [I, O] (TensorFlow's order; PyTorch's is [O, I]) plus bias [O] or none -> [N, O]. */
export function linear(x: Tensor, weight: Tensor, bias: Tensor | null): Tensor {
  const y = matMul(x, weight);
  return bias === null ? y : tf.add(y, bias);
}

/** [N, H, W, C] -> [N, C H W] in PyTorch's order, channels slowest. */
export function flattenChw(x: Tensor): Tensor {
  const [images, height, width, channels] = x.shape as [number, number, number, number];
  const ordered = height * width === 1 ? x : tf.transpose(x, [0, 3, 1, 2]); // [N, C, H, W]
  return tf.reshape(ordered, [images, channels * height * width]);
}

/** Native kernels take maps, so a matrix [N, C] becomes a map of one pixel. */
function asMap(x: Tensor): Tensor {
  if (x.rank === 4) return x;
  return tf.reshape(x, [x.shape[0]!, 1, 1, x.shape[1]!]);
}

function asShape(x: Tensor, shape: number[]): Tensor {
  return x.rank === shape.length ? x : tf.reshape(x, shape);
}

/** Checked here because TensorFlow's own message names neither the operation nor the tensor. */
function checkChannels(name: string, x: Tensor, kernel: Tensor, channels: number): void {
  if (x.rank !== 4 || kernel.rank !== 4 || x.shape[3] !== channels)
    throw new FleetError(
      'invalidArgument',
      `${name}: a map [${x.shape}] does not fit a kernel [${kernel.shape}]; the map needs ${channels} channels`,
    );
}
