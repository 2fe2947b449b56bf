// Whether a run has to wait because its owner has as much of the fleet as it may have, with the numbers.

import { hoursAt, ownerKey, quotaOf, type Share } from '../model/accounts.ts';
import { lookup } from '../model/persistent-map.ts';
import type { Board } from './board.ts';
import type { Wait } from './wait.ts';

const HOUR_MS = 3_600_000;

/**
 * Why the owner of this share gets no further workers; undefined: it may. `wanted`: how many more. `given`: those
 * that it has got in this decision.
 */
export function quotaWait(
  { state, observed }: Pick<Board, 'state' | 'observed'>,
  { owner }: Pick<Share, 'owner'>,
  wanted: number,
  given = 0,
): Wait | undefined {
  const quota = quotaOf(state, owner);
  if (quota === undefined) return undefined;
  const account = lookup(state.accounts, ownerKey(owner));
  const who = owner === '' ? 'this fleet' : owner;
  const held = (account?.workers ?? 0) + given;
  if (quota.workers !== undefined && held + wanted > quota.workers)
    return {
      kind: 'quota',
      reason: `queued: ${who} has ${held} workers and its quota is ${quota.workers}; ${wanted} more are needed`,
    };
  if (quota.workerHours === undefined || account === undefined) return undefined;
  const { windowHours, workerHours } = quota;
  const hours = hoursAt(account, observed.now, windowHours);
  let used = hours.reduce((sum, [, ms]) => sum + ms, 0) / HOUR_MS;
  if (used < workerHours) return undefined;
  const text = used.toFixed(1);
  // What is left once the oldest hours have gone out of the window.
  const freed = hours.find(([, ms]) => {
    used -= ms / HOUR_MS;
    return used < workerHours;
  });
  const again = new Date((freed![0] + windowHours) * HOUR_MS).toISOString().slice(0, 16);
  return {
    kind: 'quota',
    reason: `queued: ${who} has used ${text} worker-hours in ${windowHours} h and its quota is ${workerHours}; the next run starts at ${again}Z at the earliest`,
  };
}
