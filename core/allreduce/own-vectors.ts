// The vectors of one member's shards in one step: made ready to travel, added up as far as this member holds
// whole nodes, and the finished slices as they are published. Decides what compression does to which numbers.
//
// With x(v) the vector of shard v, Q the rounding of the compression, and one chunk of the slice that belongs to
// shard o:
//
//   bf16   image(v) = x(v) if v = o, else Q(x(v))
//          sum      = Q(factor * tree sum of all image(v))
//
//   int8   image(v) = x(v) + r(v) if v = o, else Q(x(v) + r(v))     r(v): what the step before left, first 0
//          r'(v)    = x(v) + r(v) - image(v) for v != o
//          q        = Q(tree sum of all image(v)), sum = factor * q
//          r'(o)    = tree sum - q                                  what the published sum leaves is kept by o
//
// The addition of r is error feedback (Karimireddy et al., https://arxiv.org/abs/1901.09847, algorithm 2):
// what a step rounds away is not lost but late, which gives back the convergence that plain rounding to 8
// bits costs. r' of the slice of o in o itself is free, because x(o) stays exact there: no placement ever
// sends it, since whoever holds shard o owns its slice. So the memory of a shard is one vector.
//
// Invariant: every formula has shards in it and no members. Rounding each shard alone, before the tree, is
// what makes the bits independent of who holds which shard; rounding a member's partial sum would send less
// and give other bits for each placement.

import { CARRIED_ALL, CARRIED_ONE } from './kernels/kernels.ts';
import type { ExchangeMemory, Layout } from './memory.ts';
import { encodedBytes, encodingOf, padded } from './memory.ts';
import type { Chunk, Compression, Node, Plan } from './plan.ts';
import { decode, type Leaf, sumInPlace } from './reduce.ts';

/**
 * What is done to a shard's part of a chunk before anything is sent or added. leave: nothing. carry: what the
 * step before left is added, the rest stays exact. encode: the image is made, to be sent. replace: the image
 * is made and takes the place of the vector, because it is added here as well or instead.
 */
export type Treatment = 'leave' | 'carry' | 'encode' | 'replace';

export function treatmentOf(
  compression: Compression,
  /** The chunk is of the slice that belongs to the shard. */
  isOfShard: boolean,
  /** The shard is part of a node that this member adds up, or the chunk is one that this member adds up. */
  isAddedHere: boolean,
): Treatment {
  if (compression === 'none') return 'leave';
  if (isOfShard) return compression === 'int8' ? 'carry' : 'leave';
  return isAddedHere ? 'replace' : 'encode';
}

/** Shards that lie in a node of several, which a member adds up before it sends. */
export const shardsInSums = (nodes: readonly Node[]): ReadonlySet<number> =>
  new Set(
    nodes.flatMap(({ first, size }) => (size === 1 ? [] : Array.from({ length: size }, (_, i) => first + i))),
  );

export interface OwnVectors {
  /**
   * The vectors of a step are in memory. `fresh`: what earlier steps left is dropped. `summed`: nodes whose sum is the
   * vector of their first shard.
   */
  beginVectors(fresh: boolean, summed: readonly Node[]): void;
  /** What a member sends of its node `index`; the same bytes however often it is asked for. */
  contribution(index: number, chunk: Chunk): Uint8Array;
  /** This member's nodes in a chunk that it adds up. */
  ownLeaves(chunk: Chunk): Leaf[];
  /** Turns the sum of a chunk into what all members get, here and in the bytes returned. */
  publishChunk(chunk: Chunk): Uint8Array;
  /** The published bytes again. */
  publishedBytes(chunk: Chunk): Uint8Array;
  /** The step is over: what it left is carried into the next. */
  endVectors(): void;
  /** What int8 has left of a shard for the open step, or for the one after it. */
  residual(shard: number, when: 'open' | 'next'): Float32Array | undefined;
}

export function createOwnVectors(options: {
  readonly plan: Plan;
  readonly rank: number;
  readonly memory: ExchangeMemory;
  /** Multiplies every element of the sum. */
  readonly factor: number;
  /** This member adds up more of a chunk of another than its own nodes. */
  readonly speaksFor: (chunk: Chunk) => boolean;
}): OwnVectors {
  const { plan, rank, memory, factor, speaksFor } = options;
  const { layout, kernels, bytes, floats } = memory;
  const { compression } = plan;
  const nodes = plan.nodes[rank]!;
  const { shardFirst, shardCount } = plan.members[rank]!;
  const shards = Array.from({ length: shardCount }, (_, i) => shardFirst + i);
  const summed = shardsInSums(nodes);
  const isOwn = ({ shard }: Chunk): boolean => shard >= shardFirst && shard < shardFirst + shardCount;
  /** Offsets of the chunks that are made ready in this step. */
  const ready = new Set<number>();
  let summedBefore: readonly Node[] = [];
  let open: 0 | 1 = 0;
  const next = (): 0 | 1 => (open === 0 ? 1 : 0);
  const { indexOf, vectorAt, residualAt, encodedAt } = placesOf(layout, shardFirst);

  /** Once for each chunk and step: encoding twice would carry the residual twice. */
  function prepare(chunk: Chunk): void {
    if (ready.has(chunk.offset)) return;
    ready.add(chunk.offset);
    if (compression !== 'none') for (const shard of shards) compress(shard, chunk);
    const count = padded(chunk.count);
    for (const node of nodes)
      if (node.size > 1)
        sumInPlace({
          kernels,
          node,
          summed: summedBefore,
          addressOf: (shard) => vectorAt(shard, chunk),
          count,
        });
  }

  function compress(shard: number, chunk: Chunk): void {
    const isAddedHere = summed.has(shard) || isOwn(chunk) || speaksFor(chunk);
    const treatment = treatmentOf(compression, shard === chunk.shard, isAddedHere);
    if (treatment === 'leave') return;
    const at = vectorAt(shard, chunk);
    const count = padded(chunk.count);
    if (treatment === 'carry') {
      kernels.add(at, at, residualAt(shard, open, chunk), count);
      return;
    }
    const to = encodedAt(shard, chunk);
    if (compression === 'int8') {
      const carried = residualAt(shard, open, chunk);
      kernels.encodeInt8(to, at, carried, CARRIED_ALL, residualAt(shard, next(), chunk), 1, count);
    } else kernels.encodeBf16(to, at, count);
    if (treatment === 'replace') decode(kernels, at, { encoding: compression, at: to }, count);
  }

  /** Exact sums travel from where they are; nobody changes them before all have them. */
  const publishedAt = ({ offset }: Chunk): number =>
    compression === 'none' ? layout.sum + offset * 4 : layout.published(offset);
  const publishedBytes = (chunk: Chunk): Uint8Array =>
    bytes(publishedAt(chunk), encodedBytes(compression, chunk.count));

  return {
    beginVectors(fresh, given) {
      ready.clear();
      summedBefore = given;
      if (fresh && compression === 'int8')
        for (const shard of shards)
          floats(layout.residual(indexOf(shard), open), padded(plan.elements)).fill(0);
      const rest = padded(plan.elements) - plan.elements;
      for (const shard of shards) floats(layout.vector(indexOf(shard)) + plan.elements * 4, rest).fill(0);
    },
    contribution(index, chunk) {
      prepare(chunk);
      const node = nodes[index]!;
      const encoding = encodingOf(node, plan);
      const at = encoding === 'none' ? vectorAt(node.first, chunk) : encodedAt(node.first, chunk);
      return bytes(at, encodedBytes(encoding, chunk.count));
    },
    ownLeaves(chunk) {
      prepare(chunk);
      return nodes.map((node) => ({ node, encoding: 'none', at: vectorAt(node.first, chunk) }));
    },
    publishChunk(chunk) {
      const at = layout.sum + chunk.offset * 4;
      const to = publishedAt(chunk);
      const count = padded(chunk.count);
      if (compression === 'int8') {
        const left = residualAt(chunk.shard, next(), chunk);
        kernels.encodeInt8(to, at, layout.zeros, CARRIED_ONE, left, factor, count);
      } else {
        if (factor !== 1) kernels.scale(at, at, factor, count);
        if (compression === 'bf16') kernels.encodeBf16(to, at, count);
      }
      if (compression !== 'none') decode(kernels, at, { encoding: compression, at: to }, count);
      return publishedBytes(chunk);
    },
    publishedBytes,
    endVectors() {
      open = next();
    },
    residual(shard, when) {
      const index = indexOf(shard);
      if (compression !== 'int8' || index < 0 || index >= shardCount) return undefined;
      return floats(layout.residual(index, when === 'open' ? open : next()), plan.elements);
    },
  };
}

/** Where a chunk of a shard lies. */
function placesOf(layout: Layout, shardFirst: number) {
  const indexOf = (shard: number): number => shard - shardFirst;
  return {
    indexOf,
    vectorAt: (shard: number, { offset }: Chunk): number => layout.vector(indexOf(shard)) + offset * 4,
    encodedAt: (shard: number, { offset }: Chunk): number => layout.encoded(indexOf(shard), offset),
    residualAt: (shard: number, copy: 0 | 1, { offset }: Chunk): number =>
      layout.residual(indexOf(shard), copy) + offset * 4,
  };
}
