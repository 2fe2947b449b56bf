// The canonical sum: of nodes from their shards, and of the root from nodes. Decides the order of additions,
// which is the same for every placement.
//
// A node is the sum of its left half and its right half, and nothing else. sumInPlace builds the nodes inside
// one member's shards from the leaves up, sumRoot builds the rest from the root down until it meets a node
// that is known, and sumNode does so below the root. All add the same pairs, so where one ends and the other
// begins, which depends on the placement, does not show in the bits. Addition itself is commutative to the bit in
// the kernels (every NaN is stored as one), so the operands of a pair may be in either order; it is not
// associative, so pairs may not be regrouped.
//
// The work is done on one range of the vectors at a time, because a chunk and its few temporaries stay in the
// processor's cache where whole vectors do not.

import { FleetError } from '../errors.ts';
import type { Kernels } from './kernels/kernels.ts';
import { type Compression, type Node, rootOf } from './plan.ts';

/** How the numbers of a range lie in memory and travel; `none`: as float32. */
export type Encoding = Compression;

/** A node and where its sum over the range lies. */
export interface Leaf {
  readonly node: Node;
  readonly encoding: Encoding;
  /** Address in bytes. */
  readonly at: number;
}

/**
 * Adds up a node's shards in place and returns the address of the sum, which is that of the first shard; the
 * other vectors become partial sums or stay as they are. All shards of the node exist. With `size` = 4, by
 * stride:
 *
 *   1   v0 += v1     v2 += v3
 *   2   v0 += v2
 */
export function sumInPlace(options: {
  readonly kernels: Kernels;
  readonly node: Node;
  /** Nodes whose sums are where the vectors of their first shards were: nothing is added inside them. */
  readonly summed?: readonly Node[];
  readonly addressOf: (shard: number) => number;
  readonly count: number;
}): number {
  const { kernels, node, summed = [], addressOf, count } = options;
  const { first, size } = node;
  for (let stride = 1; stride < size; stride *= 2) {
    for (let shard = first; shard < first + size; shard += 2 * stride) {
      const isSummed = summed.some((one) => shard >= one.first && shard + 2 * stride <= one.first + one.size);
      if (!isSummed) kernels.add(addressOf(shard), addressOf(shard), addressOf(shard + stride), count);
    }
  }
  return addressOf(first);
}

export interface RootSum {
  readonly kernels: Kernels;
  /** Nodes that together cover each shard once; they stay as they are. */
  readonly leaves: readonly Leaf[];
  readonly shards: number;
  readonly count: number;
  /** Where the sum goes, as float32. */
  readonly into: number;
  /** Temporary of `count` float32 for each level of the tree below the root. */
  readonly scratch: (depth: number) => number;
}

export interface NodeSum extends Pick<RootSum, 'kernels' | 'shards' | 'count' | 'scratch'> {
  /** Of several shards, all of which exist. */
  readonly node: Node;
  /** Nodes that cover the node, as float32. */
  readonly leaves: readonly (Pick<Leaf, 'node' | 'at'> | FetchedLeaf)[];
  /** Where the sum goes; one of the leaves may lie there. */
  readonly into: number;
}

/** A node whose sum is not in this memory. */
export interface FetchedLeaf {
  readonly node: Node;
  /** Writes the sum over the range to an address, as float32; false where it is not to be had. */
  readonly fetch: (into: number) => boolean;
}

/** Adds up a node from nodes below it; false, with the leaves as they were, when one is not to be had. */
export function sumNode(sum: NodeSum): boolean {
  const { node, kernels, count, scratch } = sum;
  let isWhole = true;
  const known = new Map<number, Known>();
  for (const leaf of sum.leaves)
    known.set(
      keyOf(leaf.node),
      'at' in leaf
        ? { ...leaf, encoding: 'none' }
        : (into) => {
            isWhole = leaf.fetch(into) && isWhole;
            return { encoding: 'none', at: into };
          },
    );
  const size = node.size / 2;
  // Nothing is written to a leaf before all of them are used.
  const left = sumOf({ first: node.first, size }, scratch(Math.log2(node.size)), 1, sum, known);
  const right = sumOf({ first: node.first + size, size }, scratch(0), 1, sum, known);
  if (isWhole) addOperands(kernels, sum.into, left, right, count);
  return isWhole;
}

/** Adds up all shards from nodes. */
export function sumRoot(sum: RootSum): void {
  const known = new Map<number, Known>(sum.leaves.map((leaf) => [keyOf(leaf.node), leaf]));
  const root = sumOf(rootOf(sum.shards), sum.into, 0, sum, known);
  if (root.at === sum.into) return;
  if (root.encoding === 'none') sum.kernels.copy(sum.into, root.at, sum.count * 4);
  else decode(sum.kernels, sum.into, root, sum.count);
}

type Operand = Pick<Leaf, 'encoding' | 'at'>;
/** A node that is there, or one that is brought to an address. */
type Known = Operand | ((into: number) => Operand);

/** Left half plus right half. The result lies at `into`, or where it was known already. */
function sumOf(
  node: Node,
  into: number,
  depth: number,
  sum: Pick<RootSum, 'kernels' | 'shards' | 'count' | 'scratch'>,
  known: ReadonlyMap<number, Known>,
): Operand {
  const leaf = known.get(keyOf(node));
  if (leaf !== undefined) return typeof leaf === 'function' ? leaf(into) : leaf;
  if (node.size === 1)
    throw new FleetError('internal', `the sum needs shard ${node.first}, and nobody gave it`);
  const size = node.size / 2;
  const left = sumOf({ first: node.first, size }, into, depth + 1, sum, known);
  if (node.first + size >= sum.shards) return left;
  // `into` may hold the left half by now; deeper levels have temporaries of their own.
  const right = sumOf({ first: node.first + size, size }, sum.scratch(depth), depth + 1, sum, known);
  addOperands(sum.kernels, into, left, right, sum.count);
  return { encoding: 'none', at: into };
}

/**
 * The kernels take an encoded right operand; commutativity to the bit allows to swap. Two encoded ones: the
 * left is decoded first.
 */
function addOperands(kernels: Kernels, into: number, left: Operand, right: Operand, count: number): void {
  if (right.encoding === 'none' && left.encoding !== 'none') {
    addOperands(kernels, into, right, left, count);
    return;
  }
  let base = left.at;
  if (left.encoding !== 'none') {
    decode(kernels, into, left, count);
    base = into;
  }
  if (right.encoding === 'none') kernels.add(into, base, right.at, count);
  else if (right.encoding === 'bf16') kernels.addBf16(into, base, right.at, count);
  else kernels.addInt8(into, base, right.at, count);
}

/** Writes what lies at `from` as float32 to `into`. */
export function decode(kernels: Kernels, into: number, from: Operand, count: number): void {
  if (from.encoding === 'bf16') kernels.decodeBf16(into, from.at, count);
  else if (from.encoding === 'int8') kernels.decodeInt8(into, from.at, count);
  else kernels.copy(into, from.at, count * 4);
}

/** Distinct for each node, since the logarithm of a size is below 1024. */
const keyOf = (node: Node): number => node.first * 1024 + Math.log2(node.size);
