// Lowerings of sums, means and extrema over axes. Long sums are taken in stages, because a compiler may add the
// values of one stage one after the other, and the rounding of such a sum grows with its length. Definitions:
// TensorFlow's math_ops; StableHLO, "reduce".

import { axisOf, type Call, type Lowering, type Lowerings, outputOf } from './call.ts';
import { elementsIn, type Ref } from './literals.ts';
import type { ModuleText, Reducer } from './module-text.ts';

/**
 * Sum over these axes in two stages: along the last of them, then over the others. The barrier between them keeps a
 * compiler from making one stage of both. On the CPU plugin a sum over 112 x 112 pixels of 4 images is off by 5.4e-7
 * in one stage, and a PocketNet's gradient by 7.6e-4, because activations cross zero; in two stages the gradient is
 * off by 6e-6.
 */
export function stagedSum(text: ModuleText, x: Ref, axes: readonly number[]): Ref {
  const sorted = [...axes].sort((a, b) => a - b);
  const others = sorted.slice(0, -1);
  if (elementsIn(others.map((axis) => x.shape[axis]!)) <= 1) return text.reduce('add', x, sorted);
  const inner = text.reduce('add', x, sorted.slice(-1));
  return text.reduce('add', text.unary('optimization_barrier', inner), others);
}

/** Axes of the reduction; input 1 holds them, in any order and counted from either end. */
function axesOf(call: Call): number[] {
  const { shape } = call.value(0);
  return [...new Set(call.integers(1).map((axis) => axisOf(axis, shape.length)))].sort((a, b) => a - b);
}

const reduced =
  (op: Reducer): Lowering =>
  (call) => {
    const { text } = call;
    const [x, axes] = [call.input(0), axesOf(call)];
    const result = op === 'add' ? stagedSum(text, x, axes) : text.reduce(op, x, axes);
    return [text.reshape(result, outputOf(call).shape)];
  };

const mean: Lowering = (call) => {
  const { text } = call;
  const [x, axes] = [call.input(0), axesOf(call)];
  const sum = stagedSum(text, x, axes);
  const count = elementsIn(axes.map((axis) => x.shape[axis]!));
  const result = text.binary('divide', sum, text.splat(count, sum.element, sum.shape));
  return [text.reshape(result, outputOf(call).shape)];
};

/** Sums over all axes but the last, which is NHWC's channel. */
const biasAddGrad: Lowering = (call) => {
  const x = call.input(0);
  return [stagedSum(call.text, x, x.shape.map((_, axis) => axis).slice(0, -1))];
};

/** exp(x - max) over its sum along the last axis, or the logarithm of that. */
const softmax: Lowering = (call) => {
  const { text } = call;
  const x = call.input(0);
  const last = x.shape.length - 1;
  const rows = x.shape.map((_, axis) => axis).slice(0, -1);
  const along = (value: Ref) => text.broadcastInto(value, x.shape, rows);
  const shifted = text.binary('subtract', x, along(text.reduce('maximum', x, [last])));
  const powers = text.unary('exponential', shifted);
  const sum = text.reduce('add', powers, [last]);
  return [
    call.node.op === 'Softmax'
      ? text.binary('divide', powers, along(sum))
      : text.binary('subtract', shifted, along(text.unary('log', sum))),
  ];
};

export const reductions: Lowerings = {
  All: reduced('and'),
  Any: reduced('or'),
  BiasAddGrad: biasAddGrad,
  LogSoftmax: softmax,
  Max: reduced('maximum'),
  Mean: mean,
  Min: reduced('minimum'),
  Prod: reduced('multiply'),
  Softmax: softmax,
  Sum: reduced('add'),
};
