// Who trains what: which queued runs start on which workers, which running gangs grow into idle workers,
// which give workers back. Pure: a state and what is observed go in, placements with their reasons come out.
// Gangs are placed whole or not at all, so that half-placed gangs cannot block each other.
//
// The order is priority, then age. Every run that can start first gets its minimum; what is left makes gangs
// larger, one worker a round, so that no gang takes all. A run that finds too few workers takes surplus
// members of elastic gangs of its priority or below, and a teacher may take all of its own students, which
// would wait for it for ever. A large run that could be placed on this fleet is overtaken by smaller ones for
// OVERTAKE_MS at most: then workers that become free are kept for it.

import { isDeterministic } from '../../core/system/device-class.ts';
import type { Observed } from '../model/observed.ts';
import {
  type Avoided,
  numberOf,
  type RunState,
  runOf,
  type State,
  type WorkerState,
} from '../model/state.ts';
import { isSuspect } from './blame.ts';
import { reclaim } from './reclaim.ts';
import {
  avoidanceOf,
  chooseClass,
  fitting,
  isAvoided,
  isFree,
  isOfClass,
  isPlaceable,
  mayChange,
  type Roster,
  rosterOf,
  setGang,
  type Wait,
} from './roster.ts';

/**
 * A run that could be placed on this fleet and waits longer than this is no longer overtaken by smaller ones.
 */
const OVERTAKE_MS = 30_000;

/** A gang that changes. */
export interface Placement {
  readonly runId: string;
  /** New gang in rank order; empty: back to the queue. */
  readonly workerIds: readonly string[];
  readonly reason: string;
}

/** What changes now, and what waits. */
export interface Scheduling {
  /** Gangs that lose workers come first, so that a worker is released before it is given to another run. */
  readonly placements: readonly Placement[];
  /** By run id: what each run that stays queued waits for. */
  readonly waiting: ReadonlyMap<string, Wait>;
}

/**
 * Workers that could take the places of lost members now, so that those who stay keep what they have in
 * memory.
 */
export function replacementsFor(
  state: State,
  context: Observed,
  options: { run: RunState; survivors: readonly string[]; without: string },
): string[] {
  const roster = rosterOf(state, context);
  const { run, survivors, without } = options;
  const free = fitting(roster, run).filter(
    (worker) => worker.id !== without && !survivors.includes(worker.id) && isFree(roster, worker, run),
  );
  return chooseClass(roster, run, free).map((worker) => worker.id);
}

/** Places what can be placed now. */
export function schedule(state: State, context: Observed): Scheduling {
  const roster = rosterOf(state, context);
  const queued = roster.runs.filter((run) => run.state === 'queued').sort(byUrgency);
  const blocked: RunState[] = [];
  for (const run of queued) placeMinimum(roster, run, blocked);
  growGangs(roster, blocked);
  return { placements: placementsOf(roster), waiting: roster.waiting };
}

function byUrgency(a: RunState, b: RunState): number {
  return b.spec.priority - a.spec.priority || numberOf(a.id) - numberOf(b.id);
}

/** Gives a queued run its smallest gang, or notes what it waits for. */
function placeMinimum(roster: Roster, run: RunState, blocked: RunState[]): void {
  const obstacle = notStartable(roster.state, run);
  if (obstacle !== undefined) {
    roster.waiting.set(run.id, { kind: 'teacher_not_started', reason: obstacle });
    return;
  }
  const { min } = run.spec.workers;
  const fit = fitting(roster, run);
  const open = fit.filter((worker) => !isReserved(roster, worker, run, blocked));
  const choose = () =>
    chooseClass(
      roster,
      run,
      open.filter((worker) => isFree(roster, worker, run)),
    );
  const chosen = choose();
  if (chosen.length >= min || reclaim(roster, run, chosen, open)) {
    const members = choose()
      .slice(0, min)
      .map((worker) => worker.id);
    setGang(roster, run, members, `${members.length} of at least ${min} workers free: ${members.join(', ')}`);
    return;
  }
  blocked.push(run);
  roster.waiting.set(run.id, shortage(roster, run, chosen.length));
}

/**
 * Why a run cannot start whatever workers are free: a student needs a teacher that has begun or has stored a
 * checkpoint.
 */
function notStartable(state: State, run: RunState): string | undefined {
  if (run.teacherRunId === undefined) return undefined;
  const teacher = runOf(state, run.teacherRunId);
  return teacher.state === 'running' || teacher.state === 'done' || teacher.checkpoints.length > 0
    ? undefined
    : `queued: its teacher ${teacher.id} has not started`;
}

/** The worker is kept for another run that has been overtaken long enough. */
function isReserved(
  roster: Roster,
  worker: WorkerState,
  run: RunState,
  blocked: readonly RunState[],
): boolean {
  return blocked.some(
    (other) =>
      other.id !== run.id &&
      roster.now - other.queuedAtMs > OVERTAKE_MS &&
      isPlaceable(roster, other) &&
      isOfClass(other, worker),
  );
}

/** One worker a gang a round, in order of urgency, while workers are free that no waiting run could use. */
function growGangs(roster: Roster, blocked: readonly RunState[]): void {
  const growing = roster.runs
    .filter((run) => roster.gangs.has(run.id) && mayChange(roster, run))
    .sort(byUrgency);
  const started = new Map(growing.map((run) => [run.id, roster.gangs.get(run.id)!.length]));
  for (let grew = true; grew; ) {
    grew = false;
    for (const run of growing) grew = growByOne(roster, run, blocked) || grew;
  }
  for (const run of growing) {
    const members = roster.gangs.get(run.id)!;
    const joined = members.slice(started.get(run.id)!);
    if (joined.length > 0 && run.state === 'running')
      roster.reasons.set(
        run.id,
        `idle workers join: ${joined.join(', ')}; ${members.length} of at most ${run.spec.workers.max}`,
      );
  }
}

function growByOne(roster: Roster, run: RunState, blocked: readonly RunState[]): boolean {
  const members = roster.gangs.get(run.id)!;
  if (members.length === 0 || members.length >= run.spec.workers.max) return false;
  const deviceClass = run.deviceClass ?? roster.state.workers.get(members[0]!)?.deviceClass;
  const wanted = (worker: WorkerState) =>
    !members.includes(worker.id) &&
    isFree(roster, worker, run) &&
    (!run.spec.training.exact || worker.deviceClass === deviceClass) &&
    !isAvoided(roster, run, worker) &&
    !blocked.some((other) => isPlaceable(roster, other) && isOfClass(other, worker));
  const [worker] = chooseClass(roster, run, roster.live.filter(wanted));
  if (worker === undefined) return false;
  const reason = roster.reasons.get(run.id);
  setGang(roster, run, [...members, worker.id], reason ?? `idle worker joins: ${worker.id}`);
  return true;
}

/** The gangs that have changed, those that lose workers first. */
function placementsOf(roster: Roster): Placement[] {
  const changed = roster.runs.flatMap((run): (Placement & { shrinks: boolean })[] => {
    const reason = roster.reasons.get(run.id);
    const workerIds = roster.gangs.get(run.id);
    if (reason === undefined || workerIds === undefined) return [];
    const before = run.gang.map((member) => member.workerId);
    if (before.length === workerIds.length && before.every((id, i) => id === workerIds[i])) return [];
    return [{ runId: run.id, workerIds, reason, shrinks: workerIds.length < before.length }];
  });
  return changed
    .sort((a, b) => Number(b.shrinks) - Number(a.shrinks))
    .map(({ shrinks: _shrinks, ...placement }) => placement);
}

/** What keeps a run from the workers that it needs; `free`: those that it could have now. */
function shortage(roster: Roster, run: RunState, free: number): Wait {
  const { min } = run.spec.workers;
  const unfit = roster.live.filter((worker) => !isOfClass(run, worker));
  const random = unfit.filter((worker) => !isDeterministic(worker.deviceClass)).length;
  const others = unfit.length - random;
  const avoided = roster.live.flatMap((worker) => avoidanceOf(roster, run, worker.id) ?? []);
  const busy = fitting(roster, run).filter((worker) => !isFree(roster, worker, run)).length;
  const parts = [
    roster.live.length === 0 ? 'no worker is connected' : '',
    busy > 0
      ? `${busy} without a free slot${isSuspect(run, roster) ? ' (it needs whole workers, since it may be what killed others)' : ''}`
      : '',
    avoided.length > 0 ? avoidedText(avoided) : '',
    others > 0 ? `${others} of another device class than ${run.deviceClass}` : '',
    random > 0
      ? `${random} whose GPU gives other bits each time (start it with TF_DETERMINISTIC_OPS=1, or submit with training.exact: false)`
      : '',
  ].filter((part) => part !== '');
  const why = parts.length > 0 ? parts.join(', ') : `${roster.live.length} connected, more are needed`;
  return {
    kind: others > 0 ? 'model_mismatch' : 'insufficient_workers',
    reason: `queued: ${free} of ${min} workers: ${why}`,
  };
}

/** Which workers the run is kept from for a while, and what went wrong there last. */
function avoidedText(avoided: readonly Avoided[]): string {
  const times = (one: Avoided) => (one.failures > 1 ? ` ${one.failures} times` : '');
  const who = avoided.map((one) => `${one.workerId}${times(one)}`).join(', ');
  const last = avoided.reduce((a, b) => (b.untilMs > a.untilMs ? b : a));
  return `${who} could not go on with it and will be tried again (${last.workerId}: ${last.reason})`;
}
