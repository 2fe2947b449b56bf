// One member's shards in one step: made ready to travel, added up as far as they are its own, and the finished slices as
// they are published. Decides what compression does to which numbers; when each happens is reduction.ts', the
// format of the bytes is kernels.wat's.
//
// Compression (DESIGN 5) is applied to each shard alone, before the tree, and to the finished sum. A shard's part of the slice
// that belongs to it stays exact, because no placement ever sends it. With int8 what the image leaves (error
// feedback, https://arxiv.org/abs/1901.09847) is added to the same shard in the next step; what the finished sum leaves
// is kept by the slice's shard. So the numbers depend on the shards alone and not on who holds them, and a shard's
// whole memory is one vector.

import { CARRIED_ALL, CARRIED_ONE } from './kernels/kernels.ts';
import type { ExchangeMemory } from './memory.ts';
import { encodedBytes, encodingOf, padded } from './memory.ts';
import type { Chunk, Plan } from './plan.ts';
import { decode, type Leaf, sumInPlace } from './reduce.ts';

export interface OwnVectors {
  /** The vectors are in memory. `fresh`: what earlier steps left is forgotten. */
  start(fresh: boolean): void;
  /** What a member sends of its node `index`; the same bytes however often it is asked. */
  contribution(index: number, chunk: Chunk): Uint8Array;
  /** This member's nodes in a chunk of its own slices. */
  leaves(chunk: Chunk): Leaf[];
  /** Turns the sum of a chunk into what all members get, here and in the bytes returned. */
  publish(chunk: Chunk): Uint8Array;
  /** The published bytes again. */
  published(chunk: Chunk): Uint8Array;
  /** The step is over: what it left belongs to the next. */
  finish(): void;
  /** What int8 has left of a shard for the open step, or for the one after it. */
  residual(shard: number, when: 'open' | 'next'): Float32Array | undefined;
}

export function createOwnVectors(options: {
  readonly plan: Plan;
  readonly rank: number;
  readonly memory: ExchangeMemory;
  /** Multiplies every element of the sum. */
  readonly factor: number;
}): OwnVectors {
  const { plan, rank, memory, factor } = options;
  const { layout, kernels, bytes, floats } = memory;
  const { compression } = plan;
  const nodes = plan.nodes[rank]!;
  const { shardFirst, shardCount } = plan.members[rank]!;
  const shards = Array.from({ length: shardCount }, (_, i) => shardFirst + i);
  const summed = new Set(
    nodes.flatMap(({ first, size }) =>
      size === 1 ? [] : shards.filter((s) => s >= first && s < first + size),
    ),
  );
  const ownOffsets = new Set(plan.chunks[rank]!.map(({ offset }) => offset));
  /** Offsets of chunks that are ready in this step. */
  const ready = new Set<number>();
  let open: 0 | 1 = 0;
  const next = (): 0 | 1 => (open === 0 ? 1 : 0);
  const indexOf = (shard: number): number => shard - shardFirst;
  const vectorAt = (shard: number, { offset }: Chunk): number => layout.vector(indexOf(shard)) + offset * 4;

  function prepare(chunk: Chunk): void {
    if (ready.has(chunk.offset)) return;
    ready.add(chunk.offset);
    if (compression !== 'none') for (const shard of shards) compress(shard, chunk);
    const count = padded(chunk.count);
    for (const node of nodes)
      if (node.size > 1) sumInPlace({ kernels, node, addressOf: (shard) => vectorAt(shard, chunk), count });
  }

  function compress(shard: number, chunk: Chunk): void {
    const index = indexOf(shard);
    const at = vectorAt(shard, chunk);
    const count = padded(chunk.count);
    const exact = shard === chunk.shard;
    const to = layout.encoded(index, chunk.offset);
    if (compression === 'int8') {
      const carried = layout.residual(index, open) + chunk.offset * 4;
      const left = layout.residual(index, next()) + chunk.offset * 4;
      if (exact) kernels.add(at, at, carried, count);
      else kernels.encodeInt8(to, at, carried, CARRIED_ALL, left, 1, count);
    } else if (!exact) kernels.encodeBf16(to, at, count);
    if (exact) return;
    // Where the shard is added here and not sent, its image is what counts.
    if (summed.has(shard) || ownOffsets.has(chunk.offset))
      decode(kernels, at, { encoding: compression, at: to }, count);
  }

  /** Exact sums travel from where they are; nobody changes them before all have them. */
  const publishedAt = ({ offset }: Chunk): number =>
    compression === 'none' ? layout.sum + offset * 4 : layout.published(offset);
  const published = (chunk: Chunk): Uint8Array =>
    bytes(publishedAt(chunk), encodedBytes(compression, chunk.count));

  return {
    start(fresh) {
      ready.clear();
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
      const at =
        encoding === 'none' ? vectorAt(node.first, chunk) : layout.encoded(indexOf(node.first), chunk.offset);
      return bytes(at, encodedBytes(encoding, chunk.count));
    },
    leaves(chunk) {
      prepare(chunk);
      return nodes.map((node) => ({ node, encoding: 'none', at: vectorAt(node.first, chunk) }));
    },
    publish(chunk) {
      const at = layout.sum + chunk.offset * 4;
      const to = publishedAt(chunk);
      const count = padded(chunk.count);
      if (compression === 'int8') {
        const left = layout.residual(indexOf(chunk.shard), next()) + chunk.offset * 4;
        kernels.encodeInt8(to, at, layout.zeros, CARRIED_ONE, left, factor, count);
      } else {
        if (factor !== 1) kernels.scale(at, at, factor, count);
        if (compression === 'bf16') kernels.encodeBf16(to, at, count);
      }
      if (compression !== 'none') decode(kernels, at, { encoding: compression, at: to }, count);
      return published(chunk);
    },
    published,
    finish() {
      open = next();
    },
    residual(shard, when) {
      const index = indexOf(shard);
      if (compression !== 'int8' || index < 0 || index >= shardCount) return undefined;
      return floats(layout.residual(index, when === 'open' ? open : next()), plan.elements);
    },
  };
}
