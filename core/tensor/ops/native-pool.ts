// Pooling as native kernels: our own operation (native/pool.cc) where it exists and is wanted, else MaxPool and AvgPool
// with their backward kernels. Where TensorFlow's SAME is no symmetric padding, the map is padded for these first: with
// the lowest number for a maximum, with zeros and a corrected divisor for a mean. Explicit padding was rejected for the
// maximum: oneDNN has no such kernel, and TensorFlow's own gradient is fifty times slower (56x56x16, batch 8: 17 ms
// against 0.3).

import { hasOwnKernels, type OpAttribute, type Tensor, type Tensor4D, tf } from '../tf.ts';
import { type Attributes, attr, DT, defineKernel, executeOne, runKernel, withIntegers } from './kernels.ts';
import { paddingAttributes } from './native-conv.ts';

const MAX_POOL = 'FleetMaxPool';
const AVG_POOL = 'FleetAvgPool';

/** A pool's window in pixels; padding on all four sides. */
export interface Pool {
  readonly size: number;
  readonly stride: number;
  readonly padding: number;
}

function poolAttributes(attributes: Attributes): OpAttribute[] {
  const { size, stride, padding } = attributes as unknown as Pool;
  return [
    attr.type('T', DT.float32),
    attr.int('ksize', [1, size, size, 1]),
    attr.int('strides', [1, stride, stride, 1]),
    ...paddingAttributes([size, size], { stride, padding }),
    attr.text('data_format', 'NHWC'),
  ];
}

defineKernel({
  name: MAX_POOL,
  forward: ({ x }, attributes) => [executeOne('MaxPool', poolAttributes(attributes), [x!])],
  saveInputs: ['x'],
  saveOutputs: [true],
  gradient: ([dy], [x, y], attributes) => ({
    x: executeOne('MaxPoolGrad', poolAttributes(attributes), [x!, y!, dy!]),
  }),
});

// The gradient needs only the input's shape, but tfjs saves tensors and no shapes. Saving copies nothing.
defineKernel({
  name: AVG_POOL,
  forward: ({ x }, attributes) => [executeOne('AvgPool', poolAttributes(attributes), [x!])],
  saveInputs: ['x'],
  gradient: ([dy], [x], attributes) => ({
    x: withIntegers(x!.shape, (sizes) => executeOne('AvgPoolGrad', poolAttributes(attributes), [sizes, dy!])),
  }),
});

const OWN_MAX_POOL = 'FleetOwnMaxPool';
const OWN_AVG_POOL = 'FleetOwnAvgPool';

const ownAttributes = (attributes: Attributes): OpAttribute[] => {
  const { size, stride, padding } = attributes as unknown as Pool;
  return [attr.int('size', size), attr.int('stride', stride), attr.int('padding', padding)];
};

defineKernel({
  name: OWN_MAX_POOL,
  forward: ({ x }, attributes) => [executeOne('FleetMaxPool', ownAttributes(attributes), [x!])],
  saveInputs: ['x'],
  gradient: ([dy], [x], attributes) => ({
    x: executeOne('FleetMaxPoolGrad', ownAttributes(attributes), [dy!, x!]),
  }),
});

defineKernel({
  name: OWN_AVG_POOL,
  forward: ({ x }, attributes) => [executeOne('FleetAvgPool', ownAttributes(attributes), [x!])],
  saveInputs: ['x'],
  gradient: ([dy], [x], attributes) => ({
    x: executeOne(
      'FleetAvgPoolGrad',
      [...ownAttributes(attributes), attr.int('height', x!.shape[1]!), attr.int('width', x!.shape[2]!)],
      [dy!],
    ),
  }),
});

/** Whose operation computes a pool where there are both. */
export type PoolKernels = 'own' | 'library';

/** Whether our own operation takes the pool: each window has to have a part inside the map. */
const isOwn = ({ size, padding }: Pool, kernels: PoolKernels) =>
  kernels === 'own' && hasOwnKernels() && padding < size;

/**
 * Lower than any activation, yet finite: minus infinity from a window of padding alone would become NaN
 * further on.
 */
const LOWEST = -3.4e38;

/** Whether TensorFlow's VALID or SAME is this padding. */
const padsInside = ({ size, stride, padding }: Pool) =>
  padding === 0 || (stride === 1 && size === 2 * padding + 1);

export function nativeMaxPool(x: Tensor, pool: Pool, kernels: PoolKernels): Tensor {
  if (isOwn(pool, kernels)) return runKernel(OWN_MAX_POOL, { x }, { ...pool })[0]!;
  if (padsInside(pool)) return runKernel(MAX_POOL, { x }, { ...pool })[0]!;
  return runKernel(MAX_POOL, { x: padded(x, pool.padding, LOWEST) }, { ...pool, padding: 0 })[0]!;
}

function padded(x: Tensor, padding: number, value: number): Tensor {
  const around: [number, number] = [padding, padding];
  return tf.pad4d(x as Tensor4D, [[0, 0], around, around, [0, 0]], value);
}

/**
 * Mean over the part of each window inside the map. TensorFlow's SAME leaves padding out of the divisor;
 * VALID on a padded map does not.
 */
export function nativeAvgPool(x: Tensor, pool: Pool, kernels: PoolKernels): Tensor {
  if (isOwn(pool, kernels)) return runKernel(OWN_AVG_POOL, { x }, { ...pool })[0]!;
  if (padsInside(pool)) return runKernel(AVG_POOL, { x }, { ...pool })[0]!;
  const mean = runKernel(AVG_POOL, { x: padded(x, pool.padding, 0) }, { ...pool, padding: 0 })[0]!;
  return tf.mul(mean, divisorCorrection(x.shape, pool));
}

/**
 * [1, H', W', 1]: area of a window over the area of its part inside the map. Both are products of a row's and
 * a column's share, so it is an outer product of two short vectors, small enough to be a constant of a graph.
 */
export function divisorCorrection(shape: readonly number[], pool: Pool): Tensor {
  const rows = axisCorrection(shape[1]!, pool);
  const columns = axisCorrection(shape[2]!, pool);
  return tf.mul(tf.tensor4d(rows, [1, rows.length, 1, 1]), tf.tensor4d(columns, [1, 1, columns.length, 1]));
}

/** Window length over the length inside the map, for each output of one axis. */
function axisCorrection(length: number, { size, stride, padding }: Pool): number[] {
  const outputs = Math.floor((length + 2 * padding - size) / stride) + 1;
  return Array.from({ length: outputs }, (_, i) => {
    const from = Math.max(0, i * stride - padding);
    const to = Math.min(length, i * stride - padding + size);
    return size / (to - from);
  });
}
