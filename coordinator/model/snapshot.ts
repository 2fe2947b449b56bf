// The state as plain data and back: what a snapshot stores, so that a start need not fold the whole journal.
// What follows from the rest (who is open, which genotypes a sweep has had, what candidates share) is not
// written but made again. Trials and ended runs, of which there are many, are written as rows without names.

import type { Costs } from '../../core/nn/space.ts';
import type { PlanSpec } from '../../core/spec/plan.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import type { Caller } from './caller.ts';
import { emptyMap, entriesOf, lookup, type PersistentMap, withEntry } from './persistent-map.ts';
import { allNumbers, appended, emptyRoll, type Roll } from './roll.ts';
import { specDigest } from './spec-digest.ts';
import { candidateJob, jobAt } from './spec-of.ts';
import {
  type EndedRun,
  hasEnded,
  initialState,
  isWhole,
  numberOf,
  type PlanState,
  type Recent,
  type RunState,
  type State,
  type SweepState,
  type TrialState,
} from './state.ts';
import { Edit, emptyTable, rowAt, rowsOf, type Table, withRow } from './table.ts';

/**
 * Changes whenever the fold gives another state for the same events, or this file another form: a snapshot of
 * another number is not read, and the journal is folded instead.
 */
export const FOLD = 2;

type Spec = PlanSpec | SweepSpec | RunSpec;
type Rows<T> = readonly (readonly [number, T])[];
type Entries<T> = readonly (readonly [string, T])[];

type PlainPlan = Omit<PlanState, 'spec' | 'allRunIds'> & { spec: string; allRunIds: readonly number[] };
type PlainSweep = Omit<
  SweepState,
  'spec' | 'job' | 'trialIds' | 'allRunIds' | 'openTrials' | 'endedBadly' | 'candidates'
> & { spec: string; trialIds: readonly number[]; allRunIds: readonly number[] };
type PlainRun = Omit<RunState, 'job'> & { spec?: string };
type PlainRecent<V> = { entries: Entries<V>; keys: Rows<string>; count: number };

/** The state as JSON has it. */
export interface PlainState {
  readonly fold: number;
  readonly facts: Pick<State, 'events' | 'epoch' | 'lastMs' | 'numbers' | 'cutOffRuns' | 'counts'>;
  readonly specs: Entries<Spec>;
  readonly plans: Rows<PlainPlan>;
  readonly sweeps: Rows<PlainSweep>;
  readonly trials: readonly unknown[][];
  readonly runs: Rows<PlainRun>;
  readonly endedRuns: readonly unknown[][];
  readonly workers: Entries<unknown>;
  readonly names: Entries<unknown>;
  readonly lostWorkers: PlainRecent<unknown>;
  readonly submissions: PlainRecent<unknown>;
  readonly tokens: Entries<Caller>;
}

/** The state as plain data; equal states give equal data. */
export function encodeState(state: State): PlainState {
  const { events, epoch, lastMs, numbers, cutOffRuns, counts } = state;
  const digests = new Map<Spec, string>();
  for (const [digest, spec] of entriesOf(state.specs)) digests.set(spec, digest);
  const digestOf = (spec: Spec): string => digests.get(spec) ?? specDigest(spec);
  const runs: [number, PlainRun][] = [];
  const endedRuns: unknown[][] = [];
  for (const [number, run] of rowsOf(state.runs)) {
    if (!isWhole(run)) endedRuns.push(rowOf(ENDED_RUN, number, run));
    else {
      const { job, ...rest } = run;
      runs.push([number, run.trialId === undefined ? { ...rest, spec: digestOf(job as RunSpec) } : rest]);
    }
  }
  return {
    fold: FOLD,
    facts: { events, epoch, lastMs, numbers, cutOffRuns, counts: withoutZeros(counts) },
    specs: sorted(state.specs),
    plans: [...rowsOf(state.plans)].map(([number, { spec, allRunIds, ...plan }]) => [
      number,
      { ...plan, spec: digestOf(spec), allRunIds: [...allNumbers(allRunIds)] },
    ]),
    sweeps: [...rowsOf(state.sweeps)].map(([number, sweep]) => {
      const {
        spec,
        job: _,
        trialIds,
        allRunIds,
        openTrials: _o,
        endedBadly: _e,
        candidates: _c,
        ...rest
      } = sweep;
      const rolls = { trialIds: [...allNumbers(trialIds)], allRunIds: [...allNumbers(allRunIds)] };
      return [number, { ...rest, spec: digestOf(spec), ...rolls }];
    }),
    trials: [...rowsOf(state.trials)].map(([number, trial]) => rowOf(TRIAL, number, trial)),
    ...{ runs, endedRuns },
    workers: sorted(state.workers),
    names: sorted(state.names),
    lostWorkers: plainRecent(state.lostWorkers),
    submissions: plainRecent(state.submissions),
    tokens: sorted(state.tokens),
  };
}

/** The state that was encoded. Throws when this is not the form of this release. */
export function decodeState(plain: PlainState): State {
  if (plain.fold !== FOLD) throw new Error(`the snapshot has fold ${plain.fold}, this release reads ${FOLD}`);
  const edit = new Edit();
  const specs = mapOf<Spec>(plain.specs, edit);
  const specNamed = (digest: string) => lookup(specs, digest)!;
  const trials = tableOf(
    plain.trials.map((row) => fromRow<TrialState>(TRIAL, row)),
    edit,
  );
  const sweeps = tableOf(
    plain.sweeps.map(([number, sweep]) => [
      number,
      sweepOf(sweep, specNamed(sweep.spec) as SweepSpec, { trials, edit }),
    ]),
    edit,
  );
  const runs: [number, RunState | EndedRun][] = plain.runs.map(([number, { spec, ...run }]) => {
    const sweep = run.sweepId === undefined ? undefined : rowAt(sweeps, numberOf(run.sweepId));
    const job = spec === undefined ? jobAt(sweep!.job, run.fidelity) : (specNamed(spec) as RunSpec);
    return [number, { ...run, job }];
  });
  for (const row of plain.endedRuns) runs.push(fromRow<EndedRun>(ENDED_RUN, row));
  const plans = tableOf<PlanState>(
    plain.plans.map(([number, { spec, allRunIds, ...plan }]) => [
      number,
      { ...plan, spec: specNamed(spec) as PlanSpec, allRunIds: rollOf(allRunIds, edit) },
    ]),
    edit,
  );
  const runTable = tableOf(runs, edit);
  return {
    ...initialState,
    ...plain.facts,
    ...{ specs, plans, sweeps, trials },
    runs: runTable,
    workers: mapOf(
      plain.workers as State['workers'] extends PersistentMap<infer W> ? Entries<W> : never,
      edit,
    ),
    names: mapOf(plain.names as State['names'] extends PersistentMap<infer N> ? Entries<N> : never, edit),
    lostWorkers: recentOf(plain.lostWorkers as PlainRecent<true>, edit),
    submissions: recentOf(
      plain.submissions as State['submissions'] extends Recent<infer S> ? PlainRecent<S> : never,
      edit,
    ),
    tokens: mapOf(plain.tokens, edit),
    damaged: damagedOf(runTable, edit),
    openPlans: openOf(plans, edit),
    openSweeps: openOf(sweeps, edit),
    openRuns: openOf(runTable, edit),
  };
}

function damagedOf(runs: State['runs'], edit: Edit): State['damaged'] {
  let damaged: State['damaged'] = emptyMap();
  for (const [, run] of rowsOf(runs)) {
    if (!isWhole(run)) continue;
    for (const { stage, damage } of run.checkpoints)
      if (damage?.isLost === false)
        damaged = withEntry(damaged, `${run.id}/${stage}`, { runId: run.id, stage }, edit);
  }
  return damaged;
}

function sweepOf(
  plain: PlainSweep,
  spec: SweepSpec,
  { trials, edit }: { readonly trials: Table<TrialState>; readonly edit: Edit },
): SweepState {
  let openTrials = emptyTable<true>();
  let endedBadly = emptyTable<true>();
  let candidates = emptyMap<number>();
  for (const number of plain.trialIds) {
    const trial = rowAt(trials, number);
    if (trial === undefined) continue;
    candidates = withEntry(candidates, trial.genotypeKey, number, edit);
    if (!hasEnded(trial)) openTrials = withRow(openTrials, number, true, edit);
    else if (trial.state !== 'done') endedBadly = withRow(endedBadly, number, true, edit);
  }
  const trialIds = rollOf(plain.trialIds, edit);
  const allRunIds = rollOf(plain.allRunIds, edit);
  return { ...plain, spec, trialIds, allRunIds, openTrials, endedBadly, candidates, job: candidateJob(spec) };
}

/** The fields of a row after its number, in their places. */
const TRIAL = [
  ...['id', 'sweepId', 'number', 'state', 'reason', 'createdAtMs', 'endedAtMs', 'genotypeKey', 'costs'],
  ...['runIds', 'objectives', 'rungs'],
];
const ENDED_RUN = [
  ...['id', 'state', 'reason', 'trialId', 'sweepId', 'attempt', 'generation', 'deviceClass', 'createdAtMs'],
  ...['startedAtMs', 'endedAtMs', 'finalStep', 'weightsDigest', 'accuracy', 'failureCause', 'stages'],
];

/** Costs stand in a row as three numbers. */
const COSTS: readonly (keyof Costs)[] = ['parameters', 'mflops', 'multiplyAdds'];

function rowOf(fields: readonly string[], number: number, thing: object): unknown[] {
  const known = thing as Record<string, unknown>;
  return [
    number,
    ...fields.map((field) => {
      const value = known[field];
      if (value === undefined) return null;
      return field === 'costs' ? COSTS.map((name) => (value as Costs)[name]) : value;
    }),
  ];
}

function fromRow<T>(fields: readonly string[], row: readonly unknown[]): [number, T] {
  const thing: Record<string, unknown> = {};
  for (const [i, field] of fields.entries()) {
    const value = row[i + 1];
    if (value === null) continue;
    if (field === 'costs') {
      const [parameters, mflops, multiplyAdds] = value as number[];
      thing.costs = { parameters, mflops, multiplyAdds };
    } else thing[field] = value;
  }
  return [row[0] as number, thing as T];
}

function withoutZeros(counts: State['counts']): State['counts'] {
  const entries = Object.entries(counts).filter(([, count]) => count !== 0);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function sorted<V>(map: PersistentMap<V>): Entries<V> {
  return [...entriesOf(map)].sort(([a], [b]) => (a < b ? -1 : 1));
}

function plainRecent<V>({ byKey, keys, count }: Recent<V>): PlainRecent<V> {
  return { entries: sorted(byKey), keys: [...rowsOf(keys)], count };
}

function recentOf<V>({ entries, keys, count }: PlainRecent<V>, edit: Edit): Recent<V> {
  return { byKey: mapOf(entries, edit), keys: tableOf(keys, edit), count };
}

function mapOf<V>(entries: Entries<V>, edit: Edit): PersistentMap<V> {
  let map = emptyMap<V>();
  for (const [key, value] of entries) map = withEntry(map, key, value, edit);
  return map;
}

function tableOf<V>(rows: Rows<V>, edit: Edit): Table<V> {
  let table = emptyTable<V>();
  for (const [number, row] of rows) table = withRow(table, number, row, edit);
  return table;
}

function rollOf(numbers: readonly number[], edit: Edit): Roll {
  let roll = emptyRoll;
  for (const number of numbers) roll = appended(roll, number, edit);
  return roll;
}

function openOf(table: Table<{ readonly state: string }>, edit: Edit): Table<true> {
  let open = emptyTable<true>();
  for (const [number, thing] of rowsOf(table)) if (!hasEnded(thing)) open = withRow(open, number, true, edit);
  return open;
}
