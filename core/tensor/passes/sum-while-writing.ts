// Takes the two sums that a batch norm's gradient begins with where its dy is written, while dy is still in
// the cache.
//
// For y = scale (z - mean) / deviation + offset over M values a channel, the gradient (Ioffe and Szegedy,
// 2015, section 3) is
//     dz = scale / deviation * (dy - sum(dy) / M - (z - mean) / deviation^2 * sum(dy (z - mean)) / M).
// Both sums run over the whole batch before the first value of dz exists, so by itself the norm reads dy and
// z twice: once for the sums, once for dz. Where dy is (a part of) the dx of another block, that block takes
// the sums while it writes. M-128, 16 images: 726 to 702 ms a step, S-128 no difference
// (docs/performance.md).
//
// Pure, from recording to recording. The values are those of the same formula, but not the same bits: the
// sums are taken over other pieces of an image (the chunks of the writer, not runs of 256 rows), and float
// sums in another order round in another way.

import { attr } from '../ops/kernels.ts';
import { numberOf } from '../recording/attributes.ts';
import { liveNodes } from '../recording/consumers.ts';
import type { Edge, OperationNode, RecordedNode, Recording } from '../recording/record.ts';

const BLOCK_GRADIENT = 'FleetSeparableGrad';
/** Positions among its inputs and outputs; DX is the first part of dx. */
const DY = 0;
const Z = 5;
const MEAN = 6;
const DX = 5;
/**
 * Most norms whose sums one operation takes. Each is one more map that it reads meanwhile; with 12 of them,
 * and x and dx in eight parts each, a chunk has 31 spans of memory to prefetch, and Prefetch in
 * native/lanes.inc has room for 32.
 */
const REQUESTS_MAX = 12;

/** A norm that asks the writer of its dy for the sums of dy and of dy (z - mean). */
interface SumRequest {
  /** Which part of the writer's dx is the norm's dy. */
  readonly part: number;
  /** The norm's map, of the shape of that part. */
  readonly z: Edge;
  /** [C]. */
  readonly mean: Edge;
}

/**
 * The recording in which block gradients give the sums that other block gradients would take by themselves.
 */
export function sumWhileWriting(recording: Recording): Recording {
  const live = liveNodes(recording);
  /** Writer of a dx -> what it is asked for, in the order of its new outputs. */
  const requests = new Map<number, SumRequest[]>();
  /** Block gradient -> the result that holds the sums of its dy, [2, C]. */
  const given = new Map<number, Edge>();
  recording.nodes.forEach((node, index) => {
    if (!live.has(index) || !isBlockGradient(node)) return;
    const [dy, z, mean] = [node.inputs[DY]!, node.inputs[Z]!, node.inputs[MEAN]!];
    const writer = recording.nodes[dy.node];
    const others = requests.get(dy.node) ?? [];
    if (!isBlockGradient(writer) || dy.output < DX || others.length === REQUESTS_MAX) return;
    // With several summands dx is not complete when its rows are written: only the first is added then, the
    // others in a pass after.
    if (numberOf(writer, 'N') > 1) return;
    // The writer gains z as an input, so z must exist before it.
    if (z.node > dy.node) return;
    requests.set(dy.node, [...others, { part: dy.output - DX, z, mean }]);
    given.set(index, { node: dy.node, output: writer.outputs.length + others.length });
  });
  const nodes = recording.nodes.map((node, index): RecordedNode => {
    if (!isBlockGradient(node)) return node;
    return takingSums(givingSums(recording, node, requests.get(index) ?? []), given.get(index));
  });
  return { ...recording, nodes };
}

const isBlockGradient = (node: RecordedNode | undefined): node is OperationNode =>
  node?.kind === 'operation' && node.op === BLOCK_GRADIENT;

/**
 * The writer with the maps and means of the norms behind its inputs, and their sums [2, C] behind its
 * outputs.
 */
function givingSums(
  { nodes }: Recording,
  node: OperationNode,
  requests: readonly SumRequest[],
): OperationNode {
  if (requests.length === 0) return node;
  const sums = requests.map(({ mean }) => {
    const { shape, dtype } = nodes[mean.node]!.outputs[mean.output]!;
    return { shape: [2, ...shape], dtype };
  });
  const parts = requests.map(({ part }) => part);
  return {
    ...node,
    attributes: [...node.attributes, attr.int('W', requests.length), attr.int('waiting', parts)],
    inputs: [...node.inputs, ...requests.map(({ z }) => z), ...requests.map(({ mean }) => mean)],
    outputs: [...node.outputs, ...sums],
  };
}

/** The block gradient that reads the sums of its dy instead of taking them; they are its last input. */
function takingSums(node: OperationNode, sums: Edge | undefined): OperationNode {
  if (sums === undefined) return node;
  return {
    ...node,
    attributes: [...node.attributes, attr.int('S', 1)],
    inputs: [...node.inputs, sums],
  };
}
