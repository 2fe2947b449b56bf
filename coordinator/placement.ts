// Which shards each member of a gang holds. Decides sizes only: aligned power-of-two blocks, as even as such blocks can be,
// in rank order. Results do not depend on it (DESIGN 5); speed does. Who is a member is the scheduler's decision.

import type { Member } from './state.ts';

/**
 * With p the largest power of two that is not above the number of members: p blocks of V/p shards, and as many of them
 * halved as members are left over. So no member holds more than twice what another does, and each block is a whole
 * subtree of the canonical sum. `shards` is a power of two and not below the number of members.
 */
export function placeShards(workerIds: readonly string[], shards: number): Member[] {
  const count = workerIds.length;
  if (count < 1 || count > shards || (shards & (shards - 1)) !== 0)
    throw new Error(`assertion: ${count} members cannot share ${shards} shards`);
  let blocks = 1;
  while (blocks * 2 <= count) blocks *= 2;
  const whole = shards / blocks;
  // The later ranks get the halves: rank 0 has the checkpoints to write, but it also is the one that was there longest,
  // and a member that stays keeps its block more often this way.
  const wholes = blocks - (count - blocks);
  let first = 0;
  return workerIds.map((workerId, rank) => {
    const shardCount = rank < wholes ? whole : whole / 2;
    const member = { workerId, shardFirst: first, shardCount };
    first += shardCount;
    return member;
  });
}
