// The canonical sum, pure: partial sums of nodes and their completion to the root. Decides the order of additions, which
// is the same for every placement; plan.ts says who does which part of it.

import { FleetError } from '../errors.ts';
import { addInto } from './kernels.ts';
import { type Node, rootOf } from './plan.ts';

/** Sum of a node. A node of one shard is that shard's vector itself, not a copy; others are new vectors. */
export function sumSubtree(vectors: ReadonlyMap<number, Float32Array>, node: Node): Float32Array {
  return sumNode(node, Number.POSITIVE_INFINITY, (at) =>
    at.size === 1 ? (vectors.get(at.first) ?? missing(at)) : undefined,
  ).values;
}

/** A node whose sum is known. */
export interface Partial {
  readonly node: Node;
  readonly values: Float32Array;
}

/** Sum over all shards from partial sums that cover each shard once, written to `into`. The partial sums stay as they are. */
export function sumTree(partials: readonly Partial[], shards: number, into: Float32Array): void {
  const known = new Map(partials.map(({ node, values }) => [keyOf(node), values]));
  const sum = sumNode(
    rootOf(shards),
    shards,
    (node) => {
      const values = known.get(keyOf(node));
      return values ?? (node.size === 1 ? missing(node) : undefined);
    },
    into,
  );
  if (sum.values !== into) into.set(sum.values);
}

interface Sum {
  readonly values: Float32Array;
  /** Whether `values` is ours to overwrite. */
  readonly owned: boolean;
}

/** Left half plus right half, always in this order; shards from `end` on do not exist. */
function sumNode(
  node: Node,
  end: number,
  known: (node: Node) => Float32Array | undefined,
  into?: Float32Array,
): Sum {
  const values = known(node);
  if (values !== undefined) return { values, owned: false };
  const size = node.size / 2;
  const left = sumNode({ first: node.first, size }, end, known, into);
  if (node.first + size >= end) return left;
  // `into` may hold the left half already, so the right one needs room of its own.
  const right = sumNode({ first: node.first + size, size }, end, known);
  const target = left.owned
    ? left.values
    : (into ?? (right.owned ? right.values : new Float32Array(left.values.length)));
  addInto(target, left.values, right.values);
  return { values: target, owned: true };
}

/** Nodes of one size have distinct firsts, and both are small. */
const keyOf = (node: Node): number => node.first * 1024 + Math.log2(node.size);

function missing(node: Node): never {
  throw new FleetError('internal', `the sum needs shard ${node.first}, and nobody gave it`);
}
