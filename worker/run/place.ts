// The place of this worker in the gang of an assignment.

import type { Member } from '../../proto/gen/pocketfleet/v1/worker.ts';

/** Rank and shards of a worker; undefined when it is no member. */
export function placeIn(
  members: readonly Member[],
  workerId: string,
): { readonly rank: number; readonly shards: readonly number[] } | undefined {
  const rank = members.findIndex((member) => member.workerId === workerId);
  const member = members[rank];
  if (!member) return undefined;
  return {
    rank,
    shards: Array.from({ length: member.shardCount }, (_, i) => member.shardFirst + i),
  };
}
