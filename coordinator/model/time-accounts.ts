// Where the time of workers went, by run, sweep, plan and worker, and for the fleet. Decides what an account
// holds, and how it is shown: seconds that were computed in vain are lost.
//
// Of each process a part of its timeline is counted: [0, until). It only grows, and the seconds that are
// counted for it are its length, whatever became of the process.

import { addSeconds, type PhaseSeconds } from '../../core/worker-time.ts';
import { emptyMap, type PersistentMap } from './persistent-map.ts';
import { emptyTable, type Table } from './table.ts';

/** Worker-seconds that something took. */
export interface TimeAccount {
  /** As the workers reported them. */
  readonly seconds: PhaseSeconds;
  /** Of `seconds.compute`: steps that were computed again, because a gang was lost before they were stored. */
  readonly repeated: number;
}

/** The account of a run. */
export interface RunAccount extends TimeAccount {
  /** Computed seconds by the stage that they were for, of stages that no checkpoint has yet. */
  readonly unstored?: readonly (readonly [stage: number, seconds: number])[];
}

/** What a worker did under its id, in all its processes; `until` and what follows are of the newest. */
export interface WorkerAccount {
  readonly seconds: PhaseSeconds;
  /** For how long its processes were there by the coordinator's clock, up to `walledToMs`. */
  readonly wallSeconds: number;
  readonly incarnation: string;
  /** When its timeline began, milliseconds since the epoch. */
  readonly startedAtMs: number;
  /** Seconds of its timeline that are counted. */
  readonly until: number;
  readonly walledToMs: number;
}

/** All accounts. */
export interface TimeAccounts {
  readonly fleet: TimeAccount & {
    /** Of processes that are gone, as in `WorkerAccount`. */
    readonly wallSeconds: number;
    /** When something was last decided before the latest start of a coordinator. */
    readonly beforeStartMs: number;
  };
  readonly plans: Table<TimeAccount>;
  readonly sweeps: Table<TimeAccount>;
  readonly runs: Table<RunAccount>;
  readonly workers: PersistentMap<WorkerAccount>;
}

/** Nothing took any time. */
export const NO_ACCOUNT: TimeAccount = { seconds: {}, repeated: 0 };

/** Before the first event. */
export const NO_ACCOUNTS: TimeAccounts = {
  fleet: { ...NO_ACCOUNT, wallSeconds: 0, beforeStartMs: 0 },
  plans: emptyTable(),
  sweeps: emptyTable(),
  runs: emptyTable(),
  workers: emptyMap(),
};

/** An account as it is shown: seconds that were computed in vain are lost. */
export function shownSeconds({ seconds, repeated }: TimeAccount): PhaseSeconds {
  // What was repeated is counted when it was computed, hence never more than all that was.
  return repeated === 0 ? seconds : addSeconds(seconds, { compute: -repeated, lost: repeated });
}

/** For how long a worker's processes have been there, seconds. */
export function wallSecondsOf(account: WorkerAccount, isThere: boolean, nowMs: number): number {
  return account.wallSeconds + (isThere ? Math.max(0, nowMs - account.walledToMs) / 1000 : 0);
}
