// Where everything of one exchange lies in its shared memory: vectors, sum, what others contribute, what is published. Decides
// sizes and addresses; who may write where and when is reduction.ts'. Every range is padded to whole blocks whose
// padding is zero and stays zero, so that kernels have no ragged end.

import type { Kernels } from './kernels/kernels.ts';
import { createKernels, createSharedMemory, type SharedMemory } from './kernels.ts';
import { ALIGNMENT, type Node, ownedRange, type Plan, type Range } from './plan.ts';
import type { Encoding } from './reduce.ts';

export interface Layout {
  readonly bytes: number;
  /** One float32 vector a shard of this member, by its place among them; overwritten by partial sums. */
  vector(index: number): number;
  /** The result, float32. */
  readonly sum: number;
  /** Room for one contribution of another member each: as many as may wait here for the others to their chunks. */
  readonly rooms: readonly number[];
  /** Slices owned here as they were published. Only with compression. */
  published(offset: number): number;
  /** An encoded result of another while it is decoded. */
  readonly arriving: number;
  /** A shard of this member as it travels, by its place. Only with compression. */
  encoded(index: number, offset: number): number;
  /** What compression left of a shard: two copies, of the open step and of the next. Only with int8. */
  residual(index: number, copy: 0 | 1): number;
  /** A block of zeros. */
  readonly zeros: number;
  /** Temporary of the largest chunk, by depth of the tree. */
  scratch(depth: number): number;
}

/** Elements with padding. */
export const padded = (count: number): number => Math.ceil(count / ALIGNMENT) * ALIGNMENT;

/** Bytes that `count` elements take. On the wire float32 goes without padding, encoded blocks go whole. */
export function encodedBytes(encoding: Encoding, count: number): number {
  if (encoding === 'none') return count * 4;
  return encoding === 'bf16' ? padded(count) * 2 : (padded(count) / ALIGNMENT) * (ALIGNMENT + 4);
}

/** A sum of several shards travels as float32: encoding it again would make the bits depend on who holds what. */
export const encodingOf = (node: Node, plan: Pick<Plan, 'compression'>): Encoding =>
  node.size === 1 ? plan.compression : 'none';

/** A node of another member. */
export interface ForeignNode {
  /** Rank of the member. */
  readonly source: number;
  /** Place among that member's nodes. */
  readonly index: number;
  readonly node: Node;
}

/** Nodes of all other members in rank order: the slots of what is received. */
export function foreignNodes(plan: Plan, rank: number): readonly ForeignNode[] {
  return plan.nodes.flatMap((nodes, source) =>
    source === rank ? [] : nodes.map((node, index) => ({ source, index, node })),
  );
}

function layoutOf(plan: Plan, rank: number): Layout {
  const { compression } = plan;
  const { shardCount } = plan.members[rank]!;
  const own: Range = ownedRange(plan.chunks[rank]!);
  const whole = padded(plan.elements) * 4;
  const chunk = padded(Math.max(0, ...plan.chunks.flat().map(({ count }) => count)));
  let bytes = 0;
  const area = (size: number): number => {
    const at = bytes;
    // A cache line between areas keeps what two threads write apart.
    bytes += Math.ceil(size / 64) * 64 + 64;
    return at;
  };
  const areas = (count: number, size: number): number[] => Array.from({ length: count }, () => area(size));

  const vectors = areas(shardCount, whole);
  const sum = area(whole);
  const foreign = foreignNodes(plan, rank);
  const widest = foreign.some(({ node }) => encodingOf(node, plan) === 'none') ? 'none' : compression;
  const chunksAtOnce = Math.min(plan.window, plan.chunks[rank]!.length);
  const rooms = areas(foreign.length * chunksAtOnce, encodedBytes(widest, chunk));
  const published = area(compression === 'none' ? 0 : encodedBytes(compression, padded(own.count)));
  const arriving = area(compression === 'none' ? 0 : encodedBytes(compression, chunk));
  const encodedArea = encodedBytes(compression, padded(plan.elements));
  const encoded = areas(compression === 'none' ? 0 : shardCount, encodedArea);
  const residuals = areas(compression === 'int8' ? shardCount * 2 : 0, whole);
  const zeros = area(ALIGNMENT * 4);
  const scratch = areas(Math.ceil(Math.log2(Math.max(2, plan.shards))) + 1, chunk * 4);
  return {
    bytes,
    sum,
    zeros,
    arriving,
    vector: (index) => vectors[index]!,
    rooms,
    published: (offset) => published + encodedBytes(compression, offset - own.offset),
    encoded: (index, offset) => encoded[index]! + encodedBytes(compression, offset),
    residual: (index, copy) => residuals[index * 2 + copy]!,
    scratch: (depth) => scratch[depth]!,
  };
}

export interface ExchangeMemory {
  readonly layout: Layout;
  readonly shared: SharedMemory;
  readonly kernels: Kernels;
  /** View of so many bytes. */
  bytes(at: number, length: number): Uint8Array<SharedArrayBuffer>;
  floats(at: number, length: number): Float32Array<SharedArrayBuffer>;
}

/** `shared`: memory that another thread has created for the same plan. */
export function createExchangeMemory(
  plan: Plan,
  rank: number,
  shared: SharedMemory = createSharedMemory(layoutOf(plan, rank).bytes),
): ExchangeMemory {
  const { buffer } = shared;
  return {
    layout: layoutOf(plan, rank),
    shared,
    kernels: createKernels(shared),
    bytes: (at, length) => new Uint8Array(buffer, at, length),
    floats: (at, length) => new Float32Array(buffer, at, length),
  };
}
