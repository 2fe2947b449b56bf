// What the coordinator knows for good: plain readonly data, a fold over the journal and nothing else.
// Whatever is volatile (who is connected, how far a step is) is no part of it. Ids are `noun-number`, given
// out in order and never again.

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
  /** SHA-256 of what the set consists of, wherever it lies; absent in journals of earlier releases. */
  readonly digest?: string;
}

/** How a thing can end. */
export type EndState = 'done' | 'failed' | 'cancelled';

/** What every thing has that begins and ends. Times are milliseconds since the epoch. */
interface Ending {
  /** What it does now, or why it ended; a sentence for a person. */
  readonly reason: string;
  readonly createdAtMs: number;
  readonly endedAtMs?: number;
}

/** A plan, and how far it is. */
export interface PlanState extends Ending {
  readonly id: string;
  readonly name: string;
  readonly state: 'running' | EndState;
  readonly spec: PlanSpec;
  /** The submitted text as it took effect. */
  readonly yaml: string;
  readonly facts: DataFacts;
  readonly sweepId?: string;
  readonly teacherRunId?: string;
  /** In the order of the spec's students. */
  readonly studentRunIds: readonly string[];
  /** All its runs, those of its search too, in the order of creation. */
  readonly allRunIds: Roll;
  /** The run to export, once the plan is done. */
  readonly winnerRunId?: string;
}

/** A search, and what it has tried. */
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
  /** Trial number n stands at place n. */
  readonly trialIds: Roll;
  /** Every attempt of every trial, in the order of creation. */
  readonly allRunIds: Roll;
  /** Trials that have not ended. */
  readonly openTrialIds: readonly string[];
  /** Number of the next genotype to draw; draws that were passed over count too. */
  readonly nextDraw: number;
  /** Canonical genotypes proposed so far -> trial id. */
  readonly seen: PersistentMap<string>;
  /** The first in the order of core/search/best-first.ts, once a trial is done. */
  readonly bestTrialId?: string;
  /** Trials that failed one after the other for one cause, with no success and no other failure since. */
  readonly failuresInRow: { readonly cause: string; readonly count: number };
}

/** A candidate of a sweep, and its attempts. */
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

/** A checkpoint that is stored. */
export interface CheckpointState {
  /** From 1; the run's epochs at its end. */
  readonly stage: number;
  /** Committed steps that it contains. */
  readonly step: number;
  readonly bytes: number;
  /** SHA-256 of its bytes, hex. */
  readonly digest: string;
  readonly storedAtMs: number;
}

/** The verification of a trained network; rates and accuracies are 0 to 1. */
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
  /** Failures since the run last stored a checkpoint while this worker was in its gang. */
  readonly failures: number;
  /** The reason of the last failure. */
  readonly reason: string;
}

/**
 * How far losses of workers speak against a run. Reset when the run gets further or stores a checkpoint: then
 * it works, and workers are lost for other reasons.
 */
export interface Blame {
  /** Losses of workers that held this run and no other, since it last got further. */
  readonly losses: number;
  /** Losses of workers that held other runs beside it, since it last got further. */
  readonly shared: number;
  /** Committed steps when the count began: the run is cleared when it gets beyond. */
  readonly step: number;
}

/** Nothing speaks against the run. */
export const NO_BLAME: Blame = { losses: 0, shared: 0, step: 0 };

/** A run, who trains it, and what it has stored. */
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
  /** That of the first gang; an exact run takes no worker of another class. */
  readonly deviceClass?: string;
  /** When the gang last changed; elastic changes keep a distance from it. */
  readonly changedAtMs: number;
  /** Since when it has been waiting for workers. */
  readonly queuedAtMs: number;
  /**
   * Failures since the last checkpoint that a worker reported as infrastructure. Their number is bounded;
   * they are charged to nobody.
   */
  readonly infrastructureFailures: number;
  /** Workers that were lost over it since it last got further. */
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

/** A worker that has ever attached, as its newest process reported itself. */
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

/** Ids that are in no table: beyond place `after` the number of an id is its place plus `skipped`. */
export interface IdGap {
  readonly after: number;
  readonly skipped: number;
}

/**
 * Things of one noun with the same name. Names need not be unique; only the newest are listed, so that the
 * state stays bounded.
 */
export interface Namesakes {
  /** All of them. */
  readonly count: number;
  /** Ids, newest first. */
  readonly newest: readonly string[];
}

/** Everything that the journal says. */
export interface State {
  /** Events applied so far. */
  readonly events: number;
  /** Times that a coordinator took the lead. */
  readonly epoch: number;
  /** Numbers that were given out and are in no table because `journal truncate` cut them off; in order. */
  readonly idGaps: Readonly<Record<Noun, readonly IdGap[]>>;
  readonly plans: PersistentMap<PlanState>;
  readonly sweeps: PersistentMap<SweepState>;
  readonly trials: PersistentMap<TrialState>;
  readonly runs: PersistentMap<RunState>;
  readonly workers: ReadonlyMap<string, WorkerState>;
  /** Things by their names; the key is `noun name`. */
  readonly names: PersistentMap<Namesakes>;
  /**
   * Ids of what has not ended, oldest first: a decision looks at these alone, so that its cost does not grow
   * with the past.
   */
  readonly openPlanIds: ReadonlySet<string>;
  readonly openSweepIds: ReadonlySet<string>;
  readonly openRunIds: ReadonlySet<string>;
}

/** The state before the first event. */
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

/** As runOf, for trials. */
export function trialOf(state: State, id: string): TrialState {
  return existing(lookup(state.trials, id), id);
}

/** As runOf, for sweeps. */
export function sweepOf(state: State, id: string): SweepState {
  return existing(lookup(state.sweeps, id), id);
}

/** As runOf, for plans. */
export function planOf(state: State, id: string): PlanState {
  return existing(lookup(state.plans, id), id);
}

function existing<T>(value: T | undefined, id: string): T {
  if (value === undefined) throw new Error(`assertion: ${id} is not in the state`);
  return value;
}

/**
 * The id at this place (from 1) among all of its noun in the order of creation. The place after the last
 * gives the next id.
 */
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

/** Whether a thing is done, failed or cancelled. */
export function hasEnded(thing: { readonly state: string }): boolean {
  return thing.state === 'done' || thing.state === 'failed' || thing.state === 'cancelled';
}

/** Every run that has not ended, oldest first. */
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
