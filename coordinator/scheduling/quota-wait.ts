// Whether a run has to wait because its owner has as much of the fleet as it may have, with the numbers.

import { begunAt, hoursAt, ownerKey, quotaOf, shareOf, wallHoursAt } from '../model/accounts.ts';
import { lookup } from '../model/persistent-map.ts';
import type { Account, ByHour, RunState } from '../model/state.ts';
import type { Board } from './board.ts';
import type { Wait } from './wait.ts';

const HOUR_MS = 3_600_000;

/** What an owner has got in this decision. */
export interface Given {
  readonly workers: number;
  /** Runs that begin with them. */
  readonly begun: () => number;
}

const NO_ACCOUNT: Account = { usedMs: 0, atMs: 0, workers: 0, open: 0 };
const NOTHING: Given = { workers: 0, begun: () => 0 };

/** Why the owner of this run gets no further workers for it; undefined: it may. `wanted`: how many more. */
export function quotaWait(
  { state, observed }: Pick<Board, 'state' | 'observed'>,
  run: RunState,
  wanted: number,
  given = NOTHING,
): Wait | undefined {
  const { owner } = shareOf(state, run);
  const quota = quotaOf(state, owner);
  if (quota === undefined) return undefined;
  const account = lookup(state.accounts, ownerKey(owner)) ?? NO_ACCOUNT;
  const who = owner === '' ? 'this fleet' : owner;
  const held = account.workers + given.workers;
  if (quota.workers !== undefined && held + wanted > quota.workers)
    return {
      kind: 'quota',
      reason: `queued: ${who} has ${held} workers and its quota is ${quota.workers}; ${wanted} more are needed`,
    };
  const { windowHours, workerHours, wallHours, attempts } = quota;
  const spent = (limit: number, used: ByHour, more: number, text: (total: string) => string) => {
    const again = freeAt(limit, used, { more, windowHours });
    if (again === undefined) return undefined;
    const total = used.reduce((sum, [, amount]) => sum + amount, more);
    const reason = `queued: ${who} has ${text(String(total))} in ${windowHours} h and its quota is ${limit}; the next run starts at ${again} at the earliest`;
    return { kind: 'quota' as const, reason };
  };
  const inHours = (used: ByHour): ByHour => used.map(([hour, ms]) => [hour, ms / HOUR_MS]);
  const short = (total: string) => Number(total).toFixed(1);
  const { now } = observed;
  const byWork =
    workerHours === undefined
      ? undefined
      : spent(
          workerHours,
          inHours(hoursAt(account, now, windowHours)),
          0,
          (t) => `used ${short(t)} worker-hours`,
        );
  const byWall =
    wallHours === undefined
      ? undefined
      : spent(
          wallHours,
          inHours(wallHoursAt(account, now, windowHours)),
          0,
          (t) => `had workers for ${short(t)} h`,
        );
  // One that has begun is no further attempt.
  const byAttempts =
    attempts === undefined || run.generation > 0
      ? undefined
      : spent(attempts, begunAt(account, now, windowHours), given.begun(), (t) => `begun ${t} runs`);
  return byWork ?? byWall ?? byAttempts;
}

/** When less than the limit is left, as the oldest hours go out of the window; undefined: now. */
function freeAt(
  limit: number,
  used: ByHour,
  { more, windowHours }: { readonly more: number; readonly windowHours: number },
): string | undefined {
  let total = used.reduce((sum, [, amount]) => sum + amount, more);
  if (total < limit) return undefined;
  const freed = used.find(([, amount]) => {
    total -= amount;
    return total < limit;
  });
  const hour = freed?.[0] ?? used.at(-1)?.[0] ?? 0;
  return `${new Date((hour + windowHours) * HOUR_MS).toISOString().slice(0, 16)}Z`;
}
