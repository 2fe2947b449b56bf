// What the coordinator knows for good: plain readonly data, a fold over the journal and nothing else. Who is connected and
// how far a step is are volatile and live in the driver. Ids are `noun-number`, given in order and never reused.

import type { Costs } from '../../core/nn/space.ts';
import { bestFirst, type Ranked } from '../../core/search/best-first.ts';
import type { Genotype } from '../../core/spec/network.ts';
import type { PlanSpec } from '../../core/spec/plan.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import { emptyMap, lookup, type PersistentMap, valuesOf } from './persistent-map.ts';
import type { Roll } from './roll.ts';

/** What is known of a data set after it was looked at; the schedule follows from it. */
export interface DataFacts {
  readonly trainingImages: number;
  readonly classes: number;
  readonly heldOutImages: number;
  readonly heldOutIdentities: number;
}

export type EndState = 'done' | 'failed' | 'cancelled';

interface Ending {
  /** What it does now, or why it ended; a sentence for a person. */
  readonly reason: string;
  readonly createdAtMs: number;
  readonly endedAtMs?: number;
}

export interface PlanState extends Ending {
  readonly id: string;
  readonly name: string;
  readonly state: 'running' | EndState;
  readonly spec: PlanSpec;
  readonly yaml: string;
  readonly facts: DataFacts;
  readonly sweepId?: string;
  readonly teacherRunId?: string;
  /** In the order of the spec's students. */
  readonly studentRunIds: readonly string[];
  /** All its runs, those of its search too, in the order of creation. */
  readonly allRunIds: Roll;
  readonly winnerRunId?: string;
}

export interface SweepState extends Ending {
  readonly id: string;
  readonly name: string;
  readonly state: 'running' | EndState;
  readonly spec: SweepSpec;
  readonly facts: DataFacts;
  readonly planId?: string;
  /** Trials it will have; fewer than asked for when the space has no more. */
  readonly trialsTotal: number;
  readonly trialsProposed: number;
  readonly trialsDone: number;
  readonly trialsFailed: number;
  /** Trial number n in place n. */
  readonly trialIds: Roll;
  /** Every attempt of every trial, in the order of creation. */
  readonly allRunIds: Roll;
  /** Trials that have not ended. */
  readonly openTrialIds: readonly string[];
  /** Number of the next genotype to draw; draws that were skipped count. */
  readonly nextDraw: number;
  /** Canonical genotypes proposed so far -> trial id. */
  readonly seen: PersistentMap<string>;
  readonly bestTrialId?: string;
  /** Trials that failed one after the other for one cause, with no success and no other failure since. */
  readonly failuresInRow: { readonly cause: string; readonly count: number };
}

export interface TrialState extends Ending {
  readonly id: string;
  readonly sweepId: string;
  /** From 1 within the sweep. */
  readonly number: number;
  readonly state: 'queued' | 'running' | EndState;
  readonly genotype: Genotype;
  /** Canonical JSON of the genotype. */
  readonly genotypeJson: string;
  readonly costs: Costs;
  /** One run an attempt, newest last. */
  readonly runIds: readonly string[];
  /** Verification accuracy, 0..1. */
  readonly objective?: number;
}

/** A member of a gang and the shards it holds: [shardFirst, shardFirst + shardCount), at least one. */
export interface Member {
  readonly workerId: string;
  readonly shardFirst: number;
  readonly shardCount: number;
}

export interface CheckpointState {
  readonly stage: number;
  readonly step: number;
  readonly bytes: number;
  readonly digest: string;
  readonly storedAtMs: number;
}

export interface EvaluationState {
  readonly accuracy: number;
  readonly accuracyStd: number;
  readonly auc: number;
  readonly eer: number;
  readonly tarAtFar: number;
  readonly pairs: number;
  /** Absent when it was not measured. */
  readonly accuracyUntrained?: number;
}

/** A worker that a run is kept from for a while, because it could not go on with it. */
export interface Avoided {
  readonly workerId: string;
  readonly untilMs: number;
  /** In a row: since it last stored a checkpoint of the run together with others, or alone. */
  readonly failures: number;
  /** Of the last one. */
  readonly reason: string;
}

export interface RunState extends Ending {
  readonly id: string;
  readonly name: string;
  readonly state: 'queued' | 'running' | EndState;
  readonly spec: RunSpec;
  readonly facts: DataFacts;
  readonly costs: Costs;
  readonly planId?: string;
  readonly sweepId?: string;
  readonly trialId?: string;
  /** A student's teacher. */
  readonly teacherRunId?: string;
  /** 0 before the first gang; grows with each change of membership and never falls. */
  readonly generation: number;
  /** In rank order; empty while queued and after the end. */
  readonly gang: readonly Member[];
  /** Recorded with the first gang; an exact run takes no worker of another class. */
  readonly deviceClass?: string;
  /** When the gang last changed; elastic changes keep a distance from it. */
  readonly changedAtMs: number;
  /** Since when it has been waiting for workers. */
  readonly queuedAtMs: number;
  /** Failures that its worker reported as infrastructure since the last checkpoint; bounded, charged to nobody. */
  readonly infrastructureFailures: number;
  /** Workers lost over it since it last got further; see blame.ts. */
  readonly blame: Blame;
  /** Workers that could not go on with it, the latest last. */
  readonly avoided: readonly Avoided[];
  /** By stage, ascending. */
  readonly checkpoints: readonly CheckpointState[];
  readonly startedAtMs?: number;
  readonly finalStep?: number;
  /** infrastructure | out_of_memory | numeric | user | crash | teacher, once it has failed. */
  readonly failureCause?: string;
  readonly weightsDigest?: string;
  readonly evaluation?: EvaluationState;
}

export interface WorkerState {
  readonly id: string;
  /** Random at each start of the process. */
  readonly incarnation: string;
  readonly state: 'attached' | 'draining' | 'lost';
  readonly reason: string;
  readonly deviceKind: string;
  readonly deviceName: string;
  readonly deviceClass: string;
  readonly slots: number;
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  readonly metricsEndpoint: string;
  readonly podUid: string;
  readonly changedAtMs: number;
}

/** Nouns whose ids are `noun-number`. */
export type Noun = 'plan' | 'sweep' | 'trial' | 'run';

/** From the place after `after` on, numbers are places plus `skipped`. */
export interface IdGap {
  readonly after: number;
  readonly skipped: number;
}

export interface State {
  /** Events applied so far. */
  readonly events: number;
  /** Times that a coordinator took the lead. */
  readonly epoch: number;
  /** Numbers that were given out and are in no table, since `journal truncate` took them out; in order. */
  readonly idGaps: Readonly<Record<Noun, readonly IdGap[]>>;
  readonly plans: PersistentMap<PlanState>;
  readonly sweeps: PersistentMap<SweepState>;
  readonly trials: PersistentMap<TrialState>;
  readonly runs: PersistentMap<RunState>;
  readonly workers: ReadonlyMap<string, WorkerState>;
  /** Who is called what; by `noun name`, see find.ts. */
  readonly names: PersistentMap<Namesakes>;
  /** What has not ended, oldest first: what a decision has to look at, however much has ended. */
  readonly openPlanIds: ReadonlySet<string>;
  readonly openSweepIds: ReadonlySet<string>;
  readonly openRunIds: ReadonlySet<string>;
}

export const initialState: State = {
  events: 0,
  epoch: 0,
  idGaps: { plan: [], sweep: [], trial: [], run: [] },
  plans: emptyMap(),
  sweeps: emptyMap(),
  trials: emptyMap(),
  runs: emptyMap(),
  workers: new Map(),
  names: emptyMap(),
  openPlanIds: new Set(),
  openSweepIds: new Set(),
  openRunIds: new Set(),
};

/** The run with this id; an id that the journal gave out is always there. */
export function runOf(state: State, id: string): RunState {
  return existing(lookup(state.runs, id), id);
}

export function trialOf(state: State, id: string): TrialState {
  return existing(lookup(state.trials, id), id);
}

export function sweepOf(state: State, id: string): SweepState {
  return existing(lookup(state.sweeps, id), id);
}

export function planOf(state: State, id: string): PlanState {
  return existing(lookup(state.plans, id), id);
}

function existing<T>(value: T | undefined, id: string): T {
  if (value === undefined) throw new Error(`assertion: ${id} is not in the state`);
  return value;
}

/** The id that stands in this place, from 1, among all of its noun in the order of creation; also the next one's. */
export function idInPlace(state: State, noun: Noun, place: number): string {
  const gap = state.idGaps[noun].findLast(({ after }) => after < place);
  return `${noun}-${place + (gap?.skipped ?? 0)}`;
}

/** Everything of a table in the order of creation. */
export function inOrder<T extends { readonly id: string }>(table: PersistentMap<T>): T[] {
  const numbered = [...valuesOf(table)].map((value) => ({ value, number: numberOf(value.id) }));
  return numbered.sort((a, b) => a.number - b.number).map(({ value }) => value);
}

/** The number in `noun-number`; what was created first has the lowest. */
export function numberOf(id: string): number {
  return Number(id.slice(id.lastIndexOf('-') + 1));
}

const collator = new Intl.Collator('en', { numeric: true });

/** Order of ids as a person reads them: `worker-2` before `worker-10`, and total. */
export function byNumbers(a: string, b: string): number {
  return collator.compare(a, b) || (a < b ? -1 : a > b ? 1 : 0);
}

/** The order of a leaderboard, as core/search/best-first.ts defines it. */
export function bestTrialFirst(a: TrialState, b: TrialState): number {
  return bestFirst(rankOf(a), rankOf(b));
}

function rankOf({ objective, costs, number }: TrialState): Ranked {
  return { objective, parameters: costs.parameters, number };
}

export function hasEnded(thing: { readonly state: string }): boolean {
  return thing.state === 'done' || thing.state === 'failed' || thing.state === 'cancelled';
}

export function openRuns(state: State): RunState[] {
  return [...state.openRunIds].map((id) => runOf(state, id));
}

/** `run-3 failed: loss is not finite`: how a thing ended and why, as part of another's reason. */
export function endingOf(thing: {
  readonly id: string;
  readonly state: string;
  readonly reason: string;
}): string {
  const verb =
    thing.state === 'done' ? 'is done' : thing.state === 'failed' ? 'failed' : `was ${thing.state}`;
  return `${thing.id} ${verb}: ${thing.reason}`;
}

export interface Blame {
  /** Losses of workers that held this run and no other, since it last got further. */
  readonly losses: number;
  /** Losses of workers that held other runs beside it, since it last got further. */
  readonly shared: number;
  /** Committed steps when the count began: the run is cleared when it gets beyond. */
  readonly step: number;
}

export const NO_BLAME: Blame = { losses: 0, shared: 0, step: 0 };

/** Things of one noun with the same name: how many there are, and the ids of the newest, newest first. */
export interface Namesakes {
  readonly count: number;
  readonly newest: readonly string[];
}
