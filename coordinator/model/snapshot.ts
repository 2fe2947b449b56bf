// The state as plain data and back: what a snapshot stores, so that a start need not fold the whole journal.
// It comes in parts of a few hundred rows, so that whoever writes a large state can do something else in
// between. What follows from the rest (who is open, which genotypes a sweep has had, which runs are whose, what
// candidates share) is not written but made again.

import type { PlanSpec } from '../../core/spec/plan.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import type { Caller } from './caller.ts';
import { addCandidate, candidatesIn, cutCandidates, noCandidates } from './candidates.ts';
import { identityOf, identityText } from './identity.ts';
import { emptyMap, entriesOf, lookup, type PersistentMap, withEntry } from './persistent-map.ts';
import { NONE, VOID } from './results.ts';
import { appended, emptyRoll } from './roll.ts';
import {
  type EndedRunRow,
  endedRunFromRow,
  endedRunRow,
  type TrialRow,
  trialFromRow,
  trialRow,
} from './snapshot-rows.ts';
import { specDigest } from './spec-digest.ts';
import { candidateJob, jobAt } from './spec-of.ts';
import {
  type Account,
  type EndedRun,
  hasEnded,
  initialState,
  isWhole,
  type Namesakes,
  numberOf,
  type PlanState,
  type Recent,
  type RunState,
  type State,
  type Submission,
  type SweepState,
  trialOf,
  type WorkerState,
} from './state.ts';
import { Edit, emptyTable, rowAt, rowsOf, withRow } from './table.ts';
import type { RunAccount, TimeAccount, TimeAccounts, WorkerAccount } from './time-accounts.ts';

/**
 * Changes whenever the fold gives another state for the same events, or this file another form: a snapshot of
 * another number is not read, and the journal is folded instead.
 */
export const FOLD = 24;

type Spec = PlanSpec | SweepSpec | RunSpec;
type PlainPlan = Omit<PlanState, 'spec' | 'allRunIds'> & { spec: string };
type PlainSweep = Omit<
  SweepState,
  'spec' | 'job' | 'trialIds' | 'allRunIds' | 'openTrials' | 'endedBadly' | 'candidates'
> & {
  spec: string;
  /** Genotypes that screening has cut, each with its group. */
  cut?: readonly (readonly [key: string, group: number])[];
};
type PlainRun = Omit<RunState, 'job'> & { spec?: string };
type RecentRow<V> = readonly [place: number, key: string, value: V | null];

/** The rows of each kind, in the order in which they come. */
interface Rows {
  readonly facts: Pick<
    State,
    | 'events'
    | 'epoch'
    | 'lastMs'
    | 'numbers'
    | 'cutOffRuns'
    | 'counts'
    | 'usageHalfLifeMs'
    | 'quotas'
    | 'workerKinds'
    | 'code'
  > & {
    readonly fold: number;
    /** How many there ever were. */
    readonly lostWorkers: number;
    readonly submissions: number;
  };
  readonly specs: readonly [digest: string, Spec];
  readonly plans: PlainPlan;
  readonly sweeps: PlainSweep;
  readonly trials: TrialRow;
  /** Runs that are in memory as a whole, and ended ones, by number. */
  readonly runs: PlainRun | EndedRunRow;
  readonly workers: WorkerState;
  readonly names: readonly [string, Namesakes];
  readonly lostWorkers: RecentRow<true>;
  readonly submissions: RecentRow<Submission>;
  readonly tokens: readonly [string, Caller];
  readonly accounts: readonly [string, Account];
  readonly time: TimeRow;
  /** The runs that stand for what a group computes, some hundred a row, and the members for which none may. */
  readonly results: readonly [key: string, runs: readonly number[], voided: readonly string[]];
}

/** The account of the fleet, or one of another kind by number or id. */
type TimeRow =
  | readonly ['fleet', TimeAccounts['fleet']]
  | readonly ['plans' | 'sweeps', number, TimeAccount]
  | readonly ['runs', number, RunAccount]
  | readonly ['workers', string, WorkerAccount];

/** Some rows of one kind, as JSON has them. */
export type StatePart = {
  readonly [K in keyof Rows]: { readonly of: K; readonly rows: readonly Rows[K][] };
}[keyof Rows];

/** Rows of a part; those of trials take about two milliseconds to be written. */
const ROWS_A_PART = 500;

/** The state part by part. What was given is not changed meanwhile, whatever is decided. */
export function* encodeState(state: State): Generator<StatePart> {
  const { events, epoch, lastMs, numbers, cutOffRuns, usageHalfLifeMs, quotas, workerKinds, code } = state;
  const digests = new Map<Spec, string>();
  for (const [digest, spec] of entriesOf(state.specs)) digests.set(spec, digest);
  const digestOf = (spec: Spec): string => digests.get(spec) ?? specDigest(spec);
  const facts = {
    ...{ fold: FOLD, events, epoch, lastMs, numbers, cutOffRuns, counts: withoutZeros(state.counts) },
    ...{
      lostWorkers: state.lostWorkers.count,
      submissions: state.submissions.count,
      usageHalfLifeMs,
      quotas,
      workerKinds,
      code,
    },
  };
  yield { of: 'facts', rows: [facts] };
  yield* parts('specs', entriesOf(state.specs), (entry) => entry);
  yield* parts('plans', rowsOf(state.plans), ([, { spec, allRunIds: _runs, ...plan }]) => ({
    ...plan,
    spec: digestOf(spec),
  }));
  yield* parts('sweeps', rowsOf(state.sweeps), ([, sweep]) => plainSweep(sweep, digestOf(sweep.spec)));
  yield* parts('trials', rowsOf(state.trials), ([number, trial]) => trialRow(number, trial));
  yield* parts('runs', rowsOf(state.runs), ([number, run]) =>
    isWhole(run) ? plainRun(run, digestOf) : endedRunRow(number, run),
  );
  yield* parts('workers', entriesOf(state.workers), ([, worker]) => worker);
  yield* parts('names', entriesOf(state.names), (entry) => entry);
  yield* parts('lostWorkers', rowsOf(state.lostWorkers.keys), recentRow(state.lostWorkers));
  yield* parts('submissions', rowsOf(state.submissions.keys), recentRow(state.submissions));
  yield* parts('tokens', entriesOf(state.tokens), (entry) => entry);
  yield* parts('accounts', entriesOf(state.accounts), (entry) => entry);
  yield* parts('time', timeRows(state.time), (row) => row);
  yield* parts('results', resultRows(state), (row) => row, 1);
}

function* resultRows({ results }: State): Generator<Rows['results']> {
  for (const [key, group] of entriesOf(results)) {
    let numbers: number[] = [];
    const voided: string[] = [];
    for (const [member, number] of candidatesIn(group)) {
      if (number === VOID) voided.push(member);
      else if (number !== NONE) numbers.push(number);
      if (numbers.length < ROWS_A_PART) continue;
      yield [key, numbers, []];
      numbers = [];
    }
    if (numbers.length + voided.length > 0) yield [key, numbers, voided];
  }
}

function* timeRows({ fleet, plans, sweeps, runs, workers }: TimeAccounts): Generator<TimeRow> {
  yield ['fleet', fleet];
  for (const [number, account] of rowsOf(plans)) yield ['plans', number, account];
  for (const [number, account] of rowsOf(sweeps)) yield ['sweeps', number, account];
  for (const [number, account] of rowsOf(runs)) yield ['runs', number, account];
  for (const [id, account] of entriesOf(workers)) yield ['workers', id, account];
}

/** The accounts with one that a row has. */
function withTime(time: TimeAccounts, row: TimeRow, edit: Edit): TimeAccounts {
  switch (row[0]) {
    case 'fleet':
      return { ...time, fleet: row[1] };
    case 'workers':
      return { ...time, workers: withEntry(time.workers, row[1], row[2], edit) };
    case 'runs':
      return { ...time, runs: withRow(time.runs, row[1], row[2], edit) };
    default:
      return { ...time, [row[0]]: withRow(time[row[0]], row[1], row[2], edit) };
  }
}

function* parts<K extends keyof Rows, T>(
  of: K,
  things: Iterable<T>,
  rowFrom: (thing: T) => Rows[K],
  most = ROWS_A_PART,
): Generator<StatePart> {
  let rows: Rows[K][] = [];
  const part = () => ({ of, rows }) as unknown as StatePart;
  for (const thing of things) {
    rows.push(rowFrom(thing));
    if (rows.length < most) continue;
    yield part();
    rows = [];
  }
  if (rows.length > 0) yield part();
}

function plainSweep(sweep: SweepState, spec: string): PlainSweep {
  const { job: _j, trialIds: _t, allRunIds: _r, openTrials: _o, endedBadly: _e, ...rest } = sweep;
  const { candidates, ...plain } = rest;
  return {
    ...plain,
    spec,
    ...(plain.screening === undefined ? {} : { cut: [...cutCandidates(candidates)] }),
  };
}

function plainRun({ job, ...run }: RunState, digestOf: (spec: Spec) => string): PlainRun {
  return run.trialId === undefined ? { ...run, spec: digestOf(job as RunSpec) } : run;
}

const recentRow =
  <V>({ byKey }: Recent<V>) =>
  ([place, key]: readonly [number, string]): RecentRow<V> => [place, key, lookup(byKey, key) ?? null];

function withoutZeros(counts: State['counts']): State['counts'] {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count !== 0));
}

/** The state that was encoded. Throws when this is not the form of this release. */
export function decodeState(encoded: Iterable<StatePart>): State {
  const decoder = createStateDecoder();
  for (const part of encoded) decoder.add(part);
  return decoder.state();
}

/** A state that is made again part by part, in the order in which the parts were made. */
export interface StateDecoder {
  add(part: StatePart): void;
  state(): State;
}

/** A decoder of no part yet. Throws when a part is not of the form of this release. */
export function createStateDecoder(): StateDecoder {
  const edit = new Edit();
  const made: { -readonly [K in keyof State]: State[K] } = { ...initialState };
  const specNamed = (digest: string) => lookup(made.specs, digest)!;
  const texts = new Map<string, string>();
  const same = (text: string): string => {
    if (!texts.has(text)) texts.set(text, text);
    return texts.get(text)!;
  };
  let hasFacts = false;

  const takers: { readonly [K in keyof Rows]: (row: Rows[K]) => void } = {
    facts({ fold, lostWorkers, submissions, ...facts }) {
      if (fold !== FOLD) throw new Error(`the snapshot has fold ${fold}, this release reads ${FOLD}`);
      hasFacts = true;
      Object.assign(made, facts);
      made.lostWorkers = { ...made.lostWorkers, count: lostWorkers };
      made.submissions = { ...made.submissions, count: submissions };
    },
    specs([digest, spec]) {
      made.specs = withEntry(made.specs, digest, spec, edit);
    },
    plans(plain) {
      const plan = { ...plain, spec: specNamed(plain.spec) as PlanSpec, allRunIds: emptyRoll };
      const number = numberOf(plan.id);
      made.plans = withRow(made.plans, number, plan, edit);
      if (!hasEnded(plan)) made.openPlans = withRow(made.openPlans, number, true, edit);
    },
    sweeps(plain) {
      const sweep = emptySweep(plain, specNamed(plain.spec) as SweepSpec);
      const number = numberOf(sweep.id);
      made.sweeps = withRow(made.sweeps, number, sweep, edit);
      if (!hasEnded(sweep)) made.openSweeps = withRow(made.openSweeps, number, true, edit);
    },
    trials(row) {
      const trial = trialFromRow(row);
      const [number] = row;
      made.trials = withRow(made.trials, number, trial, edit);
      const sweep: Writable<SweepState> = rowAt(made.sweeps, numberOf(trial.sweepId))!;
      sweep.trialIds = appended(sweep.trialIds, number, edit);
      addCandidate(sweep.candidates, trial.genotypeKey, number);
      if (!hasEnded(trial)) sweep.openTrials = withRow(sweep.openTrials, number, true, edit);
      else if (trial.state !== 'done') sweep.endedBadly = withRow(sweep.endedBadly, number, true, edit);
    },
    runs(row) {
      const run = isRow(row) ? endedRunFromRow(row, same) : runOf(row);
      const number = isRow(row) ? row[0] : numberOf(run.id);
      made.runs = withRow(made.runs, number, run, edit);
      const sweep: Writable<SweepState> | undefined =
        run.sweepId === undefined ? undefined : rowAt(made.sweeps, numberOf(run.sweepId));
      if (sweep !== undefined) sweep.allRunIds = appended(sweep.allRunIds, number, edit);
      const planId = sweep === undefined && isWhole(run) ? run.planId : sweep?.planId;
      const plan: Writable<PlanState> | undefined =
        planId === undefined ? undefined : rowAt(made.plans, numberOf(planId));
      if (plan !== undefined) plan.allRunIds = appended(plan.allRunIds, number, edit);
      if (!hasEnded(run)) made.openRuns = withRow(made.openRuns, number, true, edit);
      if (isWhole(run)) made.damaged = withDamaged(made.damaged, run, edit);
    },
    workers(worker) {
      made.workers = withEntry(made.workers, worker.id, worker, edit);
    },
    names([name, namesakes]) {
      made.names = withEntry(made.names, name, namesakes, edit);
    },
    lostWorkers(row) {
      made.lostWorkers = withRecent(made.lostWorkers, row, edit);
    },
    submissions(row) {
      made.submissions = withRecent(made.submissions, row, edit);
    },
    tokens([key, caller]) {
      made.tokens = withEntry(made.tokens, key, caller, edit);
    },
    accounts([key, account]) {
      made.accounts = withEntry(made.accounts, key, account, edit);
    },
    time(row) {
      made.time = withTime(made.time, row, edit);
    },
    results([key, numbers, voided]) {
      const known = lookup(made.results, key);
      const group = known ?? noCandidates();
      for (const number of numbers) {
        const run = rowAt(made.runs, number);
        if (run !== undefined) addCandidate(group, memberOf(made, run), number);
      }
      for (const member of voided) addCandidate(group, member, VOID);
      if (known === undefined) made.results = withEntry(made.results, key, group, edit);
    },
  };

  /** A run that is in memory as a whole. */
  function runOf({ spec, ...run }: PlainRun): RunState {
    const sweep = run.sweepId === undefined ? undefined : rowAt(made.sweeps, numberOf(run.sweepId));
    const job = spec === undefined ? jobAt(sweep!.job, run.fidelity) : (specNamed(spec) as RunSpec);
    return { ...run, job };
  }

  return {
    add({ of, rows }) {
      const take = takers[of] as ((row: unknown) => void) | undefined;
      if (take === undefined)
        throw new Error(`the snapshot has ${String(of)}, which this release does not know`);
      for (const row of rows) take(row);
    },
    state() {
      if (!hasFacts) throw new Error('the snapshot has no facts');
      made.twins = twinsOf(made);
      return made;
    },
  };
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

const isRow = (row: PlainRun | EndedRunRow): row is EndedRunRow => Array.isArray(row);

/** The member of its group of results that a run is. */
function memberOf(state: State, run: RunState | EndedRun): string {
  // Of a candidate without a digest: there are a hundred thousand of them.
  return isWhole(run) ? identityOf(state, run)!.member : trialOf(state, run.trialId).genotypeKey;
}

/** Open runs by what they compute. */
function twinsOf(state: State): State['twins'] {
  const edit = new Edit();
  let twins: State['twins'] = emptyMap();
  for (const [number] of rowsOf(state.openRuns)) {
    const identity = identityOf(state, rowAt(state.runs, number)!);
    if (identity === undefined) continue;
    const key = identityText(identity);
    twins = withEntry(twins, key, [...(lookup(twins, key) ?? []), number], edit);
  }
  return twins;
}

/** A sweep before its trials and runs are there. */
function emptySweep({ cut = [], ...plain }: PlainSweep, spec: SweepSpec): SweepState {
  const candidates = noCandidates();
  for (const [key, group] of cut) addCandidate(candidates, key, -group);
  return {
    ...plain,
    spec,
    job: candidateJob(spec),
    trialIds: emptyRoll,
    allRunIds: emptyRoll,
    openTrials: emptyTable(),
    endedBadly: emptyTable(),
    candidates,
  };
}

function withDamaged(damaged: State['damaged'], run: RunState, edit: Edit): State['damaged'] {
  let all = damaged;
  for (const { stage, damage } of run.checkpoints)
    if (damage?.isLost === false) all = withEntry(all, `${run.id}/${stage}`, { runId: run.id, stage }, edit);
  return all;
}

function withRecent<V>({ byKey, keys, count }: Recent<V>, row: RecentRow<V>, edit: Edit): Recent<V> {
  const [place, key, value] = row;
  const known: PersistentMap<V> = value === null ? byKey : withEntry(byKey, key, value, edit);
  return { byKey: known, keys: withRow(keys, place, key, edit), count };
}
