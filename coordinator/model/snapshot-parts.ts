// The parts of a state as plain data: what a snapshot stores, kind by kind. Trials, runs and the accounts of their
// time, of which a long past has hundreds of thousands, come in pages.

import type { PlanSpec } from '../../core/spec/plan.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import type { Caller } from './caller.ts';
import type { EndedRunRow, TrialRow } from './snapshot-rows.ts';
import type {
  Account,
  Namesakes,
  PlanState,
  RunState,
  State,
  Submission,
  SweepState,
  WorkerState,
} from './state.ts';
import type { RunAccount, TimeAccount, TimeAccounts, WorkerAccount } from './time-accounts.ts';

/**
 * Changes whenever the fold gives another state for the same events, or this file another form: a snapshot of
 * another number is not read, and the journal is folded instead.
 */
export const FOLD = 33;

/** A spec of a plan, a sweep or a run. */
export type Spec = PlanSpec | SweepSpec | RunSpec;
/** A plan with its spec by digest, and without what is written beside it. */
export type PlainPlan = Omit<PlanState, 'spec' | 'allRunIds'> & { spec: string };
/** A sweep, as a plan. */
export type PlainSweep = Omit<
  SweepState,
  'spec' | 'job' | 'trialIds' | 'allRunIds' | 'openTrials' | 'endedBadly' | 'candidates'
> & { spec: string };
/** A run that is in memory as a whole; one that is no candidate with its spec by digest. */
export type PlainRun = Omit<RunState, 'job'> & { spec?: string };
/** One of the newest of something. */
export type RecentRow<V> = readonly [place: number, key: string, value: V | null];

/** The rows of each kind, in the order in which they come. */
export interface Rows {
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
  readonly workers: WorkerState;
  readonly names: readonly [string, Namesakes];
  readonly lostWorkers: RecentRow<true>;
  readonly submissions: RecentRow<Submission>;
  readonly tokens: readonly [string, Caller];
  readonly accounts: readonly [string, Account];
  readonly time: TimeRow;
  /** Numbers of trials or runs, ascending: the first of some that follow each other, and how many they are. */
  readonly lists: readonly [of: ListName, owner: number, ranges: readonly number[]];
  /** Genotypes that a sweep has had, in one text with a blank between two, and the trial or group of each. */
  readonly candidates: readonly [sweep: number, keys: string, numbers: readonly number[]];
  /** Members of what a group computes, with a blank between two, and the run that stands for each, or VOID. */
  readonly results: readonly [key: string, members: string, numbers: readonly number[]];
  readonly damaged: readonly [string, { readonly runId: string; readonly stage: number }];
}

/** The lists that are written beside the pages. */
export type ListName = 'openRuns' | 'planRuns' | 'sweepRuns' | 'sweepTrials' | 'openTrials' | 'endedBadly';

/** The rows of each kind that come in pages. */
export interface PagedRows {
  readonly trials: TrialRow;
  /** Runs that are in memory as a whole, and ended ones. */
  readonly runs: PlainRun | EndedRunRow;
  /** Accounts of time of the runs. */
  readonly times: readonly [number, RunAccount];
}

/** The account of the fleet, or one of another kind by number or id. */
export type TimeRow =
  | readonly ['fleet', TimeAccounts['fleet']]
  | readonly ['plans' | 'sweeps', number, TimeAccount]
  | readonly ['workers', string, WorkerAccount];

/** Some rows of one kind, as JSON has them. */
export type RowsPart = {
  readonly [K in keyof Rows]: { readonly of: K; readonly rows: readonly Rows[K][] };
}[keyof Rows];

/** A page of a table. */
export type PagePart = { readonly of: keyof PagedRows; readonly first: number; readonly count: number } & (
  | { readonly rows: readonly PagedRows[keyof PagedRows][] }
  /** Of a state that was read, where nobody has looked at the page since: as it lies in the store. */
  | { readonly stored: Uint8Array }
);

/** A part of a state. */
export type StatePart = RowsPart | PagePart;

/** Whether a part is a page. */
export const isPage = (part: StatePart): part is PagePart => 'first' in part;
