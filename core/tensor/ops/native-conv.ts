// Convolutions and matrix products as native kernels (Conv2D, DepthwiseConv2dNative, MatMul), with the native
// backward kernels as their gradients. Decides which of the library's forms computes a convolution: the
// padding mode, matrix products for 1x1, a sample before strides, columns of a wide filter gradient. Each
// choice avoids a slow or faulty path of oneDNN on a CPU and has its measurement beside it: milliseconds on
// one thread, of the direct form and of the one taken.
//
// Legend: N images, H x W map, C channels; x [N, H, W, Ci], kernel [kh, kw, Ci, Co], depthwise kernel [kh,
// kw, C, 1].

import { nativeBackend, type OpAttribute, type Tensor, type Tensor4D, tf } from '../tf.ts';
import { attr, DT, defineKernel, executeOne, runKernel, withIntegers } from './kernels.ts';
import { sample } from './sample.ts';

const CONV2D = 'FleetConv2d';
const DEPTHWISE_CONV2D = 'FleetDepthwiseConv2d';
const MATMUL = 'FleetMatMul';

interface Window {
  readonly stride: number;
  readonly padding: number;
}

/**
 * Symmetric padding as TensorFlow's attributes: VALID without padding, SAME where that means (k - 1) / 2 on
 * both sides (stride 1, odd k), because these two have the fastest kernels, EXPLICIT for all else, which
 * saves the extra pass of a separate Pad.
 */
export function paddingAttributes(kernel: readonly number[], window: Window): OpAttribute[] {
  const { stride, padding } = window;
  if (padding === 0) return [attr.text('padding', 'VALID')];
  if (stride === 1 && kernel[0] === 2 * padding + 1 && kernel[1] === 2 * padding + 1)
    return [attr.text('padding', 'SAME')];
  return [
    attr.text('padding', 'EXPLICIT'),
    attr.int('explicit_paddings', [0, 0, padding, padding, padding, padding, 0, 0]),
  ];
}

function convAttributes(kernel: readonly number[], window: Window): OpAttribute[] {
  return [
    attr.type('T', DT.float32),
    attr.int('strides', [1, window.stride, window.stride, 1]),
    ...paddingAttributes(kernel, window),
    attr.text('data_format', 'NHWC'),
    attr.int('dilations', [1, 1, 1, 1]),
  ];
}

/** Names of a kind of convolution. */
interface Convolution {
  /** tfjs' kernel. */
  readonly kernel: string;
  /** TensorFlow's operations. */
  readonly forward: string;
  readonly inputGradient: string;
  readonly filterGradient: string;
  /**
   * Columns of the widest kernel whose filter gradient oneDNN computes on its fast path. A wider one is
   * computed in pieces of so many columns. Forward and both gradients of a depthwise 5x5 on 56x56x16, batch
   * 8, one thread: 3.9 ms at once, 1.4 ms in pieces; of a 7x7: 6.8 and 2.2 ms.
   */
  readonly fastColumns: number;
}

function defineConvolution(names: Convolution): void {
  defineKernel({
    name: names.kernel,
    forward: ({ x, kernel }, attributes) => [
      isPointwise(names, kernel!, attributes as unknown as Window)
        ? pointwise(x!, kernel!)
        : executeOne(names.forward, convAttributes(kernel!.shape, attributes as unknown as Window), [
            x!,
            kernel!,
          ]),
    ],
    saveInputs: ['x', 'kernel'],
    gradient: ([dy], [x, kernel], attributes) => {
      const call = { names, x: x!, kernel: kernel!, dy: dy!, window: attributes as unknown as Window };
      return tf.tidy(() =>
        isPointwise(names, call.kernel, call.window)
          ? pointwiseGradients(call)
          : { x: inputGradient(call), kernel: filterGradient(call) },
      );
    },
  });
}

interface GradientCall {
  readonly names: Convolution;
  readonly x: Tensor;
  readonly kernel: Tensor;
  readonly dy: Tensor;
  readonly window: Window;
}

const onCpu = () => !nativeBackend().binding.isUsingGpuDevice();

/**
 * Whether the gradients take a map that was padded before. oneDNN has no backward kernels with explicit
 * padding, and TensorFlow's own are slower than a Pad (3x3 stride 2 on 56x56x32, forward and both gradients:
 * 1.7 ms, with the Pad 1.1 ms).
 */
const padsFirst = ({ kernel, window }: GradientCall) =>
  onCpu() && paddingAttributes(kernel.shape, window)[0]!.value === 'EXPLICIT';

/** Gradient for x [N, H, W, Ci]; of a padded map, the inside of its gradient. */
function inputGradient(call: GradientCall): Tensor {
  const { names, x, kernel, dy, window } = call;
  const gradient = (shape: number[], { stride, padding }: Window) =>
    withIntegers(shape, (sizes) =>
      executeOne(names.inputGradient, convAttributes(kernel.shape, { stride, padding }), [sizes, kernel, dy]),
    );
  if (!padsFirst(call)) return gradient(x.shape, window);
  const { padding } = window;
  const [images, height, width, channels] = x.shape as [number, number, number, number];
  const padded = [images, height + 2 * padding, width + 2 * padding, channels];
  return tf.slice(gradient(padded, { ...window, padding: 0 }), [0, padding, padding, 0], x.shape);
}

/**
 * Gradient for the kernel, of its shape: at once, or in pieces of `fastColumns` columns that are joined along
 * the kernel's width.
 */
function filterGradient(call: GradientCall): Tensor {
  const { names, x, kernel, dy, window } = call;
  const gradient = (map: Tensor, shape: number[], { stride, padding }: Window) =>
    withIntegers(shape, (sizes) =>
      executeOne(names.filterGradient, convAttributes(shape, { stride, padding }), [map, sizes, dy]),
    );
  const [, columns] = kernel.shape as [number, number, number, number];
  const byColumns = onCpu() && columns > names.fastColumns;
  if (!byColumns && !padsFirst(call)) return gradient(x, kernel.shape, window);
  const padded = padMap(x, window.padding);
  if (!byColumns) return gradient(padded, kernel.shape, { ...window, padding: 0 });
  const parts: Tensor[] = [];
  for (let from = 0; from < columns; from += names.fastColumns) {
    const count = Math.min(names.fastColumns, columns - from);
    // Windows of this piece begin `from` columns further right, and the last output's ends the map: [N, H,
    // (W' - 1) stride + count, C].
    const size = padded.shape.with(2, (dy.shape[2]! - 1) * window.stride + count);
    const map = tf.slice(padded, [0, 0, from, 0], size);
    parts.push(gradient(map, kernel.shape.with(1, count), { ...window, padding: 0 }));
  }
  return tf.concat(parts, 1);
}

/**
 * Whether a convolution is a matrix product over all pixels, [N H W, Ci] times [Ci, Co]. On a CPU that is a
 * third faster than the convolution kernels in all three directions (28x28, 128 to 32 channels, batch 8,
 * forward and both gradients: 2.8 ms and 1.7 ms).
 */
const isPointwise = (names: Convolution, kernel: Tensor, { stride, padding }: Window) =>
  names.kernel === CONV2D && kernel.shape[0] === 1 && kernel.shape[1] === 1 && stride === 1 && padding === 0;

const asMatrix = (x: Tensor) => tf.reshape(x, [-1, x.shape.at(-1)!]);

function pointwise(x: Tensor, kernel: Tensor): Tensor {
  return tf.tidy(() => {
    const y = product(asMatrix(x), asMatrix(kernel), false, false); // [N H W, Ci] [Ci, Co]
    return tf.reshape(y, x.shape.with(3, kernel.shape[3]!));
  });
}

function pointwiseGradients({ x, kernel, dy }: GradientCall): { x: Tensor; kernel: Tensor } {
  return {
    x: tf.reshape(product(asMatrix(dy), asMatrix(kernel), false, true), x.shape),
    kernel: tf.reshape(product(asMatrix(x), asMatrix(dy), true, false), kernel.shape),
  };
}

/** A map with a border of zeros. */
function padMap(x: Tensor, padding: number): Tensor {
  if (padding === 0) return x;
  const around: [number, number] = [padding, padding];
  return tf.pad4d(x as Tensor4D, [[0, 0], around, around, [0, 0]]);
}

defineConvolution({
  kernel: CONV2D,
  forward: 'Conv2D',
  inputGradient: 'Conv2DBackpropInput',
  filterGradient: 'Conv2DBackpropFilter',
  fastColumns: Number.POSITIVE_INFINITY,
});
defineConvolution({
  kernel: DEPTHWISE_CONV2D,
  forward: 'DepthwiseConv2dNative',
  inputGradient: 'DepthwiseConv2dNativeBackpropInput',
  filterGradient: 'DepthwiseConv2dNativeBackpropFilter',
  fastColumns: 3,
});

/** C = op(A) op(B) with op transposing or not, one native MatMul each way. */
function product(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor {
  return executeOne(
    'MatMul',
    [attr.bool('transpose_a', transposeA), attr.bool('transpose_b', transposeB), attr.type('T', DT.float32)],
    [a, b],
  );
}

defineKernel({
  name: MATMUL,
  forward: ({ a, b }, { transposeA, transposeB }) => [
    product(a!, b!, transposeA === true, transposeB === true),
  ],
  saveInputs: ['a', 'b'],
  gradient: ([dy], [a, b], { transposeA, transposeB }) => ({
    a:
      transposeA === true
        ? product(b!, dy!, transposeB === true, true)
        : product(dy!, b!, false, transposeB !== true),
    b:
      transposeB === true
        ? product(dy!, a!, true, transposeA === true)
        : product(a!, dy!, transposeA !== true, false),
  }),
});

/**
 * Whether a kernel reads only every stride-th pixel. Then these are sampled first and convolved at stride 1.
 * oneDNN must not get the strided 1x1 itself: its filter gradient with few channels writes beyond its buffers
 * (libtensorflow 2.21, 8 to 4 channels on 56 pixels, stride 2: heap corruption within 40 runs).
 */
const samples = (kernel: Tensor, { stride, padding }: Window) =>
  kernel.shape[0] === 1 && kernel.shape[1] === 1 && stride > 1 && padding === 0;

export function nativeConv2d(x: Tensor, kernel: Tensor, window: Window): Tensor {
  if (samples(kernel, window))
    return nativeConv2d(sample(x, window.stride, 0), kernel, { stride: 1, padding: 0 });
  return runKernel(CONV2D, { x, kernel }, { ...window })[0]!;
}

/**
 * A kernel as large as its map has one window: a product and a sum over H and W. oneDNN would first bring the
 * weights into a layout for sliding windows (7x7x512, batch 8, forward and both gradients: 2.2 ms, as product
 * and sum 0.34 ms).
 */
export function nativeDepthwiseConv2d(x: Tensor, kernel: Tensor, window: Window): Tensor {
  const [height, width, channels] = kernel.shape as [number, number, number, number];
  if (samples(kernel, window))
    return nativeDepthwiseConv2d(sample(x, window.stride, 0), kernel, { stride: 1, padding: 0 });
  if (window.padding === 0 && x.shape[1] === height && x.shape[2] === width)
    return tf.sum(tf.mul(x, tf.reshape(kernel, [1, height, width, channels])), [1, 2], true);
  return runKernel(DEPTHWISE_CONV2D, { x, kernel }, { ...window })[0]!;
}

export const nativeMatMul = (a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor =>
  runKernel(MATMUL, { a, b }, { transposeA, transposeB })[0]!;
