// One step of the fold as it is being made: a copy of the state whose fields are replaced one after the
// other, and the updates that all kinds of events share.

import { charge, shareOf } from './accounts.ts';
import { lookup, withEntry, withoutEntry } from './persistent-map.ts';
import { withWorkers } from './spent.ts';
import {
  type Noun,
  numberOf,
  type PlanState,
  planOf,
  type Recent,
  type RunState,
  runOf,
  type State,
  type SweepState,
  sweepOf,
  type TrialState,
  trialOf,
  type WorkerState,
} from './state.ts';
import { type Edit, rowAt, type Table, withoutRow, withRow } from './table.ts';

/** A state that is being made; only the function that makes it sees it. */
export type Working = { -readonly [K in keyof State]: State[K] } & {
  /** Under which the state was made; its tables and maps may be changed in place where they were too. */
  readonly edit: Edit;
  /** Rows are changed in place too: nobody has seen any of them. */
  readonly ownsRows: boolean;
  /** `numbers` was made for this state. */
  ownsNumbers: boolean;
  /** `counts` was made for this state. */
  ownsCounts: boolean;
};

/** A copy of a state to work on, or the state itself where it was made under this edit. */
export function workingOn(state: State, edit: Edit, ownsRows = false): Working {
  if ((state as Partial<Working>).edit === edit) return state as Working;
  return { ...state, edit, ownsRows, ownsNumbers: false, ownsCounts: false };
}

/** Notes that this number was given out. */
export function took(w: Working, noun: Noun, id: string): void {
  const number = numberOf(id);
  if (number <= w.numbers[noun]) return;
  if (!w.ownsNumbers) w.numbers = { ...w.numbers };
  w.ownsNumbers = true;
  (w.numbers as Record<Noun, number>)[noun] = number;
}

/** Moves one thing from one count to another; undefined: it was in none, or is in none any more. */
export function recount(w: Working, from: string | undefined, to: string | undefined): void {
  if (from === to) return;
  if (!w.ownsCounts) w.counts = { ...w.counts };
  w.ownsCounts = true;
  const counts: Record<string, number> = w.counts;
  if (from !== undefined) counts[from] = (counts[from] ?? 0) - 1;
  if (to !== undefined) counts[to] = (counts[to] ?? 0) + 1;
}

/** The name of a count of runs; made once, because a text that is put together anew must be looked up anew. */
export function runCount(kind: RunState['job']['kind'], state: RunState['state']): string {
  return RUN_COUNTS[kind][state];
}

/** The same for trials. */
export function trialCount(state: TrialState['state']): string {
  return TRIAL_COUNTS[state];
}

const TRIAL_COUNTS = {
  queued: 'trial queued',
  running: 'trial running',
  paused: 'trial paused',
  done: 'trial done',
  failed: 'trial failed',
  cancelled: 'trial cancelled',
} as const;

const RUN_COUNTS = {
  candidate: countsOf('candidate'),
  teacher: countsOf('teacher'),
  student: countsOf('student'),
  embedding: countsOf('embedding'),
  search: countsOf('search'),
};

function countsOf<K extends RunState['job']['kind']>(kind: K) {
  return {
    queued: `run ${kind} queued`,
    running: `run ${kind} running`,
    pausing: `run ${kind} pausing`,
    paused: `run ${kind} paused`,
    done: `run ${kind} done`,
    failed: `run ${kind} failed`,
    cancelled: `run ${kind} cancelled`,
  } as const;
}

/** Changes fields of a plan. */
export function changePlan(w: Working, id: string, change: Partial<PlanState>): void {
  const plan = planOf(w, id);
  if (change.state !== undefined) recount(w, `plan ${plan.state}`, `plan ${change.state}`);
  if (w.ownsRows) Object.assign(plan, change);
  else w.plans = withRow(w.plans, numberOf(id), { ...plan, ...change }, w.edit);
}

/** Changes fields of a sweep. */
export function changeSweep(w: Working, id: string, change: Partial<SweepState>): void {
  const sweep = sweepOf(w, id);
  if (change.state !== undefined) recount(w, `sweep ${sweep.state}`, `sweep ${change.state}`);
  if (w.ownsRows) Object.assign(sweep, change);
  else w.sweeps = withRow(w.sweeps, numberOf(id), { ...sweep, ...change }, w.edit);
}

/** Changes fields of a trial. */
export function changeTrial(w: Working, id: string, change: Partial<TrialState>): void {
  const trial = trialOf(w, id);
  if (change.state !== undefined) recount(w, trialCount(trial.state), trialCount(change.state));
  if (w.ownsRows) Object.assign(trial, change);
  else w.trials = withRow(w.trials, numberOf(id), { ...trial, ...change }, w.edit);
}

/** A row whose fields may be written. */
export type Draft<T> = { -readonly [K in keyof T]: T[K] };

/** A trial as it is from now on, to be written field by field, which takes a tenth of what a list of changes does. */
export function draftOfTrial(w: Working, id: string): Draft<TrialState> {
  const trial = trialOf(w, id);
  if (w.ownsRows) return trial;
  const draft = { ...trial };
  w.trials = withRow(w.trials, numberOf(id), draft, w.edit);
  return draft;
}

/** The same for a sweep. */
export function draftOfSweep(w: Working, id: string): Draft<SweepState> {
  const sweep = sweepOf(w, id);
  if (w.ownsRows) return sweep;
  const draft = { ...sweep };
  w.sweeps = withRow(w.sweeps, numberOf(id), draft, w.edit);
  return draft;
}

/** A draft of a trial comes into another state. */
export function moveTrial(w: Working, draft: Draft<TrialState>, state: TrialState['state']): void {
  recount(w, trialCount(draft.state), trialCount(state));
  draft.state = state;
}

/** Changes fields of a run that is in memory as a whole, and what its members hold. */
export function changeRun(w: Working, id: string, change: Partial<RunState>): void {
  const run = runOf(w, id);
  const { kind } = run.job;
  if (change.state !== undefined) recount(w, runCount(kind, run.state), runCount(kind, change.state));
  if (change.gang !== undefined && change.gang !== run.gang) {
    if (change.gang.length !== run.gang.length) count(w, run, change.gang.length - run.gang.length);
    regroup(w, run, change.gang);
  }
  if (w.ownsRows) Object.assign(run, change);
  else w.runs = withRow(w.runs, numberOf(id), { ...runOf(w, id), ...change }, w.edit);
}

/** Charges the gang's change to who has it; what it uses of a budget is noted too. */
function count(w: Working, run: RunState, by: number): void {
  charge(w, shareOf(w, run), by);
  if (run.job.budget === undefined) return;
  changeRun(w, run.id, { spent: withWorkers(run.spent, w.lastMs, by) });
  if (run.sweepId === undefined) return;
  changeSweep(w, run.sweepId, { spent: withWorkers(sweepOf(w, run.sweepId).spent, w.lastMs, by) });
}

/** Keeps the lists of what each worker holds. */
function regroup(w: Working, run: RunState, gang: RunState['gang']): void {
  const number = numberOf(run.id);
  // By place, here and below: an iterator is garbage, and a start does this a hundred thousand times.
  for (let i = 0; i < run.gang.length; i++) {
    const { workerId } = run.gang[i]!;
    if (hasMember(gang, workerId)) continue;
    const worker = lookup(w.workers, workerId);
    if (worker === undefined) continue;
    changeRunsOf(w, worker, worker.runs.length === 1 ? NO_RUNS : worker.runs.filter((one) => one !== number));
  }
  for (let i = 0; i < gang.length; i++) {
    const { workerId } = gang[i]!;
    const worker = lookup(w.workers, workerId);
    if (worker === undefined || worker.runs.includes(number)) continue;
    changeRunsOf(w, worker, worker.runs.length === 0 ? [number] : [...worker.runs, number]);
  }
}

/** The runs of an idle worker; nobody changes it. */
const NO_RUNS: readonly number[] = Object.freeze([]);

function hasMember(gang: RunState['gang'], workerId: string): boolean {
  for (let i = 0; i < gang.length; i++) if (gang[i]!.workerId === workerId) return true;
  return false;
}

function changeRunsOf(w: Working, worker: WorkerState, runs: readonly number[]): void {
  if (w.ownsRows) (worker as { runs: readonly number[] }).runs = runs;
  else w.workers = withEntry(w.workers, worker.id, { ...worker, runs }, w.edit);
}

/** With one more, the newest; of more than `max` the oldest are dropped, and their keys handed over. */
export function withNewest<V>(
  recent: Recent<V>,
  added: { readonly key: string; readonly value: V; readonly max: number; readonly edit: Edit },
  onDrop: (key: string, place: number) => void = () => undefined,
): Recent<V> {
  const { key, value, max, edit } = added;
  const count = recent.count + 1;
  let byKey = withEntry(recent.byKey, key, value, edit);
  let keys = withRow(recent.keys, count, key, edit);
  const oldest = count - max;
  const dropped = oldest < 1 ? undefined : rowAt(keys, oldest);
  if (dropped !== undefined) {
    keys = withoutRow(keys, oldest, edit);
    // A key that came again since stays.
    if (dropped !== key) byKey = withoutEntry(byKey, dropped, edit);
    onDrop(dropped, oldest);
  }
  return { byKey, keys, count };
}

/** A set of numbers with one more. */
export function withNumber(set: Table<true>, id: string, edit: Edit): Table<true> {
  return withRow(set, numberOf(id), true, edit);
}

/** A set of numbers with one less. */
export function withoutNumber(set: Table<true>, id: string, edit: Edit): Table<true> {
  return withoutRow(set, numberOf(id), edit);
}

/** A field that is there only when it has a value: in the state absent and undefined are different things. */
export function optional<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { [P in K]?: V };
}

/** What every end of something sets. */
export function ended<S extends string>(event: { state: S; reason: string; atMs: number }) {
  return { state: event.state, reason: event.reason, endedAtMs: event.atMs };
}
