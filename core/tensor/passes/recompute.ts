// Has the backward pass compute activations again instead of keeping them from the forward pass. The forward pass is
// cut into segments (segments.ts). What the backward pass reads of a segment, and no later segment does, is computed
// a second time by copies of the same operations on the same inputs, hence to the same bits. The last segment is left
// as it is: its backward pass begins at once.
//
// Copies alone would save nothing: TensorFlow runs whatever can run, so that it would make them during the forward
// pass. So the copies of a segment wait for the gradient with which the backward pass enters it (`after`, a control
// edge). That also keeps the library from taking copy and original for one: operations that wait for different things
// are different. Pure, from recording to recording.

import { edgeKey, liveNodes } from '../recording/consumers.ts';
import type { Edge, OperationNode, RecordedNode, Recording } from '../recording/record.ts';
import { isSmall, segmentsOf } from './segments.ts';

/** The recording whose backward pass keeps little; one without a backward pass stays as it is. */
export function recomputed(recording: Recording): Recording {
  const { forward } = recording;
  if (forward === undefined) return recording;
  const { ends } = segmentsOf(recording, forward);
  if (ends.length < 2) return recording;
  const view = viewOf(recording, forward, ends);
  const copies = copiesOf(view);
  return sorted(withCopies(view, copies));
}

/** A recording with what the segments say of it. */
interface View {
  readonly recording: Recording;
  readonly forward: number;
  readonly live: ReadonlySet<number>;
  /** Segment of a node of the forward pass. */
  segment(node: number): number;
  /** The last segment, which is not computed again. */
  readonly last: number;
  /** Results that exist from the forward pass on wherever they are read, by edgeKey. */
  isKept(edge: Edge): boolean;
}

function viewOf(recording: Recording, forward: number, ends: readonly number[]): View {
  const { nodes, outputs } = recording;
  const live = liveNodes(recording);
  const segments = new Int32Array(forward);
  for (let node = 0, at = 0; node < forward; node++) {
    while (node > ends[at]!) at++;
    segments[node] = at;
  }
  const crossing = new Set<string>(outputs.map(edgeKey));
  for (const [index, node] of nodes.entries()) {
    if (index >= forward) break;
    if (node.kind !== 'operation' || !live.has(index)) continue;
    for (const input of node.inputs)
      if (segments[input.node] !== segments[index]) crossing.add(edgeKey(input));
  }
  const last = ends.length - 1;
  const segment = (node: number) => segments[node]!;
  return {
    ...{ recording, forward, live, segment, last },
    isKept: (edge) =>
      edge.node >= forward ||
      segment(edge.node) === last ||
      nodes[edge.node]!.kind !== 'operation' ||
      crossing.has(edgeKey(edge)) ||
      isSmall(recording, edge),
  };
}

/** Later than any segment, in 32 bits. */
const NEVER = 0x7fffffff;

/** The nodes that are computed again: what the backward pass reads and is not kept, and what that is made of. */
function copiesOf({ recording, forward, live, isKept }: View): Set<number> {
  const { nodes } = recording;
  const again = new Set<number>();
  for (let index = nodes.length - 1; index >= 0; index--) {
    const node = nodes[index]!;
    if (node.kind !== 'operation' || !live.has(index)) continue;
    if (index < forward && !again.has(index)) continue;
    for (const input of node.inputs) if (!isKept(input)) again.add(input.node);
  }
  return again;
}

/** The recording with the copies behind all its nodes, not yet in order. */
function withCopies(view: View, again: ReadonlySet<number>): Recording {
  const { recording, forward, segment, isKept } = view;
  const { nodes } = recording;
  const copies = [...again].sort((a, b) => a - b);
  const copyOf = new Map(copies.map((node, place) => [node, nodes.length + place]));
  const moved = (edge: Edge): Edge =>
    isKept(edge) ? edge : { node: copyOf.get(edge.node)!, output: edge.output };
  const entered = entriesOf(view);
  const made = copies.map((index): RecordedNode => {
    const node = nodes[index] as OperationNode;
    const inputs = node.inputs.map(moved);
    const begins = inputs.every((input) => input.node < nodes.length);
    const entry = begins ? entered.get(segment(index)) : undefined;
    return { ...node, inputs, ...(entry === undefined ? {} : { after: [entry] }) };
  });
  const others = nodes.map((node, index): RecordedNode => {
    if (index < forward || node.kind !== 'operation' || !view.live.has(index)) return node;
    return { ...node, inputs: node.inputs.map(moved) };
  });
  return { ...recording, nodes: [...others, ...made] };
}

/**
 * By segment the node of the backward pass whose result enters it: the first that comes from later segments among what
 * nodes read that also read the segment's activations, themselves or through others.
 */
function entriesOf({ recording, forward, live, segment, isKept }: View): Map<number, number> {
  const { nodes } = recording;
  /** The latest segment whose activations a node of the backward pass depends on. */
  const latest = new Int32Array(nodes.length).fill(-1);
  /** The earliest one that it needs computed again. */
  const earliest = new Int32Array(nodes.length).fill(NEVER);
  const entries = new Map<number, number>();
  for (let index = forward; index < nodes.length; index++) {
    const node = nodes[index]!;
    if (node.kind !== 'operation' || !live.has(index)) continue;
    for (const input of node.inputs) {
      const isForward = input.node < forward;
      if (isForward && nodes[input.node]!.kind !== 'operation') continue;
      const from = isForward ? segment(input.node) : latest[input.node]!;
      latest[index] = Math.max(latest[index]!, from);
      if (isForward && isKept(input)) continue;
      earliest[index] = Math.min(earliest[index]!, isForward ? from : earliest[input.node]!);
    }
    const entering = earliest[index]!;
    const entry = node.inputs.find(
      (input) => input.node >= forward && latest[input.node]! > entering && earliest[input.node]! > entering,
    );
    if (entry !== undefined && !entries.has(entering)) entries.set(entering, entry.node);
  }
  return entries;
}

/** The recording with every node behind those that it reads or waits for; the order is otherwise as it was. */
function sorted(recording: Recording): Recording {
  const { nodes } = recording;
  const place = new Int32Array(nodes.length).fill(-1);
  const order: number[] = [];
  const visit = (first: number) => {
    const open = [first];
    while (open.length > 0) {
      const index = open.at(-1)!;
      const node = nodes[index]!;
      const needs =
        node.kind === 'operation' ? [...node.inputs.map((input) => input.node), ...(node.after ?? [])] : [];
      const missing = needs.filter((need) => place[need] === -1);
      if (missing.length > 0) {
        open.push(...missing);
        continue;
      }
      open.pop();
      if (place[index] !== -1) continue;
      place[index] = order.length;
      order.push(index);
    }
  };
  for (let index = 0; index < nodes.length; index++) visit(index);
  const moved = (edge: Edge): Edge => ({ node: place[edge.node]!, output: edge.output });
  return {
    ...recording,
    nodes: order.map((index): RecordedNode => {
      const node = nodes[index]!;
      if (node.kind !== 'operation') return node;
      const after = node.after === undefined ? {} : { after: node.after.map((before) => place[before]!) };
      return { ...node, inputs: node.inputs.map(moved), ...after };
    }),
    outputs: recording.outputs.map(moved),
  };
}
