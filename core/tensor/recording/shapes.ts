// Shapes and types of what a TensorFlow operation returns, from those of its inputs: one rule for each
// operation that networks use, so that a function can be recorded without computing anything. Names,
// attributes and order of inputs are TensorFlow's (op definitions of tensorflow/core/ops). An operation
// without a rule here is run once on zeros instead. A test compares every rule with the operation.

import { FleetError } from '../../errors.ts';
import { DT } from '../ops/kernels.ts';
import type { OpAttribute } from '../tf.ts';

/** What is known of a tensor while it is recorded. */
export interface Value {
  readonly shape: readonly number[];
  /** TensorFlow's DataType number. */
  readonly dtype: number;
  /**
   * The values, where it is a short int32 constant: other operations take shapes, sizes and axes from such
   * tensors.
   */
  readonly integers?: readonly number[];
}

type Shape = readonly number[];

interface Call {
  readonly op: string;
  readonly inputs: readonly Value[];
  readonly outputs: number;
  readonly attribute: (name: string) => OpAttribute['value'] | undefined;
}

type Rule = (call: Call) => Value[];

/** Outputs of the operation, or null where it has no rule. `outputs` is how many the caller expects. */
export function inferOutputs(
  op: string,
  attributes: readonly OpAttribute[],
  inputs: readonly Value[],
  outputs: number,
): Value[] | null {
  const rule = RULES.get(op);
  if (rule === undefined) return null;
  return rule({
    op,
    inputs,
    outputs,
    attribute: (name) => attributes.find((attribute) => attribute.name === name)?.value,
  });
}

const RULES = new Map<string, Rule>();
const define = (names: string, rule: Rule) => {
  for (const name of names.split(' ')) RULES.set(name, rule);
};

const first = (call: Call): Value => call.inputs[0]!;
const like = (value: Value, shape: Shape = value.shape, dtype = value.dtype): Value => ({ shape, dtype });

/** Values of an input that must be a constant, such as a shape or axes. */
function integers({ op, inputs }: Call, index: number): readonly number[] {
  const values = inputs[index]?.integers;
  if (values === undefined)
    throw new FleetError(
      'failedPrecondition',
      `${op} takes its input ${index} (a shape, size or axis) from a computed tensor; a graph needs constant shapes there`,
    );
  return values;
}

/** Numpy's rule: shapes are aligned at their last axis, and an axis of size 1 takes the other's size. */
function broadcast(...shapes: Shape[]): number[] {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = shapes.map((shape) => shape[axis - rank + shape.length] ?? 1);
    return sizes.find((size) => size !== 1) ?? 1;
  });
}

const axisOf = (axis: number, rank: number) => (axis < 0 ? axis + rank : axis);

define(
  'Relu Relu6 Neg Exp Log Log1p Expm1 Sqrt Rsqrt Square Abs Sigmoid Tanh Sin Cos Tan Asin Acos Atan Sign Floor Ceil Round Reciprocal Softplus Elu Selu Erf Softmax LogSoftmax ZerosLike OnesLike Identity ReluGrad BiasAdd AddN MaxPoolGrad LogicalNot Cumsum',
  (call) => [like(first(call))],
);
define(
  'AddV2 Add Sub Mul RealDiv Div DivNoNan Maximum Minimum SquaredDifference Pow FloorDiv FloorMod Atan2',
  ({ inputs: [a, b] }) => [like(a!, broadcast(a!.shape, b!.shape))],
);
define('Greater GreaterEqual Less LessEqual Equal NotEqual LogicalAnd LogicalOr', ({ inputs: [a, b] }) => [
  { shape: broadcast(a!.shape, b!.shape), dtype: DT.bool },
]);
define('Select', ({ inputs: [, a] }) => [like(a!)]);
define('SelectV2', ({ inputs: [condition, a, b] }) => [
  like(a!, broadcast(condition!.shape, a!.shape, b!.shape)),
]);
define('Cast', (call) => [like(first(call), first(call).shape, Number(call.attribute('DstT')))]);

/**
 * Output length of a window over one axis, by TensorFlow's three kinds of padding: SAME gives ceil(length /
 * stride), VALID and EXPLICIT floor((padded length - window) / stride) + 1.
 */
function windowed(call: Call, length: number, window: number, axis: 1 | 2): number {
  const stride = (call.attribute('strides') as number[])[axis]!;
  const padding = call.attribute('padding');
  if (padding === 'SAME') return Math.ceil(length / stride);
  const explicit = padding === 'EXPLICIT' ? (call.attribute('explicit_paddings') as number[]) : [];
  const padded = length + (explicit[2 * axis] ?? 0) + (explicit[2 * axis + 1] ?? 0);
  return windows(padded, window, stride);
}

/** Windows that fit into an axis of this length, its border included. */
const windows = (padded: number, window: number, stride: number): number =>
  Math.floor((padded - window) / stride) + 1;

function windowedMap(call: Call, window: Shape, channels: number): Value[] {
  const { shape } = first(call);
  const height = windowed(call, shape[1]!, window[0]!, 1);
  const width = windowed(call, shape[2]!, window[1]!, 2);
  return [like(first(call), [shape[0]!, height, width, channels])];
}

define('Conv2D', (call) => windowedMap(call, call.inputs[1]!.shape, call.inputs[1]!.shape[3]!));
define('DepthwiseConv2dNative', (call) => {
  const kernel = call.inputs[1]!.shape;
  return windowedMap(call, kernel, kernel[2]! * kernel[3]!);
});
define('MaxPool AvgPool', (call) =>
  windowedMap(call, (call.attribute('ksize') as number[]).slice(1, 3), first(call).shape[3]!),
);
define('Conv2DBackpropInput DepthwiseConv2dNativeBackpropInput', (call) => [
  like(call.inputs[2]!, integers(call, 0)),
]);
define('Conv2DBackpropFilter DepthwiseConv2dNativeBackpropFilter', (call) => [
  like(first(call), integers(call, 1)),
]);
define('AvgPoolGrad', (call) => [like(call.inputs[1]!, integers(call, 0))]);

// The last reserve space of each belongs to cuDNN; its shape depends on the device and is never used.
define('FusedBatchNormV3', ({ inputs: [x, scale] }) => [
  like(x!),
  ...Array.from({ length: 4 }, () => like(scale!)),
  like(scale!, [0]),
]);
define('FusedBatchNormGradV3', ({ inputs: [, x, scale] }) => [
  like(x!),
  like(scale!),
  like(scale!),
  like(scale!, [0]),
  like(scale!, [0]),
]);
/** What windows of `size` x `size` make of the maps x, by the stride and the border of one of our own operations. */
function paddedMap(call: Call, x: Value, size: number, channels: number): Value {
  const [images, ...sides] = x.shape;
  const [stride, padding] = ['stride', 'padding'].map((name) => Number(call.attribute(name)));
  const [height, width] = sides.map((length) => windows(length + 2 * padding!, size, stride!));
  return like(x, [images!, height!, width!, channels]);
}

// Our own operations, as native/registration.cc declares them, before any pass has changed their numbers of
// maps.
define('FleetSeparable', (call) => {
  const [, depthwise, , scale, , x] = call.inputs;
  const map = paddedMap(call, x!, depthwise!.shape[0]!, scale!.shape[0]!);
  return [map, like(scale!), like(scale!), map, like(scale!)];
});
define('FleetSeparableGrad', ({ inputs: [, slope, depthwise, pointwise, scale, , , , x] }) =>
  [slope, depthwise, pointwise, scale, scale, x].map((input) => like(input!)),
);
define('FleetPrelu', ({ inputs: [, x] }) => [like(x!)]);
define('FleetPreluGrad', ({ inputs: [, slope, x] }) => [like(slope!), like(x!)]);
define('FleetSample', ({ inputs: [x] }) => {
  const [images, height, width, channels] = x!.shape as [number, number, number, number];
  const sampled = like(x!, [images, height / 2, width / 2, channels]);
  return [sampled, sampled];
});
define('FleetSampleGrad', ({ inputs: [even] }) => {
  const [images, height, width, channels] = even!.shape as [number, number, number, number];
  return [like(even!, [images, 2 * height, 2 * width, channels])];
});
define('FleetMaxPool FleetAvgPool', (call) => [
  paddedMap(call, first(call), Number(call.attribute('size')), first(call).shape[3]!),
]);
define('FleetMaxPoolGrad', ({ inputs: [, x] }) => [like(x!)]);
define('FleetAvgPoolGrad', (call) => {
  const [images, , , channels] = first(call).shape as [number, number, number, number];
  const [height, width] = ['height', 'width'].map((name) => Number(call.attribute(name)));
  return [like(first(call), [images, height!, width!, channels])];
});
define('FleetBatchNorm', ({ inputs: [x, scale] }) => [like(x!), like(scale!), like(scale!), like(scale!)]);
define('FleetBatchNormGrad', ({ inputs: [, x, scale] }) => [like(x!), like(scale!), like(scale!)]);
define('BiasAddGrad', (call) => [like(first(call), first(call).shape.slice(-1))]);

define('MatMul', ({ inputs: [a, b], attribute }) => [
  like(a!, [
    a!.shape[attribute('transpose_a') === true ? 1 : 0]!,
    b!.shape[attribute('transpose_b') === true ? 0 : 1]!,
  ]),
]);
define('BatchMatMulV2', ({ inputs: [a, b], attribute }) => [
  like(a!, [
    ...broadcast(a!.shape.slice(0, -2), b!.shape.slice(0, -2)),
    a!.shape.at(attribute('adj_x') === true ? -1 : -2)!,
    b!.shape.at(attribute('adj_y') === true ? -2 : -1)!,
  ]),
]);

const elements = (shape: Shape) => shape.reduce((product, size) => product * size, 1);

define('Reshape', (call) => {
  const shape = integers(call, 1);
  const known = elements(shape.filter((size) => size >= 0));
  return [
    like(
      first(call),
      shape.map((size) => (size < 0 ? elements(first(call).shape) / known : size)),
    ),
  ];
});
define('ExpandDims', (call) => {
  const shape = [...first(call).shape];
  shape.splice(axisOf(integers(call, 1)[0]!, shape.length + 1), 0, 1);
  return [like(first(call), shape)];
});
define('Transpose', (call) => [
  like(
    first(call),
    integers(call, 1).map((axis) => first(call).shape[axis]!),
  ),
]);
define('Pad PadV2', (call) => {
  const paddings = integers(call, 1);
  return [
    like(
      first(call),
      first(call).shape.map((size, axis) => size + paddings[2 * axis]! + paddings[2 * axis + 1]!),
    ),
  ];
});
define('Slice', (call) => {
  const begin = integers(call, 1);
  return [
    like(
      first(call),
      integers(call, 2).map((size, axis) => (size < 0 ? first(call).shape[axis]! - begin[axis]! : size)),
    ),
  ];
});
define('SplitV', (call) => {
  const axis = axisOf(integers(call, 2)[0]!, first(call).shape.length);
  return integers(call, 1).map((size) => like(first(call), first(call).shape.with(axis, size)));
});
define('ConcatV2', (call) => {
  const parts = call.inputs.slice(0, -1);
  const axis = axisOf(integers(call, call.inputs.length - 1)[0]!, parts[0]!.shape.length);
  const total = parts.reduce((sum, part) => sum + part.shape[axis]!, 0);
  return [like(parts[0]!, parts[0]!.shape.with(axis, total))];
});
define('Pack', (call) => {
  const shape = [...first(call).shape];
  shape.splice(axisOf(Number(call.attribute('axis')), shape.length + 1), 0, call.inputs.length);
  return [like(first(call), shape)];
});
define('Unpack', (call) => {
  const shape = [...first(call).shape];
  shape.splice(axisOf(Number(call.attribute('axis')), shape.length), 1);
  return Array.from({ length: call.outputs }, () => like(first(call), shape));
});
define('Sum Mean Max Min Prod All Any', (call) => {
  const { shape } = first(call);
  const reduced = new Set(integers(call, 1).map((axis) => axisOf(axis, shape.length)));
  const kept =
    call.attribute('keep_dims') === true
      ? shape.map((size, axis) => (reduced.has(axis) ? 1 : size))
      : shape.filter((_, axis) => !reduced.has(axis));
  return [like(first(call), kept)];
});
define('OneHot', (call) => {
  const shape = [...first(call).shape];
  const axis = Number(call.attribute('axis') ?? -1);
  shape.splice(axis < 0 ? shape.length : axis, 0, integers(call, 1)[0]!);
  return [like(call.inputs[2]!, shape)];
});
define('GatherV2', (call) => {
  const { shape } = first(call);
  const axis = axisOf(integers(call, 2)[0]!, shape.length);
  const batch = Number(call.attribute('batch_dims') ?? 0);
  return [
    like(first(call), [
      ...shape.slice(0, axis),
      ...call.inputs[1]!.shape.slice(batch),
      ...shape.slice(axis + 1),
    ]),
  ];
});
define('Tile', (call) => {
  const times = integers(call, 1);
  return [
    like(
      first(call),
      first(call).shape.map((size, axis) => size * times[axis]!),
    ),
  ];
});
define('BroadcastTo', (call) => [like(first(call), integers(call, 1))]);
define('Fill', (call) => [like(call.inputs[1]!, integers(call, 0))]);
define('SpaceToDepth', (call) => {
  const block = Number(call.attribute('block_size'));
  const [images, height, width, channels] = first(call).shape;
  return [like(first(call), [images!, height! / block, width! / block, channels! * block * block])];
});
define('DepthToSpace', (call) => {
  const block = Number(call.attribute('block_size'));
  const [images, height, width, channels] = first(call).shape;
  return [like(first(call), [images!, height! * block, width! * block, channels! / (block * block)])];
});
