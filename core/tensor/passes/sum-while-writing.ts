// Spares a batch norm's gradient its first pass: whoever writes its dy, the gradient of another block, takes the sums of dy and of
// dy (z - mean) while dy is in the cache. Only between our own blocks. Pure, from recording to recording. The sums are taken over
// other pieces of an image than by themselves, so they round in another way.

import { attr } from '../ops/kernels.ts';
import { liveNodes, numberOf } from '../recording/readers.ts';
import type { Edge, OperationNode, RecordedNode, Recording } from '../recording/record.ts';

const BLOCK_GRADIENT = 'FleetSeparableGrad';
/** Places among its inputs and outputs. */
const DY = 0;
const Z = 5;
const MEAN = 6;
const DX = 5;
/** Norms that wait for one operation at most: each is one more map that it reads. */
const WAITING_MOST = 12;

interface Waiting {
  readonly part: number;
  readonly z: Edge;
  readonly mean: Edge;
}

export function sumWhileWriting(recording: Recording): Recording {
  const live = liveNodes(recording);
  const waiting = new Map<number, Waiting[]>();
  /** Block -> the sums of its dy. */
  const given = new Map<number, Edge>();
  recording.nodes.forEach((node, index) => {
    if (!live.has(index) || !isBlockGradient(node)) return;
    const [dy, z, mean] = [node.inputs[DY]!, node.inputs[Z]!, node.inputs[MEAN]!];
    const maker = recording.nodes[dy.node];
    const others = waiting.get(dy.node) ?? [];
    if (!isBlockGradient(maker) || dy.output < DX || others.length === WAITING_MOST) return;
    // Of several summands only the first is added while dx is written. And the maker reads z before it writes.
    if (numberOf(maker, 'N') > 1 || z.node > dy.node) return;
    waiting.set(dy.node, [...others, { part: dy.output - DX, z, mean }]);
    given.set(index, { node: dy.node, output: maker.outputs.length + others.length });
  });
  const nodes = recording.nodes.map((node, index): RecordedNode => {
    if (!isBlockGradient(node)) return node;
    return withSums(withWaiting(recording, node, waiting.get(index) ?? []), given.get(index));
  });
  return { ...recording, nodes };
}

const isBlockGradient = (node: RecordedNode | undefined): node is OperationNode =>
  node?.kind === 'operation' && node.op === BLOCK_GRADIENT;

function withWaiting({ nodes }: Recording, node: OperationNode, waiting: readonly Waiting[]): OperationNode {
  if (waiting.length === 0) return node;
  const sums = waiting.map(({ mean }) => {
    const { shape, dtype } = nodes[mean.node]!.outputs[mean.output]!;
    return { shape: [2, ...shape], dtype };
  });
  const parts = waiting.map(({ part }) => part);
  return {
    ...node,
    attributes: [...node.attributes, attr.int('W', waiting.length), attr.int('waiting', parts)],
    inputs: [...node.inputs, ...waiting.map(({ z }) => z), ...waiting.map(({ mean }) => mean)],
    outputs: [...node.outputs, ...sums],
  };
}

function withSums(node: OperationNode, sums: Edge | undefined): OperationNode {
  if (sums === undefined) return node;
  return {
    ...node,
    attributes: [...node.attributes, attr.int('S', 1)],
    inputs: [...node.inputs, sums],
  };
}
