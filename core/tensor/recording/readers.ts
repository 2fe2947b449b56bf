// Who reads what in a recording: the nodes behind each edge, the nodes that an output needs, and numbers among the attributes.

import type { Edge, OperationNode, RecordedNode, Recording } from './record.ts';

export interface Reader {
  readonly node: number;
  /** Place among its inputs; -1 for an output of the recording, whose place `node` is. */
  readonly input: number;
}

/** Who reads each output, by `node:output`; what no output needs is left out. */
export function readersOf(recording: Recording): Map<string, Reader[]> {
  const live = liveNodes(recording);
  const readers = new Map<string, Reader[]>();
  const read = ({ node, output }: Edge, reader: Reader) => {
    const key = `${node}:${output}`;
    readers.set(key, [...(readers.get(key) ?? []), reader]);
  };
  recording.nodes.forEach((node, index) => {
    if (node.kind === 'operation' && live.has(index))
      node.inputs.forEach((edge, input) => {
        read(edge, { node: index, input });
      });
  });
  recording.outputs.forEach((edge, node) => {
    read(edge, { node, input: -1 });
  });
  return readers;
}

/** The operation with one of its attributes, a number, changed. */
export function withNumber(node: OperationNode, name: string, value: number): OperationNode {
  const attributes = node.attributes.map((attribute) =>
    attribute.name === name ? { ...attribute, value } : attribute,
  );
  return { ...node, attributes };
}

export const numberOf = (node: OperationNode, name: string): number =>
  Number(node.attributes.find((attribute) => attribute.name === name)?.value);

/** Nodes that an output needs; every input, needed or not, so that it can be fed. */
export function liveNodes({ nodes, outputs }: Recording): Set<number> {
  const live = neededFor(nodes, outputs);
  for (const [index, node] of nodes.entries()) if (node.kind === 'input') live.add(index);
  return live;
}

/** Nodes that these results are made from, their own included. */
export function neededFor(nodes: readonly RecordedNode[], results: readonly Edge[]): Set<number> {
  const needed = new Set<number>(results.map(({ node }) => node));
  for (let index = nodes.length - 1; index >= 0; index--) {
    const node = nodes[index]!;
    if (needed.has(index) && node.kind === 'operation')
      for (const input of node.inputs) needed.add(input.node);
  }
  return needed;
}
