// Lowerings of operations that move values without computing: shapes, transpositions, cuts, joins, paddings,
// repetitions, gathers and one-hot rows. Definitions: TensorFlow's array_ops; StableHLO's reshape, transpose,
// slice, concatenate, pad, gather and iota.

import {
  attributeOf,
  axisOf,
  type Call,
  type Lowering,
  type Lowerings,
  notLowered,
  outputOf,
} from './call.ts';
import type { Ref } from './literals.ts';

const reshaped: Lowering = (call) => [call.text.reshape(call.input(0), outputOf(call).shape)];

const padded: Lowering = (call) => {
  const paddings = call.integers(1);
  const x = call.input(0);
  const value = call.node.op === 'PadV2' ? call.input(2) : call.text.splat(0, x.element);
  const low = x.shape.map((_, axis) => paddings[2 * axis]!);
  const high = x.shape.map((_, axis) => paddings[2 * axis + 1]!);
  return [call.text.pad(x, value, { low, high })];
};

const sliced: Lowering = (call) => {
  const begin = call.integers(1);
  const end = outputOf(call).shape.map((size, axis) => begin[axis]! + size);
  return [call.text.slice(call.input(0), begin, end)];
};

/** Pieces [from, to) along one axis. */
function piece({ text }: Call, x: Ref, axis: number, from: number, to: number): Ref {
  return text.slice(
    x,
    x.shape.map((_, i) => (i === axis ? from : 0)),
    x.shape.with(axis, to),
  );
}

const split: Lowering = (call) => {
  const x = call.input(0);
  const axis = axisOf(call.integers(2)[0]!, x.shape.length);
  let from = 0;
  return call.node.outputs.map(({ shape }) => {
    const to = from + shape[axis]!;
    const part = piece(call, x, axis, from, to);
    from = to;
    return part;
  });
};

const concatenated: Lowering = (call) => {
  const count = call.node.inputs.length - 1;
  const parts = Array.from({ length: count }, (_, index) => call.input(index));
  const axis = axisOf(call.integers(count)[0]!, parts[0]!.shape.length);
  const filled = parts.filter((part) => part.shape[axis] !== 0);
  return [filled.length === 0 ? parts[0]! : call.text.concatenate(filled, axis)];
};

const packed: Lowering = (call) => {
  const { shape } = outputOf(call);
  const axis = axisOf(Number(attributeOf(call, 'axis')), shape.length);
  const parts = call.node.inputs.map((_, index) => call.text.reshape(call.input(index), shape.with(axis, 1)));
  return [call.text.concatenate(parts, axis)];
};

const unpacked: Lowering = (call) => {
  const x = call.input(0);
  const axis = axisOf(Number(attributeOf(call, 'axis')), x.shape.length);
  return call.node.outputs.map(({ shape }, index) =>
    call.text.reshape(piece(call, x, axis, index, index + 1), shape),
  );
};

/** [n, ...] -> [1, n, ...] -> [times, n, ...] -> [times n, ...] on every axis at once. */
const tiled: Lowering = (call) => {
  const x = call.input(0);
  const times = call.integers(1);
  const wide = x.shape.flatMap((size, axis) => [times[axis]!, size]);
  const repeated = call.text.broadcastInto(
    x,
    wide,
    x.shape.map((_, axis) => 2 * axis + 1),
  );
  return [call.text.reshape(repeated, outputOf(call).shape)];
};

/** A number that is no place along the axis, such as -1, gives a row of `off`. */
const oneHot: Lowering = (call) => {
  const { shape } = outputOf(call);
  const indices = call.input(0);
  const axis = axisOf(Number(attributeOf(call, 'axis') ?? -1), shape.length);
  const wanted = call.text.broadcastInto(
    indices,
    shape,
    indices.shape.map((_, i) => (i < axis ? i : i + 1)),
  );
  const hot = call.text.compare('EQ', wanted, call.text.iota(axis, indices.element, shape));
  const [on, off] = [2, 3].map((index) => call.text.broadcast(call.input(index), shape)) as [Ref, Ref];
  return [call.text.select(hot, on, off)];
};

/** Where TensorFlow fails, at a number outside the axis, the nearest row is taken. */
const gathered: Lowering = (call) => {
  if (Number(attributeOf(call, 'batch_dims') ?? 0) !== 0) throw notLowered(call, 'with batch axes');
  const [x, indices] = [call.input(0), call.input(1)];
  return [call.text.gather(x, indices, axisOf(call.integers(2)[0]!, x.shape.length))];
};

/** NHWC: [N, H, W, C] seen as [N, H/s, s, W/s, s, C], the two s before the channels. */
const spaceToDepth: Lowering = (call) => {
  const block = blockOf(call);
  const x = call.input(0);
  const [images, height, width, channels] = x.shape as [number, number, number, number];
  const blocks = call.text.reshape(x, [images, height / block, block, width / block, block, channels]);
  return [call.text.reshape(call.text.transpose(blocks, [0, 1, 3, 2, 4, 5]), outputOf(call).shape)];
};

const depthToSpace: Lowering = (call) => {
  const block = blockOf(call);
  const x = call.input(0);
  const [images, height, width, channels] = x.shape as [number, number, number, number];
  const blocks = call.text.reshape(x, [images, height, width, block, block, channels / block / block]);
  return [call.text.reshape(call.text.transpose(blocks, [0, 1, 3, 2, 4, 5]), outputOf(call).shape)];
};

function blockOf(call: Call): number {
  if ((attributeOf(call, 'data_format') ?? 'NHWC') !== 'NHWC') throw notLowered(call, 'with channels first');
  return Number(attributeOf(call, 'block_size'));
}

export const rearrangements: Lowerings = {
  Reshape: reshaped,
  ExpandDims: reshaped,
  Transpose: (call) => [call.text.transpose(call.input(0), call.integers(1))],
  Pad: padded,
  PadV2: padded,
  Slice: sliced,
  SplitV: split,
  ConcatV2: concatenated,
  Pack: packed,
  Unpack: unpacked,
  Tile: tiled,
  OneHot: oneHot,
  GatherV2: gathered,
  SpaceToDepth: spaceToDepth,
  DepthToSpace: depthToSpace,
};
