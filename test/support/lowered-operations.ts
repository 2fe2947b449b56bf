// Cases of single operations, which tests of lowerings compare with TensorFlow.

import { attr, DT, executeOne } from '../../core/tensor/ops/kernels.ts';
import { type Tensor, tf } from '../../core/tensor/tf.ts';
import { type Case, floats } from './lowered.ts';

/** Operations with windows, which test/pjrt/windows.ts compares; test/pjrt/operations.ts compares all others. */
export const WINDOWED: readonly string[] =
  'AvgPool AvgPoolGrad Conv2D Conv2DBackpropFilter Conv2DBackpropInput DepthwiseConv2dNative DepthwiseConv2dNativeBackpropFilter DepthwiseConv2dNativeBackpropInput MaxPool MaxPoolGrad'.split(
    ' ',
  );

/** Repeatable whole numbers in [from, to]. */
export function chooser(seed: number): (from: number, to: number) => number {
  let state = seed;
  return (from, to) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return from + Math.floor((state / 2 ** 32) * (to - from + 1));
  };
}

/** The operations of which a case was made in this process. */
export const seen = new Set<string>();

/** A case of one operation of float32 tensors with these attributes. */
export function operation(
  op: string,
  shapes: readonly (readonly number[])[],
  bound: Case['bound'],
  options: {
    readonly attributes?: () => ReturnType<typeof attr.int>[];
    readonly build?: (inputs: Tensor[]) => Tensor[];
    readonly seed?: number;
    /** Of each value of the inputs. */
    readonly change?: (value: number) => number;
  } = {},
): Case {
  seen.add(op);
  const { change = (value) => value, seed = 1 } = options;
  const inputs = shapes.map((shape, i) => {
    const { values } = floats(shape, seed + 31 * i);
    return { shape, values: values.map(change) };
  });
  const build =
    options.build ??
    ((tensors: Tensor[]) => [
      executeOne(op, [attr.type('T', DT.float32), ...(options.attributes?.() ?? [])], tensors),
    ]);
  return { title: `${op} of ${shapes.map((shape) => `[${shape}]`).join(', ')}`, inputs, build, bound };
}

export const asFloats = (tensor: Tensor) => tf.cast(tensor, 'float32');
