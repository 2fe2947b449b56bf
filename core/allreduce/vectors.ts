// The vectors of one member's shards, where they lie in the memory of its exchange: viewed, filled and
// checked, on both sides of the data thread. Decides what a caller of `reduce` must give, and which nodes it may
// have added up.

import { FleetError } from '../errors.ts';
import type { ExchangeMemory } from './memory.ts';
import { type Compression, type Member, type Node, nodesInside } from './plan.ts';

/** Which shards a member holds, and how long their vectors are. */
interface Holding {
  readonly members: readonly Member[];
  readonly rank: number;
  readonly elements: number;
  readonly compression?: Compression;
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

/** Those of the shards that have a vector: the first of each node that is added up already, and all outside of them. */
export const shardsGiven = (shards: readonly number[], summed: readonly Node[] = []): readonly number[] =>
  shards.filter((shard) => !summed.some(({ first, size }) => shard > first && shard < first + size));

export function checkVectors(
  { members, rank, elements, compression = 'none' }: Holding,
  vectors: ReadonlyMap<number, Float32Array>,
  summed: readonly Node[] = [],
): void {
  const { shardFirst, shardCount } = members[rank]!;
  const own = nodesInside(shardFirst, shardFirst + shardCount);
  for (const node of summed)
    if (compression !== 'none' || !own.some((whole) => isPartOf(node, whole)))
      throw new FleetError(
        'internal',
        `shards ${node.first} to ${node.first + node.size - 1} were added up, and ${compression === 'none' ? 'they are no node of this member' : `each travels as ${compression}`}`,
      );
  const shards = Array.from({ length: shardCount }, (_, i) => shardFirst + i);
  const wanted = shardsGiven(shards, summed);
  if (vectors.size > wanted.length)
    throw new FleetError('internal', `${vectors.size} vectors were given for ${wanted.length} shards`);
  for (const shard of wanted) {
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

const isPartOf = ({ first, size }: Node, whole: Node): boolean =>
  first % size === 0 && first >= whole.first && first + size <= whole.first + whole.size;
