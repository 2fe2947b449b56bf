// Leaves maps apart that lie side by side: what reads the concatenation of a cell's nodes reads the nodes instead, and a gradient
// that would be split into those of the nodes is written in parts at once. Each saves two passes over the largest maps of a network.
// Only for our own operations, and only where nobody else needs the whole. Pure, from recording to recording: every value is
// computed as before, so the bits are the same.

import { liveNodes, numberOf, readersOf, withNumber } from '../recording/readers.ts';
import type { Edge, OperationNode, RecordedNode, Recording } from '../recording/record.ts';

/** Where an operation has its map x, which may lie in several, counted by attribute `parts`. */
const READS = new Map([
  ['FleetSeparable', 5],
  ['FleetSeparableGrad', 8],
  ['FleetPrelu', 1],
  ['FleetPreluGrad', 2],
  ['FleetSample', 0],
]);
/** Where it has the gradient of x, its last output, which may go to several maps, counted by attribute `dparts`. */
const WRITES = new Map([
  ['FleetSeparableGrad', 5],
  ['FleetPreluGrad', 1],
  ['FleetSampleGrad', 0],
]);
/** Parts::MOST in native/shape.h. */
const PARTS_MOST = 8;
/** Channels of a part come in multiples of this: others do not fill vectors, and one copy is cheaper than slow passes. */
const CHANNELS = 8;

export const keepApart = (recording: Recording): Recording => withoutSplits(withoutConcatenations(recording));

function withoutConcatenations(recording: Recording): Recording {
  const nodes: RecordedNode[] = [...recording.nodes];
  const readers = readersOf(recording);
  recording.nodes.forEach((node, index) => {
    if (node.kind !== 'operation' || node.op !== 'ConcatV2') return;
    const parts = node.inputs.slice(0, -1);
    const sizes = parts.map((part) => shapeOf(recording, part)?.at(-1) ?? 0);
    if (!isChannels(recording, node, node.inputs.at(-1)!) || !areParts(sizes)) return;
    const reading = readers.get(`${index}:0`) ?? [];
    const takesParts = (at: { node: number; input: number }) =>
      READS.get(opOf(recording.nodes[at.node])) === at.input;
    if (!reading.every(takesParts)) return;
    for (const reader of reading) {
      const whole = nodes[reader.node] as OperationNode;
      const inputs = whole.inputs.toSpliced(reader.input, 1, ...parts);
      nodes[reader.node] = { ...withNumber(whole, 'parts', parts.length), inputs };
    }
  });
  return { ...recording, nodes };
}

function withoutSplits(recording: Recording): Recording {
  const live = liveNodes(recording);
  const nodes: RecordedNode[] = [...recording.nodes];
  const readers = readersOf(recording);
  /** Split -> where its first part is now; the others follow. */
  const moved = new Map<number, Edge>();
  const resolve = (edge: Edge): Edge => {
    const first = moved.get(edge.node);
    return first === undefined ? edge : { node: first.node, output: first.output + edge.output };
  };
  recording.nodes.forEach((node, index) => {
    if (node.kind !== 'operation' || !live.has(index)) return;
    nodes[index] = { ...node, inputs: node.inputs.map(resolve) };
    if (node.op !== 'SplitV') return;
    const [whole, sizes, axis] = node.inputs as [Edge, Edge, Edge];
    const maker = nodes[whole.node];
    const parts = integersOf(recording, sizes) ?? [];
    if (!isChannels(recording, node, axis) || !areParts(parts) || maker?.kind !== 'operation') return;
    if (WRITES.get(maker.op) !== whole.output || readers.get(`${whole.node}:${whole.output}`)?.length !== 1)
      return;
    // Where x is read too, in as many parts or in one.
    if (![1, parts.length].includes(numberOf(maker, 'parts') || 1)) return;
    const outputs = [...maker.outputs.slice(0, whole.output), ...node.outputs];
    nodes[whole.node] = { ...withNumber(maker, 'dparts', parts.length), outputs };
    moved.set(index, whole);
  });
  return { ...recording, nodes, outputs: recording.outputs.map(resolve) };
}

const opOf = (node: RecordedNode | undefined): string => (node?.kind === 'operation' ? node.op : '');

const shapeOf = ({ nodes }: Recording, { node, output }: Edge) => nodes[node]?.outputs[output]?.shape;

const integersOf = ({ nodes }: Recording, { node, output }: Edge) => nodes[node]?.outputs[output]?.integers;

/** Whether the operation concatenates or splits maps [N, H, W, C] along their channels. */
function isChannels(recording: Recording, node: OperationNode, axis: Edge): boolean {
  const rank = node.outputs[0]?.shape.length;
  return rank === 4 && [3, -1].includes(integersOf(recording, axis)?.[0] ?? 0);
}

/** Whether maps of so many channels each can be left apart. */
const areParts = (sizes: readonly number[]): boolean =>
  sizes.length > 1 &&
  sizes.length <= PARTS_MOST &&
  sizes.every((size) => size === sizes[0] && size % CHANNELS === 0);
