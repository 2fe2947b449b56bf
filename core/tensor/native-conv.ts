// Convolutions and matrix products as native kernels, with the native backward kernels as their gradients. Decides how
// symmetric padding is told to TensorFlow: VALID and SAME where they mean the same, because those take the fastest
// paths, explicit padding otherwise, which saves the extra pass of a separate Pad.

import { type Attributes, attr, DT, defineKernel, executeOne, runKernel, withIntegers } from './kernels.ts';
import type { OpAttribute, Tensor } from './tf.ts';

export const CONV2D = 'FleetConv2d';
export const DEPTHWISE_CONV2D = 'FleetDepthwiseConv2d';
export const MATMUL = 'FleetMatMul';

interface Window {
  readonly stride: number;
  readonly padding: number;
}

/** Symmetric padding as TensorFlow's attributes. SAME at stride 1 pads (k-1)/2 on both sides when k is odd. */
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

function convAttributes(kernel: Tensor, attributes: Attributes): OpAttribute[] {
  const window = attributes as unknown as Window;
  return [
    attr.type('T', DT.float32),
    attr.int('strides', [1, window.stride, window.stride, 1]),
    ...paddingAttributes(kernel.shape.slice(0, 2), window),
    attr.text('data_format', 'NHWC'),
    attr.int('dilations', [1, 1, 1, 1]),
  ];
}

function defineConvolution(names: { kernel: string; forward: string; input: string; filter: string }): void {
  defineKernel({
    name: names.kernel,
    forward: ({ x, kernel }, attributes) => [
      executeOne(names.forward, convAttributes(kernel!, attributes), [x!, kernel!]),
    ],
    saveInputs: ['x', 'kernel'],
    gradient: ([dy], [x, kernel], attributes) => {
      const native = convAttributes(kernel!, attributes);
      return {
        x: withIntegers(x!.shape, (sizes) => executeOne(names.input, native, [sizes, kernel!, dy!])),
        kernel: withIntegers(kernel!.shape, (sizes) => executeOne(names.filter, native, [x!, sizes, dy!])),
      };
    },
  });
}

defineConvolution({
  kernel: CONV2D,
  forward: 'Conv2D',
  input: 'Conv2DBackpropInput',
  filter: 'Conv2DBackpropFilter',
});
defineConvolution({
  kernel: DEPTHWISE_CONV2D,
  forward: 'DepthwiseConv2dNative',
  input: 'DepthwiseConv2dNativeBackpropInput',
  filter: 'DepthwiseConv2dNativeBackpropFilter',
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

export const nativeConv2d = (x: Tensor, kernel: Tensor, window: Window): Tensor =>
  runKernel(CONV2D, { x, kernel }, { ...window })[0]!;

export const nativeDepthwiseConv2d = (x: Tensor, kernel: Tensor, window: Window): Tensor =>
  runKernel(DEPTHWISE_CONV2D, { x, kernel }, { ...window })[0]!;

export const nativeMatMul = (a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor =>
  runKernel(MATMUL, { a, b }, { transposeA, transposeB })[0]!;
