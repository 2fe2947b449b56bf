// Lets maps that would lie side by side stay in several tensors. A cell's output is the concatenation of its
// four nodes along the channels; whatever reads it can read the four nodes instead, and whatever computes its
// gradient can write the four gradients apart. A concatenation and the split of its gradient each copy a
// whole map (one read, one write), and these are the largest maps of a network: 16 images of S-128 took 483
// ms a step with the copies and 454 without (docs/performance.md).
//
// Only our own operations take maps in parts, and only a map that no other operation needs as a whole is
// split. Pure, from recording to recording. The bits stay: each value is computed from the same values as
// before and only stored elsewhere.
//
// Legend: a map is [N, H, W, C]; in parts it is `parts` tensors [N, H, W, C / parts].

import { numberOf, withNumber } from '../recording/attributes.ts';
import { consumersOf, edgeKey, liveNodes } from '../recording/consumers.ts';
import type { Edge, OperationNode, RecordedNode, Recording } from '../recording/record.ts';

/** Input position of the map x in operations that take it in parts; attribute `parts` counts them. */
const SPLIT_INPUT = new Map([
  ['FleetSeparable', 5],
  ['FleetSeparableGrad', 8],
  ['FleetPrelu', 1],
  ['FleetPreluGrad', 2],
  ['FleetSample', 0],
]);
/**
 * Output position of the gradient of x, always the last output here, in operations that give it in parts;
 * `dparts` counts them.
 */
const SPLIT_OUTPUT = new Map([
  ['FleetSeparableGrad', 5],
  ['FleetPreluGrad', 1],
  ['FleetSampleGrad', 0],
]);
/** Most parts of a map: Parts::MAX in native/shape.h, where they lie in an array of fixed length. */
const PARTS_MAX = 8;
/**
 * The channels of a part are a multiple of this, the narrowest vector that is worth having. Parts that leave
 * vectors half empty make every later pass slower than the one copy that was saved.
 */
const CHANNELS_MULTIPLE = 8;

/**
 * The recording without concatenations and splits of channels, where their neighbours take and give maps in
 * parts.
 */
export const splitMaps = (recording: Recording): Recording => removeSplits(removeConcatenations(recording));

/**
 * Hands the terms of a concatenation to its consumers; the ConcatV2 itself is left without one, so that it is
 * never computed.
 */
function removeConcatenations(recording: Recording): Recording {
  const nodes: RecordedNode[] = [...recording.nodes];
  const consumers = consumersOf(recording);
  recording.nodes.forEach((node, index) => {
    if (node.kind !== 'operation' || node.op !== 'ConcatV2') return;
    // Inputs of ConcatV2: the terms, then the axis.
    const parts = node.inputs.slice(0, -1);
    const sizes = parts.map((part) => shapeOf(recording, part)?.at(-1) ?? 0);
    if (!isAlongChannels(recording, node, node.inputs.at(-1)!) || !canBeParts(sizes)) return;
    const reading = consumers.get(`${index}:0`) ?? [];
    const takesParts = (at: { node: number; input: number }) =>
      SPLIT_INPUT.get(opOf(recording.nodes[at.node])) === at.input;
    // One consumer that needs the whole map has it made anyway, and then the others may as well read it.
    if (!reading.every(takesParts)) return;
    for (const consumer of reading) {
      const whole = nodes[consumer.node] as OperationNode;
      const inputs = whole.inputs.toSpliced(consumer.input, 1, ...parts);
      nodes[consumer.node] = { ...withNumber(whole, 'parts', parts.length), inputs };
    }
  });
  return { ...recording, nodes };
}

/** Lets the maker of a gradient write the results of a SplitV itself. */
function removeSplits(recording: Recording): Recording {
  const live = liveNodes(recording);
  const nodes: RecordedNode[] = [...recording.nodes];
  const consumers = consumersOf(recording);
  /**
   * Node of a removed split -> the result that is its first part now; the other parts are the outputs after
   * it.
   */
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
    if (!isAlongChannels(recording, node, axis) || !canBeParts(parts) || maker?.kind !== 'operation') return;
    if (SPLIT_OUTPUT.get(maker.op) !== whole.output || consumers.get(edgeKey(whole))?.length !== 1) return;
    // The native kernels walk x and dx together, so these have equally many parts or one of the two is whole
    // (Call::gradientOf). An operation that reads no x, as FleetSampleGrad, has no attribute `parts`, and
    // counts as whole.
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
function isAlongChannels(recording: Recording, node: OperationNode, axis: Edge): boolean {
  const rank = node.outputs[0]?.shape.length;
  return rank === 4 && [3, -1].includes(integersOf(recording, axis)?.[0] ?? 0);
}

/**
 * Whether parts of these numbers of channels can be: equal, because the kernels know one number of channels
 * for all parts.
 */
const canBeParts = (sizes: readonly number[]): boolean =>
  sizes.length > 1 &&
  sizes.length <= PARTS_MAX &&
  sizes.every((size) => size === sizes[0] && size % CHANNELS_MULTIPLE === 0);
