// Every n-th pixel of a map, which is all that a strided 1x1 convolution reads: as reshapes and one Slice,
// whose gradient is one Pad. Both samples that a factorised reduction reads are one operation of our own
// where these exist (native/sample.cc).

import { hasOwnKernels, type Tensor, tf } from '../tf.ts';
import { attr, defineKernel, execute, executeOne, runKernel } from './kernels.ts';

/**
 * Every s-th row and column of x [N, H, W, C] from `offset` on -> [N, ceil(H / s), ceil(W / s), C], s being
 * the stride; pixels beyond the map are zero. Seen as [N H / s, s, W / s, s C], the wanted pixels are one slice of
 * four dimensions.
 */
export function sample(x: Tensor, stride: number, offset: number): Tensor {
  const [images, height, width, channels] = x.shape as [number, number, number, number];
  const missing = (length: number): number => Math.ceil(length / stride) * stride - length;
  const whole =
    missing(height) + missing(width) === 0
      ? x
      : tf.pad(x, [
          [0, 0],
          [0, missing(height)],
          [0, missing(width)],
          [0, 0],
        ]);
  const [rows, columns] = [Math.ceil(height / stride), Math.ceil(width / stride)];
  const blocks = tf.reshape(whole, [images * rows, stride, columns, stride * channels]); // [N H/s, s, W/s, s C]
  const chosen = tf.slice(blocks, [0, offset, 0, offset * channels], [images * rows, 1, columns, channels]);
  return tf.reshape(chosen, [images, rows, columns, channels]); // [N H/s, 1, W/s, C] -> [N, H/s, W/s, C]
}

const BOTH = 'FleetSamples';

defineKernel({
  name: BOTH,
  forward: ({ x }) => execute('FleetSample', [attr.int('parts', 1)], [x!], 2),
  saveInputs: [],
  gradient: ([even, odd]) => ({
    // One map each, nothing added: the passes over a recording (core/tensor/passes) change these numbers.
    x: executeOne('FleetSampleGrad', [attr.int('N', 0), attr.int('dparts', 1)], [even!, odd!]),
  }),
});

/**
 * Pixels of x [N, H, W, C] in even rows and columns, and in odd ones, [N, H / 2, W / 2, C] each; H and W are
 * even.
 */
export function evenAndOdd(x: Tensor): [Tensor, Tensor] {
  if (!hasOwnKernels()) return [sample(x, 2, 0), sample(x, 2, 1)];
  return runKernel(BOTH, { x }) as [Tensor, Tensor];
}
