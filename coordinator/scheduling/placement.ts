// Which shards each member of a gang holds, and when that is worth changing. Decides sizes only, in rank
// order: proportional to what each member computes, as well as whole shards allow. The result of a run does
// not depend on it, because any range of shards is a sum of whole subtrees of the canonical tree (DESIGN 5);
// its speed does.

import type { Observed } from '../model/observed.ts';
import type { Member, RunState } from '../model/state.ts';

/** Factor by which a step has to become faster: a change costs the gang a synchronisation. */
const GAIN_MIN = 1.2;
/**
 * Between two changes of a gang, milliseconds: a measured speed needs some seconds to settle after a change.
 */
export const REBALANCE_INTERVAL_MS = 10_000;

/**
 * Shares the shards out so that the slowest member is done as early as possible. Each member gets one shard,
 * and each further shard goes to the member that is done first with it (of equals the lower rank). That is
 * optimal: the makespan of equal, indivisible jobs on machines of different speeds is minimal when each job
 * goes where it ends earliest. A speed that is not known counts as the mean of the known ones. `shards` is
 * not below the number of members.
 */
export function placeShards(
  workerIds: readonly string[],
  shards: number,
  speedOf: (workerId: string) => number | undefined = () => undefined,
): Member[] {
  if (workerIds.length < 1 || workerIds.length > shards)
    throw new Error(`assertion: ${workerIds.length} members cannot share ${shards} shards`);
  const speeds = completed(workerIds.map(speedOf));
  const counts = workerIds.map(() => 1);
  for (let left = shards - workerIds.length; left > 0; left--) {
    let best = 0;
    for (let rank = 1; rank < counts.length; rank++)
      if ((counts[rank]! + 1) / speeds[rank]! < (counts[best]! + 1) / speeds[best]!) best = rank;
    counts[best]! += 1;
  }
  let shardFirst = 0;
  return workerIds.map((workerId, rank) => {
    const shardCount = counts[rank]!;
    const member = { workerId, shardFirst, shardCount };
    shardFirst += shardCount;
    return member;
  });
}

/**
 * The placement that a running gang should change to now, with the reason; undefined while that is not worth
 * it.
 */
export function rebalanced(
  run: RunState,
  observed: Observed,
): { readonly members: readonly Member[]; readonly reason: string } | undefined {
  const { gang } = run;
  if (gang.length < 2 || observed.now - run.changedAtMs < REBALANCE_INTERVAL_MS) return undefined;
  const speedOf = (workerId: string) => observed.speedOf?.(run.id, workerId);
  if (gang.some(({ workerId }) => !isSpeed(speedOf(workerId)))) return undefined;
  const members = placeShards(
    gang.map(({ workerId }) => workerId),
    run.job.training.shards,
    speedOf,
  );
  const slowest = (placement: readonly Member[]) =>
    Math.max(...placement.map(({ workerId, shardCount }) => shardCount / speedOf(workerId)!));
  const gain = slowest(gang) / slowest(members);
  if (gain < GAIN_MIN) return undefined;
  const shares = members.map(
    ({ workerId, shardCount }, rank) =>
      `${workerId} ${speedOf(workerId)!.toFixed(1)} images/s: ${gang[rank]!.shardCount} to ${shardCount} shards`,
  );
  return {
    members,
    reason: `shards follow speed, a step gains ${Math.round((1 - 1 / gain) * 100)} %: ${shares.join(', ')}`,
  };
}

function isSpeed(speed: number | undefined): speed is number {
  return speed !== undefined && Number.isFinite(speed) && speed > 0;
}

/** Every speed, unknown ones guessed from the others. */
function completed(speeds: readonly (number | undefined)[]): number[] {
  const known = speeds.filter(isSpeed);
  const mean = known.length === 0 ? 1 : known.reduce((sum, speed) => sum + speed, 0) / known.length;
  return speeds.map((speed) => (isSpeed(speed) ? speed : mean));
}
