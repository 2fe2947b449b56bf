// Who trains what: which queued runs start on which workers, which running gangs grow into idle workers, which give
// workers back. Pure: a state and who is connected go in, placements with their reasons come out. Gangs are placed whole
// or not at all, so half-placed gangs cannot block each other. Shard sizes are placement.ts', generations step.ts'.
//
// Order is priority, then age. Every startable run first gets its minimum; what is left makes gangs larger, one worker a
// round, so that no gang takes all. A run that finds too few workers takes surplus members of elastic gangs of its
// priority or below, and a teacher may take all of its own students, who would wait for it for ever.

import { numberOf, openRuns, runOf, type RunState, type State, type WorkerState } from './state.ts';

/** Elastic changes of one gang keep this distance: each costs the gang a synchronisation. */
export const CHANGE_INTERVAL_MS = 1_000;
/** A run that could be placed on this fleet and waits longer than this is no longer overtaken by smaller ones. */
const OVERTAKE_MS = 30_000;

export interface Placement {
  readonly runId: string;
  /** New gang in rank order; empty: back to the queue. */
  readonly workerIds: readonly string[];
  readonly reason: string;
}

export interface Scheduling {
  readonly placements: readonly Placement[];
  /** Why each run that stays queued does. */
  readonly waiting: ReadonlyMap<string, string>;
}

/** Workers that could take the places of lost members now, so that those who stay keep what they have in memory. */
export function replacementsFor(
  state: State,
  context: { now: number; connected: ReadonlySet<string> },
  options: { run: RunState; survivors: readonly string[]; without: string },
): string[] {
  const view = viewOf(state, context);
  const { run, survivors, without } = options;
  const free = fitting(view, run).filter(
    (worker) => worker.id !== without && !survivors.includes(worker.id) && isFree(view, worker),
  );
  return chooseClass(view, run, free).map((worker) => worker.id);
}

interface View {
  readonly now: number;
  readonly runs: readonly RunState[];
  readonly state: State;
  /** Workers that may get work: attached, connected, not draining. */
  readonly live: readonly WorkerState[];
  readonly connected: ReadonlySet<string>;
  /** Runs held, by worker; changes while placing. */
  readonly held: Map<string, number>;
  /** Gangs as they will be; changes while placing. */
  readonly gangs: Map<string, string[]>;
  readonly reasons: Map<string, string>;
  readonly waiting: Map<string, string>;
}

export function schedule(
  state: State,
  context: { now: number; connected: ReadonlySet<string> },
): Scheduling {
  const view = viewOf(state, context);
  const queued = view.runs.filter((run) => run.state === 'queued').sort(byUrgency);
  const blocked: RunState[] = [];
  for (const run of queued) placeMinimum(view, run, blocked);
  growGangs(view, blocked);
  return { placements: placementsOf(view), waiting: view.waiting };
}

function viewOf(state: State, context: { now: number; connected: ReadonlySet<string> }): View {
  const runs = openRuns(state);
  const held = new Map<string, number>();
  const gangs = new Map<string, string[]>();
  for (const run of runs) {
    if (run.state !== 'running') continue;
    const members = run.gang.map((member) => member.workerId);
    gangs.set(run.id, members);
    for (const id of members) held.set(id, (held.get(id) ?? 0) + 1);
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
    gangs,
    reasons: new Map(),
    waiting: new Map(),
  };
}

function byUrgency(a: RunState, b: RunState): number {
  return b.spec.priority - a.spec.priority || numberOf(a.id) - numberOf(b.id);
}

/** Gives a queued run its smallest gang, or says why it cannot have it. */
function placeMinimum(view: View, run: RunState, blocked: RunState[]): void {
  const obstacle = notStartable(view.state, run);
  if (obstacle !== undefined) {
    view.waiting.set(run.id, obstacle);
    return;
  }
  const { min } = run.spec.workers;
  const fit = fitting(view, run);
  const open = fit.filter((worker) => !isReserved(view, worker, run, blocked));
  const choose = () => chooseClass(view, run, open.filter((worker) => isFree(view, worker)));
  const chosen = choose();
  if (chosen.length >= min || reclaim(view, run, chosen, open)) {
    const members = choose().slice(0, min).map((worker) => worker.id);
    setGang(view, run, members, `${members.length} of at least ${min} workers free: ${members.join(', ')}`);
    return;
  }
  blocked.push(run);
  view.waiting.set(run.id, shortage(view, run, chosen.length));
}

/** A student's teacher must have begun, or have left checkpoints to learn from. */
function notStartable(state: State, run: RunState): string | undefined {
  if (run.teacherRunId === undefined) return undefined;
  const teacher = runOf(state, run.teacherRunId);
  return teacher.state === 'running' || teacher.state === 'done' || teacher.checkpoints.length > 0
    ? undefined
    : `queued: its teacher ${teacher.id} has not started`;
}

/** Live workers that the run can use, whether free or not: of its device class, and not those that failed it just now. */
function fitting(view: View, run: RunState): WorkerState[] {
  return view.live.filter((worker) => isOfClass(run, worker) && !isAvoided(view, run, worker));
}

function isAvoided(view: View, run: RunState, worker: WorkerState): boolean {
  return run.avoid?.workerId === worker.id && run.avoid.untilMs > view.now;
}

function isOfClass(run: RunState, worker: WorkerState): boolean {
  return !run.spec.training.exact || run.deviceClass === undefined || run.deviceClass === worker.deviceClass;
}

function isFree(view: View, worker: WorkerState): boolean {
  return (view.held.get(worker.id) ?? 0) < worker.slots;
}

/** Kept for a larger run that has been overtaken long enough. */
function isReserved(view: View, worker: WorkerState, run: RunState, blocked: readonly RunState[]): boolean {
  return blocked.some(
    (other) =>
      other.id !== run.id &&
      view.now - other.queuedAtMs > OVERTAKE_MS &&
      isPlaceable(view, other) &&
      isOfClass(other, worker),
  );
}

/** Its minimum could be met if everything else stood aside. */
function isPlaceable(view: View, run: RunState): boolean {
  return largestClass(run, fitting(view, run)).length >= run.spec.workers.min;
}

/** Least loaded first; all of one class when the run's bits must not depend on it. */
function chooseClass(view: View, run: RunState, workers: readonly WorkerState[]): WorkerState[] {
  const load = (worker: WorkerState) => view.held.get(worker.id) ?? 0;
  return largestClass(run, workers).sort((a, b) => load(a) - load(b) || (a.id < b.id ? -1 : 1));
}

function largestClass(run: RunState, workers: readonly WorkerState[]): WorkerState[] {
  if (!run.spec.training.exact || run.deviceClass !== undefined) return [...workers];
  const classes = new Map<string, WorkerState[]>();
  for (const worker of workers)
    classes.set(worker.deviceClass, [...(classes.get(worker.deviceClass) ?? []), worker]);
  return [...classes.values()].sort((a, b) => b.length - a.length)[0] ?? [];
}

/** Frees workers for a run by shrinking gangs that can spare members, or sending home students of a teacher. All or nothing. */
function reclaim(
  view: View,
  run: RunState,
  have: readonly WorkerState[],
  fit: readonly WorkerState[],
): boolean {
  const useful = new Map(
    fit.filter((worker) => !isFree(view, worker)).map((worker) => [worker.id, worker]),
  );
  const sameClass = (worker: WorkerState, chosen: readonly WorkerState[]) =>
    !run.spec.training.exact || chosen.every((other) => other.deviceClass === worker.deviceClass);
  const gained: { victim: RunState; worker: WorkerState }[] = [];
  const missing = () => run.spec.workers.min - have.length - gained.length;
  for (const victim of victimsOf(view, run)) {
    let spare = sparable(view, run, victim);
    for (const id of [...(view.gangs.get(victim.id) ?? [])].reverse()) {
      const worker = useful.get(id);
      if (missing() <= 0 || spare <= 0) break;
      if (worker === undefined || !sameClass(worker, [...have, ...gained.map((gain) => gain.worker)])) continue;
      gained.push({ victim, worker });
      useful.delete(id);
      spare--;
    }
  }
  if (missing() > 0) return false;
  for (const { victim, worker } of gained) dropMember(view, victim, worker, run);
  return true;
}

function dropMember(view: View, victim: RunState, worker: WorkerState, run: RunState): void {
  const rest = (view.gangs.get(victim.id) ?? []).filter((id) => id !== worker.id);
  const reason =
    rest.length === 0
      ? `its teacher ${run.id} needs ${worker.id}`
      : `gives ${worker.id} to ${run.id}, which needs ${run.spec.workers.min} to start`;
  setGang(view, victim, rest, reason);
}

/** Whose members may be taken, in this order: lowest priority first, then the largest surplus. */
function victimsOf(view: View, run: RunState): RunState[] {
  return view.runs
    .filter((victim) => victim.id !== run.id && sparable(view, run, victim) > 0)
    .sort(
      (a, b) =>
        a.spec.priority - b.spec.priority ||
        sparable(view, run, b) - sparable(view, run, a) ||
        (a.id < b.id ? -1 : 1),
    );
}

function sparable(view: View, run: RunState, victim: RunState): number {
  const size = view.gangs.get(victim.id)?.length ?? 0;
  if (size === 0) return 0;
  // Without its teacher a student only holds the place that the teacher needs.
  if (victim.teacherRunId === run.id && size <= victim.spec.workers.min) return size;
  if (victim.spec.priority > run.spec.priority || !mayChange(view, victim)) return 0;
  return size - victim.spec.workers.min;
}

/** Not too soon after its last change, nor while one of its members is away and may be about to be lost or to come back. */
function mayChange(view: View, run: RunState): boolean {
  if (run.state === 'queued') return true;
  return (
    view.now - run.changedAtMs >= CHANGE_INTERVAL_MS &&
    run.gang.every((member) => view.connected.has(member.workerId))
  );
}

/** One worker a gang a round, in order of urgency, while workers are free that no waiting run could use. */
function growGangs(view: View, blocked: readonly RunState[]): void {
  const growing = view.runs.filter((run) => view.gangs.has(run.id) && mayChange(view, run)).sort(byUrgency);
  const started = new Map(growing.map((run) => [run.id, view.gangs.get(run.id)!.length]));
  for (let grew = true; grew; ) {
    grew = false;
    for (const run of growing) grew = growByOne(view, run, blocked) || grew;
  }
  for (const run of growing) {
    const members = view.gangs.get(run.id)!;
    const joined = members.slice(started.get(run.id)!);
    if (joined.length > 0 && run.state === 'running')
      view.reasons.set(
        run.id,
        `idle workers join: ${joined.join(', ')}; ${members.length} of at most ${run.spec.workers.max}`,
      );
  }
}

function growByOne(view: View, run: RunState, blocked: readonly RunState[]): boolean {
  const members = view.gangs.get(run.id)!;
  if (members.length === 0 || members.length >= run.spec.workers.max) return false;
  const deviceClass =
    run.deviceClass ?? view.state.workers.get(members[0]!)?.deviceClass;
  const wanted = (worker: WorkerState) =>
    !members.includes(worker.id) &&
    isFree(view, worker) &&
    (!run.spec.training.exact || worker.deviceClass === deviceClass) &&
    !isAvoided(view, run, worker) &&
    !blocked.some((other) => isPlaceable(view, other) && isOfClass(other, worker));
  const [worker] = chooseClass(view, run, view.live.filter(wanted));
  if (worker === undefined) return false;
  const reason = view.reasons.get(run.id);
  setGang(view, run, [...members, worker.id], reason ?? `idle worker joins: ${worker.id}`);
  return true;
}

function setGang(view: View, run: RunState, members: string[], reason: string): void {
  const before = view.gangs.get(run.id) ?? [];
  for (const id of before) view.held.set(id, (view.held.get(id) ?? 1) - 1);
  for (const id of members) view.held.set(id, (view.held.get(id) ?? 0) + 1);
  view.gangs.set(run.id, members);
  view.reasons.set(run.id, reason);
}

/** What changed, those that lose workers first, so that a worker is released before it is given to another. */
function placementsOf(view: View): Placement[] {
  const changed = view.runs.flatMap((run): (Placement & { shrinks: boolean })[] => {
    const reason = view.reasons.get(run.id);
    const workerIds = view.gangs.get(run.id);
    if (reason === undefined || workerIds === undefined) return [];
    const before = run.gang.map((member) => member.workerId);
    if (before.length === workerIds.length && before.every((id, i) => id === workerIds[i])) return [];
    return [{ runId: run.id, workerIds, reason, shrinks: workerIds.length < before.length }];
  });
  return changed
    .sort((a, b) => Number(b.shrinks) - Number(a.shrinks))
    .map(({ shrinks: _shrinks, ...placement }) => placement);
}

function shortage(view: View, run: RunState, free: number): string {
  const { min } = run.spec.workers;
  const others = view.live.filter((worker) => !isOfClass(run, worker)).length;
  const avoided = view.live.filter((worker) => isAvoided(view, run, worker));
  const busy = fitting(view, run).filter((worker) => !isFree(view, worker)).length;
  const parts = [
    view.live.length === 0 ? 'no worker is connected' : '',
    busy > 0 ? `${busy} without a free slot` : '',
    avoided.length > 0 ? `${avoided.map((worker) => worker.id).join(', ')} failed it just now` : '',
    others > 0 ? `${others} of another device class than ${run.deviceClass}` : '',
  ].filter((part) => part !== '');
  const why = parts.length > 0 ? parts.join(', ') : `${view.live.length} connected, more are needed`;
  return `queued: ${free} of ${min} workers: ${why}`;
}
