// Which operations of a recording consume which results, and which nodes an output needs at all. Every pass
// over a recording starts from these two questions: a result with one consumer may change its form, a result
// without one need not exist.

import type { Edge, RecordedNode, Recording } from './record.ts';

/** One place where a result is read. */
export interface Consumer {
  /**
   * Index of the operation that reads it; for an output of the recording (`input` is -1) the output's
   * position.
   */
  readonly node: number;
  /** Position among the operation's inputs, or -1 for an output of the recording. */
  readonly input: number;
}

/** Name of one result, as a key of maps. */
export const edgeKey = ({ node, output }: Edge): string => `${node}:${output}`;

/**
 * Consumers of each result by `edgeKey`, in the order of nodes, outputs of the recording last. An operation
 * that no output needs consumes nothing: it is left out of the graph, and counting it would keep a pass from
 * changing what it reads.
 */
export function consumersOf(recording: Recording): Map<string, Consumer[]> {
  const live = liveNodes(recording);
  const consumers = new Map<string, Consumer[]>();
  const add = (edge: Edge, consumer: Consumer) => {
    const key = edgeKey(edge);
    consumers.set(key, [...(consumers.get(key) ?? []), consumer]);
  };
  recording.nodes.forEach((node, index) => {
    if (node.kind === 'operation' && live.has(index))
      node.inputs.forEach((edge, input) => {
        add(edge, { node: index, input });
      });
  });
  recording.outputs.forEach((edge, node) => {
    add(edge, { node, input: -1 });
  });
  return consumers;
}

/** Nodes that an output needs, and every declared input: a session is fed all inputs, needed or not. */
export function liveNodes({ nodes, outputs }: Recording): Set<number> {
  const live = neededFor(nodes, outputs);
  for (const [index, node] of nodes.entries()) if (node.kind === 'input') live.add(index);
  return live;
}

/**
 * Nodes that these results are computed from, their own included. One sweep from the last node to the first
 * is enough, because each node follows what it reads.
 */
export function neededFor(nodes: readonly RecordedNode[], results: readonly Edge[]): Set<number> {
  const needed = new Set<number>(results.map(({ node }) => node));
  for (let index = nodes.length - 1; index >= 0; index--) {
    const node = nodes[index]!;
    if (!needed.has(index) || node.kind !== 'operation') continue;
    for (const input of node.inputs) needed.add(input.node);
    for (const before of node.after ?? []) needed.add(before);
  }
  return needed;
}
