// Integer attributes of recorded operations: how many maps an operation of our own reads, adds and writes.
// TensorFlow takes such counts from the attribute that the operation's signature names (`x: parts * float`),
// so a pass that adds a map to the inputs changes the attribute with it.

import type { OperationNode } from './record.ts';

/** The value of an attribute; NaN where the operation has none of this name, which equals no number. */
export const numberOf = (node: OperationNode, name: string): number =>
  Number(node.attributes.find((attribute) => attribute.name === name)?.value);

/** The operation with this attribute changed; an operation without it stays as it is. */
export function withNumber(node: OperationNode, name: string, value: number): OperationNode {
  const attributes = node.attributes.map((attribute) =>
    attribute.name === name ? { ...attribute, value } : attribute,
  );
  return { ...node, attributes };
}
