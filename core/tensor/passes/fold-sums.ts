// Takes sums into the operation that makes one of their terms: our own operations add other maps to their result while they
// write it, where a sum of its own reads two maps and writes a third. In a cell every node is such a sum, and so is, backwards, every
// state that several edges read. Pure, from recording to recording: the same additions in the same order, so the same bits.

import { liveNodes, numberOf, readersOf, withNumber } from '../recording/readers.ts';
import type { Edge, OperationNode, RecordedNode, Recording } from '../recording/record.ts';

/** Operations that take maps to be added to one of their outputs, this one, behind all other inputs, counted by attribute N. */
const ADDS = new Map([
  ['FleetSeparable', 0],
  ['FleetSeparableGrad', 5],
  ['FleetPreluGrad', 1],
  ['FleetSampleGrad', 0],
]);

export function foldSums(recording: Recording): Recording {
  const live = liveNodes(recording);
  const nodes: RecordedNode[] = [...recording.nodes];
  const readers = new Map([...readersOf(recording)].map(([name, { length }]) => [name, length]));
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
    if (maker?.kind !== 'operation' || ADDS.get(maker.op) !== later.output || earlier.node === later.node)
      return;
    const name = `${later.node}:${later.output}`;
    if (readers.get(name) !== 1 || !sameShape(nodes, earlier, later)) return;
    nodes[later.node] = withSummand(maker, earlier);
    replaced.set(index, later);
    readers.set(name, readers.get(`${index}:0`) ?? 0);
  });
  return { ...recording, nodes, outputs: recording.outputs.map(resolve) };
}

function withSummand(maker: OperationNode, summand: Edge): OperationNode {
  return { ...withNumber(maker, 'N', numberOf(maker, 'N') + 1), inputs: [...maker.inputs, summand] };
}

function sameShape(nodes: readonly RecordedNode[], a: Edge, b: Edge): boolean {
  const [left, right] = [a, b].map(({ node, output }) => nodes[node]?.outputs[output]?.shape.join());
  return left === right;
}
