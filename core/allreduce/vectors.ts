// The vectors of one member's shards, where they lie in the memory of its exchange: viewed, filled and
// checked, on both sides of the data thread. Decides what a caller of `reduce` must give.

import { FleetError } from '../errors.ts';
import type { ExchangeMemory } from './memory.ts';
import type { Member } from './plan.ts';

/** Which shards a member holds, and how long their vectors are. */
interface Holding {
  readonly members: readonly Member[];
  readonly rank: number;
  readonly elements: number;
}

/** Where a shard's vector lies in the memory of an exchange. */
export function vectorView(
  memory: ExchangeMemory,
  { members, rank, elements }: Holding,
  shard: number,
): Float32Array<SharedArrayBuffer> {
  const { shardFirst, shardCount } = members[rank]!;
  if (shard < shardFirst || shard >= shardFirst + shardCount)
    throw new FleetError('internal', `shard ${shard} is not one of this member's`);
  return memory.floats(memory.layout.vector(shard - shardFirst), elements);
}

/** Copies the vectors that were not computed in place. */
export function fillVectors(
  memory: ExchangeMemory,
  plan: Holding,
  given: ReadonlyMap<number, Float32Array>,
): void {
  for (const [shard, vector] of given) {
    const view = vectorView(memory, plan, shard);
    if (vector.buffer !== view.buffer || vector.byteOffset !== view.byteOffset) view.set(vector);
  }
}

export function checkVectors(
  { members, rank, elements }: Holding,
  vectors: ReadonlyMap<number, Float32Array>,
): void {
  const { shardFirst, shardCount } = members[rank]!;
  if (vectors.size > shardCount)
    throw new FleetError('internal', `${vectors.size} vectors were given for ${shardCount} shards`);
  for (let shard = shardFirst; shard < shardFirst + shardCount; shard++) {
    const length = vectors.get(shard)?.length;
    if (length !== elements)
      throw new FleetError(
        'internal',
        length === undefined
          ? `shard ${shard} has no vector`
          : `the vector of shard ${shard} has ${length} elements instead of ${elements}`,
      );
  }
}
