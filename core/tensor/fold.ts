// Takes sums into the operation that makes one of their terms: our own operations add other maps to their result while they
// write it, where a sum of its own reads two maps and writes a third. In a cell every node is such a sum, and so is, backwards, every
// state that several edges read. Pure, from recording to recording: the same additions in the same order, so the same bits.

import { liveNodes } from './graph.ts';
import type { Edge, RecordedNode, Recording } from './record.ts';

type OperationNode = Extract<RecordedNode, { kind: 'operation' }>;

/** Operations that take maps to be added to their first output behind their own inputs, counted by attribute N. */
const ADDS = new Set(['FleetSeparable', 'FleetSeparableGrad', 'FleetPreluGrad']);

export function foldSums(recording: Recording): Recording {
  const live = liveNodes(recording);
  const nodes: RecordedNode[] = [...recording.nodes];
  const readers = readerCounts(recording, live);
  /** What stands for the result of a sum that is gone. */
  const replaced = new Map<number, Edge>();
  const resolve = (edge: Edge): Edge => replaced.get(edge.node) ?? edge;
  recording.nodes.forEach((node, index) => {
    if (node.kind !== 'operation' || !live.has(index)) return;
    const inputs = node.inputs.map(resolve);
    nodes[index] = { ...node, inputs };
    if (node.op !== 'AddV2' && node.op !== 'Add') return;
    const [a, b] = inputs as [Edge, Edge];
    // Of two terms the later one can wait for the other; the earlier may be what the later is made from.
    const [earlier, later] = a.node < b.node ? [a, b] : [b, a];
    const maker = nodes[later.node];
    if (
      maker?.kind !== 'operation' ||
      !ADDS.has(maker.op) ||
      later.output !== 0 ||
      earlier.node === later.node
    )
      return;
    if (readers.get(`${later.node}:0`) !== 1 || !sameShape(nodes, earlier, later)) return;
    nodes[later.node] = withSummand(maker, earlier);
    replaced.set(index, later);
    readers.set(`${later.node}:0`, readers.get(`${index}:0`) ?? 0);
  });
  return { ...recording, nodes, outputs: recording.outputs.map(resolve) };
}

function withSummand(maker: OperationNode, summand: Edge): OperationNode {
  const attributes = maker.attributes.map((attribute) =>
    attribute.name === 'N' ? { ...attribute, value: Number(attribute.value) + 1 } : attribute,
  );
  return { ...maker, attributes, inputs: [...maker.inputs, summand] };
}

function sameShape(nodes: readonly RecordedNode[], a: Edge, b: Edge): boolean {
  const [left, right] = [a, b].map(({ node, output }) => nodes[node]?.outputs[output]?.shape.join());
  return left === right;
}

/** How often each output is read, by `node:output`. */
function readerCounts(recording: Recording, live: ReadonlySet<number>): Map<string, number> {
  const counts = new Map<string, number>();
  const read = ({ node, output }: Edge) => {
    const key = `${node}:${output}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  };
  recording.nodes.forEach((node, index) => {
    if (node.kind === 'operation' && live.has(index)) node.inputs.forEach(read);
  });
  recording.outputs.forEach(read);
  return counts;
}
