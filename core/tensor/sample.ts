// Every n-th pixel of a map, which is what a strided 1x1 convolution reads: as reshapes and one slice, so that the gradient
// is one padding.

import { type Tensor, tf } from './tf.ts';

/**
 * Every `stride`-th row and column of x [N, H, W, C] from `offset` on, ceil(H / stride) x ceil(W / stride) of them; what lies
 * beyond the map is zero. A row of blocks is seen as [H/s, s, W/s, s C], in which the wanted pixels are one slice.
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
  const blocks = tf.reshape(whole, [images, rows, stride, columns, stride * channels]);
  const chosen = tf.slice(blocks, [0, 0, offset, 0, offset * channels], [images, rows, 1, columns, channels]);
  return tf.reshape(chosen, [images, rows, columns, channels]);
}
