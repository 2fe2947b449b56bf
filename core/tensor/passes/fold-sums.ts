// Folds sums of maps into the operation that computes one of their terms: t = f(...) and s = t + m become s =
// f(..., m), where f adds m to each value before it stores it. A separate AddV2 reads two maps from memory
// and writes a third; folded in, m is read once and nothing else moves. In a cell every node is such a sum,
// and in the backward pass so is the gradient of every state that several edges read (S-128, 8 images: 284 to
// 296 ms a step became 276 to 286, docs/performance.md).
//
// Pure, from recording to recording. The bits stay: the same two float32 terms are added once, and the
// addition of two numbers does not depend on their order.

import { numberOf, withNumber } from '../recording/attributes.ts';
import { consumersOf, edgeKey, liveNodes } from '../recording/consumers.ts';
import type { Edge, OperationNode, RecordedNode, Recording } from '../recording/record.ts';

/**
 * Operations that take summands, and the output that these are added to. Summands lie behind all other inputs
 * that exist at this point; attribute N counts them (`added: N * float` in native/registration.cc).
 */
const SUMMED_OUTPUT = new Map([
  ['FleetSeparable', 0],
  ['FleetSeparableGrad', 5],
  ['FleetPreluGrad', 1],
  ['FleetSampleGrad', 0],
]);

/** The recording in which every sum that can be is part of the operation that makes its later term. */
export function foldSums(recording: Recording): Recording {
  const live = liveNodes(recording);
  const nodes: RecordedNode[] = [...recording.nodes];
  /**
   * Consumers of each result, kept up to date: a chain a + b + c folds twice, and the second time its term is
   * a folded one.
   */
  const consumerCounts = new Map([...consumersOf(recording)].map(([key, { length }]) => [key, length]));
  /** Node of a folded sum -> the result that has its value now. */
  const replaced = new Map<number, Edge>();
  const resolve = (edge: Edge): Edge => replaced.get(edge.node) ?? edge;
  recording.nodes.forEach((node, index) => {
    if (node.kind !== 'operation' || !live.has(index)) return;
    const inputs = node.inputs.map(resolve);
    nodes[index] = { ...node, inputs };
    if (node.op !== 'AddV2' && node.op !== 'Add') return;
    const [a, b] = inputs as [Edge, Edge];
    // The later term takes the earlier one as its summand. The other way round could close a cycle, because
    // the later term may be computed from the earlier one.
    const [earlier, later] = a.node < b.node ? [a, b] : [b, a];
    const maker = nodes[later.node];
    if (
      maker?.kind !== 'operation' ||
      SUMMED_OUTPUT.get(maker.op) !== later.output ||
      earlier.node === later.node
    )
      return;
    // Another consumer of the term needs it without the summand. And a sum that broadcasts is more than one
    // addition a value.
    const key = edgeKey(later);
    if (consumerCounts.get(key) !== 1 || !sameShape(nodes, earlier, later)) return;
    nodes[later.node] = withSummand(maker, earlier);
    replaced.set(index, later);
    consumerCounts.set(key, consumerCounts.get(`${index}:0`) ?? 0);
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
