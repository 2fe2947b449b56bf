// The state that a snapshot holds, made again from its parts. What follows from the rest (which plans and sweeps are
// open, what open runs compute) is made again too. Decides what of a long past is made at once: nothing but numbers
// and keys; a trial or a run is made with its page, when somebody looks at one of them.

import { FleetError } from '../../core/errors.ts';
import type { PlanSpec } from '../../core/spec/plan.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import { foundText } from '../../core/text/printable.ts';
import { addCandidate, noCandidates } from './candidates.ts';
import { identityOf, identityText } from './identity.ts';
import { emptyMap, lookup, type PersistentMap, withEntry } from './persistent-map.ts';
import { appended, emptyRoll } from './roll.ts';
import {
  FOLD,
  isPage,
  type PagedRows,
  type PagePart,
  type PlainSweep,
  type RecentRow,
  type Rows,
  type RowsPart,
  type Spec,
  type StatePart,
  type TimeRow,
} from './snapshot-parts.ts';
import { type EndedRunRow, endedRunFromRow, type TrialRow, trialFromRow } from './snapshot-rows.ts';
import { candidateJob, jobAt } from './spec-of.ts';
import {
  type EndedRun,
  hasEnded,
  initialState,
  numberOf,
  type PlanState,
  type Recent,
  type RunState,
  type State,
  type SweepState,
} from './state.ts';
import { Edit, emptyTable, type Page, rowAt, rowsOf, withPage, withRow } from './table.ts';
import type { TimeAccounts } from './time-accounts.ts';

/** The state that was encoded, all of whose parts have rows. Throws when this is not the form of this release. */
export function decodeState(encoded: Iterable<StatePart>): State {
  const decoder = createStateDecoder();
  for (const part of encoded)
    if (!isPage(part)) decoder.add(part);
    else if ('rows' in part) decoder.addPage(part, () => part.rows);
  return decoder.state();
}

/**
 * The error of bytes that are no snapshot. What they hold is not looked at field by field, because a start reads much
 * of it, and their digest says that they are what was stored.
 */
export function snapshotDamage(cause: unknown): FleetError {
  const why = foundText(cause instanceof Error ? cause.message : cause);
  return new FleetError('dataLoss', `it is no state that this release has written (${why})`, { cause });
}

/** A state that is made again part by part, in the order in which the parts were made. */
export interface StateDecoder {
  add(part: RowsPart): void;
  /** `rows`: the rows of the page, asked for when one of them is looked at. `stored`: the page as it is stored. */
  addPage(
    page: Pick<PagePart, 'of' | 'first' | 'count'>,
    rows: () => readonly PagedRows[keyof PagedRows][],
    stored?: Uint8Array,
  ): void;
  state(): State;
}

/** A decoder of no part yet. Throws when a part is not of the form of this release. */
export function createStateDecoder(): StateDecoder {
  const edit = new Edit();
  const made: { -readonly [K in keyof State]: State[K] } = { ...initialState };
  const specs = new Map<string, Spec>();
  const jobs = new Map<string, SweepState['job']>();
  const specNamed = (digest: string) => specs.get(digest)!;
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
      specs.set(digest, spec);
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
      jobs.set(sweep.id, sweep.job);
      if (!hasEnded(sweep)) made.openSweeps = withRow(made.openSweeps, number, true, edit);
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
    lists([of, owner, ranges]) {
      const plan: Writable<PlanState> | undefined = rowAt(made.plans, owner);
      const sweep: Writable<SweepState> | undefined = rowAt(made.sweeps, owner);
      switch (of) {
        case 'openRuns':
          for (const number of numbersOf(ranges)) made.openRuns = withRow(made.openRuns, number, true, edit);
          return;
        case 'planRuns':
          for (const number of numbersOf(ranges)) plan!.allRunIds = appended(plan!.allRunIds, number, edit);
          return;
        case 'sweepRuns':
          for (const number of numbersOf(ranges)) sweep!.allRunIds = appended(sweep!.allRunIds, number, edit);
          return;
        case 'sweepTrials':
          for (const number of numbersOf(ranges)) sweep!.trialIds = appended(sweep!.trialIds, number, edit);
          return;
        default:
          for (const number of numbersOf(ranges)) sweep![of] = withRow(sweep![of], number, true, edit);
      }
    },
    candidates([number, keys, numbers]) {
      const { candidates } = rowAt(made.sweeps, number)!;
      for (const [at, key] of keys.split(' ').entries()) addCandidate(candidates, key, numbers[at]!);
    },
    results([key, members, numbers]) {
      const known = lookup(made.results, key);
      const group = known ?? noCandidates();
      for (const [at, member] of members.split(' ').entries()) addCandidate(group, member, numbers[at]!);
      if (known === undefined) made.results = withEntry(made.results, key, group, edit);
    },
    damaged([key, stage]) {
      made.damaged = withEntry(made.damaged, key, stage, edit);
    },
  };

  const runFrom = runReader(jobs, specs);
  return {
    addPage({ of, first, count }, rows, stored) {
      /** `numbered`: a thing of a row with its number. */
      const page = <R, V>(numbered: (row: R) => readonly [number, V]): Page<V> => {
        const load = () => {
          try {
            return (rows() as readonly R[]).map(numbered);
          } catch (cause) {
            throw snapshotDamage(cause);
          }
        };
        return { first, count, stored, load };
      };
      switch (of) {
        case 'trials':
          made.trials = withPage(made.trials, page(trialOfRow), edit);
          return;
        case 'runs':
          made.runs = withPage(made.runs, page(runFrom), edit);
          return;
        case 'times':
          made.time = { ...made.time, runs: withPage(made.time.runs, page(accountOfRow), edit) };
          return;
      }
    },
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

const trialOfRow = (row: TrialRow) => [row[0], trialFromRow(row)] as const;
const accountOfRow = ([number, account]: PagedRows['times']) => [number, account] as const;

/**
 * Reads the rows of runs. It knows the specs and the jobs of sweeps and nothing else of the state: what it knows
 * stays in memory as long as a page that nobody has read.
 */
function runReader(
  jobs: ReadonlyMap<string, SweepState['job']>,
  specs: ReadonlyMap<string, Spec>,
): (row: PagedRows['runs']) => readonly [number, RunState | EndedRun] {
  const texts = new Map<string, string>();
  const same = (text: string): string => {
    if (!texts.has(text)) texts.set(text, text);
    return texts.get(text)!;
  };
  return (row) => {
    if (isRow(row)) return [row[0], endedRunFromRow(row, same)];
    const { spec, ...run } = row;
    const job =
      spec === undefined ? jobAt(jobs.get(run.sweepId!)!, run.fidelity) : (specs.get(spec) as RunSpec);
    return [numberOf(run.id), { ...run, job }];
  };
}

const isRow = (row: PagedRows['runs']): row is EndedRunRow => Array.isArray(row);

/** The numbers of ranges. */
function* numbersOf(ranges: readonly number[]): Generator<number> {
  for (let at = 0; at < ranges.length; at += 2) {
    const end = ranges[at]! + ranges[at + 1]!;
    for (let number = ranges[at]!; number < end; number++) yield number;
  }
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
function emptySweep(plain: PlainSweep, spec: SweepSpec): SweepState {
  return {
    ...plain,
    spec,
    job: candidateJob(spec),
    trialIds: emptyRoll,
    allRunIds: emptyRoll,
    openTrials: emptyTable(),
    endedBadly: emptyTable(),
    candidates: noCandidates(),
  };
}

/** The accounts with one that a row has. */
function withTime(time: TimeAccounts, row: TimeRow, edit: Edit): TimeAccounts {
  switch (row[0]) {
    case 'fleet':
      return { ...time, fleet: row[1] };
    case 'workers':
      return { ...time, workers: withEntry(time.workers, row[1], row[2], edit) };
    default:
      return { ...time, [row[0]]: withRow(time[row[0]], row[1], row[2], edit) };
  }
}

function withRecent<V>({ byKey, keys, count }: Recent<V>, row: RecentRow<V>, edit: Edit): Recent<V> {
  const [place, key, value] = row;
  const known: PersistentMap<V> = value === null ? byKey : withEntry(byKey, key, value, edit);
  return { byKey: known, keys: withRow(keys, place, key, edit), count };
}
