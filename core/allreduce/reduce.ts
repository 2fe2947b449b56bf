// The canonical sum, pure: sums of nodes from their shards, and of the root from nodes. Decides the order of additions, which
// is the same for every placement; plan.ts says who does which part of it. Works on one range of the vectors at a
// time, because a chunk and its few temporaries stay in the processor's cache where whole vectors do not.

import { FleetError } from '../errors.ts';
import { addInto } from './kernels.ts';
import { type Node, type Range, rootOf } from './plan.ts';

/** A node and its sum over some range. */
export interface Partial {
  readonly node: Node;
  readonly values: Float32Array;
}

/** Temporaries by depth of the tree, kept between calls so that steps do not allocate. */
export type Scratch = Float32Array[];

/** Sum of a node's shards over a range, written to `into`, which has the range's length. */
export function sumSubtree(options: {
  readonly vectors: ReadonlyMap<number, Float32Array>;
  readonly node: Node;
  readonly range: Range;
  readonly into: Float32Array;
  readonly scratch?: Scratch;
}): void {
  const { vectors, node, range, into, scratch = [] } = options;
  const known = (at: Node): Float32Array | undefined =>
    at.size === 1 ? (within(vectors.get(at.first), range) ?? missing(at)) : undefined;
  sumInto(into, node, { end: Number.POSITIVE_INFINITY, known, scratch });
}

/** Sum over all shards, written to `into`, from nodes that cover each shard once; their values stay as they are. */
export function sumTree(options: {
  readonly partials: readonly Partial[];
  readonly shards: number;
  readonly into: Float32Array;
  readonly scratch?: Scratch;
}): void {
  const { partials, shards, into, scratch = [] } = options;
  const sums = new Map(partials.map(({ node, values }) => [keyOf(node), values]));
  const known = (node: Node): Float32Array | undefined =>
    sums.get(keyOf(node)) ?? (node.size === 1 ? missing(node) : undefined);
  sumInto(into, rootOf(shards), { end: shards, known, scratch });
}

interface Sums {
  /** Shards from here on do not exist. */
  readonly end: number;
  readonly known: (node: Node) => Float32Array | undefined;
  readonly scratch: Scratch;
}

function sumInto(into: Float32Array, node: Node, sums: Sums): void {
  const sum = sumOf(node, into, sums, 0);
  if (sum !== into) into.set(sum);
}

/** Left half plus right half, always in this order. Returns `into`, or what is known of the node already. */
function sumOf(node: Node, into: Float32Array, sums: Sums, depth: number): Float32Array {
  const values = sums.known(node);
  if (values !== undefined) return values;
  const size = node.size / 2;
  const left = sumOf({ first: node.first, size }, into, sums, depth + 1);
  if (node.first + size >= sums.end) return left;
  // `into` may hold the left half by now; deeper levels have temporaries of their own.
  const room = roomAt(sums.scratch, depth, into.length);
  const right = sumOf({ first: node.first + size, size }, room, sums, depth + 1);
  addInto(into, left, right);
  return into;
}

function roomAt(scratch: Scratch, depth: number, length: number): Float32Array {
  let room = scratch[depth];
  if (room === undefined || room.length < length) {
    room = new Float32Array(length);
    scratch[depth] = room;
  }
  return room.length === length ? room : room.subarray(0, length);
}

function within(vector: Float32Array | undefined, { offset, count }: Range): Float32Array | undefined {
  return vector?.subarray(offset, offset + count);
}

/** Nodes of one size have distinct firsts, and both are small. */
const keyOf = (node: Node): number => node.first * 1024 + Math.log2(node.size);

function missing(node: Node): never {
  throw new FleetError('internal', `the sum needs shard ${node.first}, and nobody gave it`);
}
