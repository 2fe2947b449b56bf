// The state as plain data: what a snapshot stores, so that a start need not fold the whole journal. It comes in
// parts of a few hundred rows, so that whoever writes a large state can do something else in between. Nobody reads
// a page before one of its rows is asked for; so what is looked up in all of them (who is open, whose they are, which
// genotypes a sweep has had, which results stand for what) is written beside them.

import type { RunSpec } from '../../core/spec/run.ts';
import { candidatesIn } from './candidates.ts';
import { entriesOf, lookup } from './persistent-map.ts';
import { NONE } from './results.ts';
import { allNumbers } from './roll.ts';
import {
  FOLD,
  type ListName,
  type PagedRows,
  type PagePart,
  type PlainRun,
  type PlainSweep,
  type RecentRow,
  type Rows,
  type Spec,
  type StatePart,
  type TimeRow,
} from './snapshot-parts.ts';
import { endedRunRow, trialRow } from './snapshot-rows.ts';
import { specDigest } from './spec-digest.ts';
import { isWhole, type Recent, type RunState, type State, type SweepState } from './state.ts';
import { pagesOf, rowsOf, type Table } from './table.ts';
import type { TimeAccounts } from './time-accounts.ts';

/** Rows of a part; they take about two milliseconds to be written. */
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
  yield* pages('trials', state.trials, trialRow);
  yield* pages('runs', state.runs, (number, run) =>
    isWhole(run) ? plainRun(run, digestOf) : endedRunRow(number, run),
  );
  yield* pages('times', state.time.runs, (number, account) => [number, account]);
  yield* parts('lists', listRows(state), (row) => row, 1);
  yield* parts('candidates', candidateRows(state), (row) => row, 1);
  yield* parts('damaged', entriesOf(state.damaged), (entry) => entry);
  yield* parts('workers', entriesOf(state.workers), ([, worker]) => worker);
  yield* parts('names', entriesOf(state.names), (entry) => entry);
  yield* parts('lostWorkers', rowsOf(state.lostWorkers.keys), recentRow(state.lostWorkers));
  yield* parts('submissions', rowsOf(state.submissions.keys), recentRow(state.submissions));
  yield* parts('tokens', entriesOf(state.tokens), (entry) => entry);
  yield* parts('accounts', entriesOf(state.accounts), (entry) => entry);
  yield* parts('time', timeRows(state.time), (row) => row);
  yield* parts('results', resultRows(state), (row) => row, 1);
}

function* pages<K extends keyof PagedRows, V>(
  of: K,
  table: Table<V>,
  rowFrom: (number: number, thing: V) => PagedRows[K],
): Generator<PagePart> {
  for (const page of pagesOf(table)) {
    const { first, count } = page;
    if ('stored' in page) yield { of, first, count, stored: page.stored };
    else yield { of, first, count, rows: page.rows.map(([number, thing]) => rowFrom(number, thing)) };
  }
}

function* listRows(state: State): Generator<Rows['lists']> {
  yield* rangesOf('openRuns', 0, numbersIn(state.openRuns));
  for (const [number, { allRunIds }] of rowsOf(state.plans))
    yield* rangesOf('planRuns', number, allNumbers(allRunIds));
  for (const [number, { trialIds, allRunIds, openTrials, endedBadly }] of rowsOf(state.sweeps)) {
    yield* rangesOf('sweepTrials', number, allNumbers(trialIds));
    yield* rangesOf('sweepRuns', number, allNumbers(allRunIds));
    yield* rangesOf('openTrials', number, numbersIn(openTrials));
    yield* rangesOf('endedBadly', number, numbersIn(endedBadly));
  }
}

function* numbersIn(set: Table<true>): Generator<number> {
  for (const [number] of rowsOf(set)) yield number;
}

/** Numbers as ranges, some hundred a row. */
function* rangesOf(of: ListName, owner: number, numbers: Iterable<number>): Generator<Rows['lists']> {
  let ranges: number[] = [];
  let next: number | undefined;
  for (const number of numbers) {
    if (number === next) ranges[ranges.length - 1]! += 1;
    else if (ranges.length < 2 * ROWS_A_PART) ranges.push(number, 1);
    else {
      yield [of, owner, ranges];
      ranges = [number, 1];
    }
    next = number + 1;
  }
  if (ranges.length > 0) yield [of, owner, ranges];
}

function* candidateRows({ sweeps }: State): Generator<Rows['candidates']> {
  for (const [sweep, { candidates }] of rowsOf(sweeps))
    for (const [keys, numbers] of joined(candidatesIn(candidates))) yield [sweep, keys, numbers];
}

function* resultRows({ results }: State): Generator<Rows['results']> {
  for (const [key, group] of entriesOf(results))
    for (const [members, numbers] of joined(candidatesIn(group))) yield [key, members, numbers];
}

/** Keys in one text, because one long text is read in a tenth of the time of some hundred short ones. */
function* joined(entries: Iterable<readonly [string, number]>): Generator<[string, number[]]> {
  let keys: string[] = [];
  let numbers: number[] = [];
  for (const [key, number] of entries) {
    if (number === NONE) continue;
    keys.push(key);
    numbers.push(number);
    if (keys.length < ROWS_A_PART) continue;
    yield [keys.join(' '), numbers];
    keys = [];
    numbers = [];
  }
  if (keys.length > 0) yield [keys.join(' '), numbers];
}

function* timeRows({ fleet, plans, sweeps, workers }: TimeAccounts): Generator<TimeRow> {
  yield ['fleet', fleet];
  for (const [number, account] of rowsOf(plans)) yield ['plans', number, account];
  for (const [number, account] of rowsOf(sweeps)) yield ['sweeps', number, account];
  for (const [id, account] of entriesOf(workers)) yield ['workers', id, account];
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
  const { candidates: _c, ...plain } = rest;
  return { ...plain, spec };
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
