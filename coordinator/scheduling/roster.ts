// The table at which workers are given out: who is there, what each holds, and the gangs as they will be.
// Decides which workers a run can use, and when a gang may change. It changes while runs are placed, within
// one call of the scheduler and nowhere else.

import { isDeterministic } from '../../core/system/device-class.ts';
import type { Observed } from '../model/observed.ts';
import {
  type Avoided,
  openRuns,
  type RunState,
  runOf,
  type State,
  type WorkerState,
} from '../model/state.ts';
import { isSuspect } from './blame.ts';

/** Between two elastic changes of one gang, milliseconds: each costs the gang a synchronisation. */
export const CHANGE_INTERVAL_MS = 1_000;

/**
 * Why a run stays queued. The kind is a closed list, because it is the label of a metric; the reason is a
 * sentence with numbers for a person. Neither is journalled: it is derived from the state again whenever
 * somebody asks.
 */
export interface Wait {
  readonly kind: 'teacher_not_started' | 'model_mismatch' | 'insufficient_workers';
  readonly reason: string;
}

/** Everything that placing looks at and changes. Maps are by id. */
export interface Roster extends Observed {
  /** Those that have not ended, oldest first. */
  readonly runs: readonly RunState[];
  readonly state: State;
  /** Workers that may get work: attached, connected, not draining. */
  readonly live: readonly WorkerState[];
  /** The number of runs that each worker holds; changes while placing. */
  readonly held: Map<string, number>;
  /** Workers that hold a suspect, which shares with nobody; changes while placing. */
  readonly alone: Set<string>;
  /** Gangs as they will be; changes while placing. */
  readonly gangs: Map<string, string[]>;
  /** Why each gang that changes does. */
  readonly reasons: Map<string, string>;
  /** What each run that stays queued waits for. */
  readonly waiting: Map<string, Wait>;
  /**
   * Running runs that could spare members, or that are students of a teacher that waits: reclaim() looks at
   * these alone.
   */
  readonly victims: readonly RunState[];
}

/** The table as it is before anything is placed. */
export function rosterOf(state: State, context: Observed): Roster {
  const runs = openRuns(state);
  const held = new Map<string, number>();
  const gangs = new Map<string, string[]>();
  const alone = new Set<string>();
  for (const run of runs) {
    if (run.state !== 'running') continue;
    const members = run.gang.map((member) => member.workerId);
    gangs.set(run.id, members);
    for (const id of members) held.set(id, (held.get(id) ?? 0) + 1);
    if (isSuspect(run, context)) for (const id of members) alone.add(id);
  }
  const live = [...state.workers.values()].filter(
    (worker) => worker.state === 'attached' && context.connected.has(worker.id),
  );
  return {
    ...context,
    runs,
    state,
    live,
    held,
    alone,
    gangs,
    reasons: new Map(),
    waiting: new Map(),
    victims: runs.filter(
      (run) =>
        run.gang.length > run.spec.workers.min ||
        (run.gang.length > 0 &&
          run.teacherRunId !== undefined &&
          runOf(state, run.teacherRunId).state === 'queued'),
    ),
  };
}

/**
 * Live workers that the run can use, whether free or not: of its device class, and not those that failed it
 * just now.
 */
export function fitting(roster: Roster, run: RunState): WorkerState[] {
  return roster.live.filter((worker) => isOfClass(run, worker) && !isAvoided(roster, run, worker));
}

/** A run is kept from a worker now, because the worker failed it lately. */
export function isAvoided(roster: Roster, run: RunState, worker: WorkerState): boolean {
  return avoidanceOf(roster, run, worker.id) !== undefined;
}

/** Why and until when a run is kept from a worker now. */
export function avoidanceOf(roster: Roster, run: RunState, workerId: string): Avoided | undefined {
  return run.avoided.find((one) => one.workerId === workerId && one.untilMs > roster.now);
}

/** An exact run takes workers of one device class, and none of a class that gives other bits each time. */
export function isOfClass(run: RunState, worker: WorkerState): boolean {
  if (!run.spec.training.exact) return true;
  if (!isDeterministic(worker.deviceClass)) return false;
  return run.deviceClass === undefined || run.deviceClass === worker.deviceClass;
}

/** The worker has a slot for this run. A suspect needs a worker that holds nothing else. */
export function isFree(roster: Roster, worker: WorkerState, run: RunState): boolean {
  const held = roster.held.get(worker.id) ?? 0;
  if (held >= worker.slots || roster.alone.has(worker.id)) return false;
  return held === 0 || !isSuspect(run, roster);
}

/** The run's minimum could be met if nothing else ran. */
export function isPlaceable(roster: Roster, run: RunState): boolean {
  return largestClass(run, fitting(roster, run)).length >= run.spec.workers.min;
}

/** The workers that a run may choose from, least loaded first: all of one class when the run is exact. */
export function chooseClass(roster: Roster, run: RunState, workers: readonly WorkerState[]): WorkerState[] {
  const load = (worker: WorkerState) => roster.held.get(worker.id) ?? 0;
  return largestClass(run, workers).sort((a, b) => load(a) - load(b) || (a.id < b.id ? -1 : 1));
}

/**
 * Workers of the device class that has most of them; all of them when the run's class is known or does not
 * matter.
 */
function largestClass(run: RunState, workers: readonly WorkerState[]): WorkerState[] {
  if (!run.spec.training.exact || run.deviceClass !== undefined) return [...workers];
  const classes = new Map<string, WorkerState[]>();
  for (const worker of workers)
    classes.set(worker.deviceClass, [...(classes.get(worker.deviceClass) ?? []), worker]);
  return [...classes.values()].sort((a, b) => b.length - a.length)[0] ?? [];
}

/**
 * Not too soon after its last change, nor while one of its members is away and may be about to be lost or to
 * come back.
 */
export function mayChange(roster: Roster, run: RunState): boolean {
  if (run.state === 'queued') return true;
  return roster.now - run.changedAtMs >= CHANGE_INTERVAL_MS && isSettled(run, roster.connected);
}

/** The run trains, and all members are connected. */
export function isSettled(run: RunState, connected: ReadonlySet<string>): boolean {
  // With its last checkpoint stored a run only evaluates; another gang would make it do that twice.
  if (run.checkpoints.at(-1)?.stage === run.spec.training.epochs) return false;
  return run.gang.every((member) => connected.has(member.workerId));
}

/** Gives a run these members, and keeps the table's counts true. */
export function setGang(roster: Roster, run: RunState, members: string[], reason: string): void {
  const before = roster.gangs.get(run.id) ?? [];
  for (const id of before) roster.held.set(id, (roster.held.get(id) ?? 1) - 1);
  for (const id of members) roster.held.set(id, (roster.held.get(id) ?? 0) + 1);
  if (isSuspect(run, roster)) {
    for (const id of before) roster.alone.delete(id);
    for (const id of members) roster.alone.add(id);
  }
  roster.gangs.set(run.id, members);
  roster.reasons.set(run.id, reason);
}
