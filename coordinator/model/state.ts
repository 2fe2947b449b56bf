// What the coordinator knows for good: plain readonly data, a fold over the journal and nothing else.
// Whatever is volatile (who is connected, how far a step is) is no part of it. Ids are `noun-number`, given
// out in order and never again.
//
// Everything open is here in full. What has ended is here as far as lists and later decisions need it: a
// candidate's run that is done becomes a summary, and its checkpoints are read back from the journal when
// somebody asks. So memory grows by some hundred bytes a trial.

import type { Costs } from '../../core/nn/space.ts';
import type { Quotas } from '../../core/quotas.ts';
import type { PlanSpec } from '../../core/spec/plan.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import { stateText } from '../../core/text/state-text.ts';
import type { WorkerKind } from '../../core/worker-kinds.ts';
import type { Fidelity } from '../strategies/fidelity.ts';
import type { Screened, Screening } from '../strategies/screening.ts';
import type { SearchState } from '../strategies/search.ts';
import type { StrategyState } from '../strategies/strategies.ts';
import type { Caller } from './caller.ts';
import type { Candidates } from './candidates.ts';
import { emptyMap, lookup, type PersistentMap } from './persistent-map.ts';
import type { Roll } from './roll.ts';
import type { Spent } from './spent.ts';
import { emptyTable, rowAt, rowsOf, type Table } from './table.ts';
import { NO_ACCOUNTS, type TimeAccounts } from './time-accounts.ts';

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
  /** Name of the token that submitted it; absent where no token is needed. */
  readonly owner?: string;
  readonly state: 'running' | 'paused' | EndState;
  /** Of all that belongs to it, where somebody has set another than its spec has. */
  readonly priority?: number;
  readonly spec: PlanSpec;
  /** The submitted text as it took effect. */
  readonly yaml: string;
  readonly facts: DataFacts;
  readonly sweepId?: string;
  /** The differentiable search, where the plan has one in place of a sweep. */
  readonly searchRunId?: string;
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
  /** As for a plan; that of its plan where it has one. */
  readonly owner?: string;
  readonly state: 'running' | 'paused' | EndState;
  /** Of all its trials, where somebody has set another than its spec has. */
  readonly priority?: number;
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
  /** Numbers of the ids of trials that have not ended. */
  readonly openTrials: NumberSet;
  /** Numbers of the ids of trials that failed or were cancelled. */
  readonly endedBadly: NumberSet;
  /** How far its strategy is; plain JSON. */
  readonly search: SearchState<StrategyState>;
  /** The genotypes proposed so far, and those that screening has cut. */
  readonly candidates: Candidates;
  /** How far its screening is; absent where its spec has none. */
  readonly screening?: Screening;
  /** The teacher that all its candidates learn from. */
  readonly teacherRunId?: string;
  /** What every candidate's run has of a spec; one object for all of them. */
  readonly job: Job;
  /** Digest of what its candidates have in common of what they compute (coordinator/model/identity.ts); or empty. */
  readonly protocol: string;
  /** The first in the strategy's order, once a trial is done. */
  readonly bestTrialId?: string;
  /** With several objectives: trials that no other dominates, 64 at most; they keep their checkpoints. */
  readonly frontTrialIds?: readonly string[];
  /** Results with a latency, by the device class that it was measured on; absent where there are none. */
  readonly measuredOn?: Readonly<Record<string, number>>;
  /** What its runs have used, where it has a budget. */
  readonly spent?: Spent;
  /** Trials that failed one after the other for one cause, with no success and no other failure since. */
  readonly failuresInRow: { readonly cause: string; readonly count: number };
}

/** A candidate of a sweep, and its attempts. */
export interface TrialState extends Ending {
  readonly id: string;
  readonly sweepId: string;
  /** From 1 within the sweep. */
  readonly number: number;
  /** The move of its sweep that asked for its newest evaluation; absent where that is its number. */
  readonly move?: number;
  /** Of its newest evaluation, where it is less than the full one. */
  readonly fidelity?: Fidelity;
  readonly state: 'queued' | 'running' | 'paused' | EndState;
  /** Of its runs, where somebody has set another. */
  readonly priority?: number;
  /** The canonical genotype as a key (core/nn/genotype.ts); equal keys are one candidate. */
  readonly genotypeKey: string;
  readonly costs: Costs;
  /** How it stood among the candidates of its group. */
  readonly screened?: Screened;
  /** Of the search by gradient that finds its genotype, which is empty and without costs until then. */
  readonly seed?: number;
  /** Its runs, newest last, each begun when the one before had failed with nothing stored; absent before the first. */
  readonly searchRunIds?: readonly string[];
  /** One run an attempt, newest last. */
  readonly runIds: readonly string[];
  /** The result of the full evaluation by name, `accuracy` 0..1, `latency` in ms; absent before it is done. */
  readonly objectives?: Objectives;
  /** The device class of its latency; absent where none was measured. */
  readonly measuredOn?: string;
  /** Results at lower fidelities, in the order in which they came; absent when there are none. */
  readonly rungs?: readonly Rung[];
  /** Its search wants no more of it. */
  readonly isStopped?: true;
}

/** What was measured of a candidate, by the name of the objective. */
export type Objectives = Readonly<Record<string, number>>;

/** A result at a lower fidelity. */
export interface Rung {
  readonly fidelity: Fidelity;
  readonly runId: string;
  readonly objectives: Objectives;
  /** As of a trial. */
  readonly measuredOn?: string;
}

/** Numbers of ids, in ascending order. */
export type NumberSet = Table<true>;

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
  /** What retention has left of it: its network, or nothing; absent while everything is there. */
  readonly held?: 'network' | 'nothing';
  /** Why retention leaves it as it is, by request. */
  readonly kept?: string;
  /** Why it cannot be read; it is being computed again, unless that is impossible. */
  readonly damage?: { readonly reason: string; readonly isLost: boolean };
  /** What a search has found by its end. */
  readonly found?: FoundState;
}

/** A checkpoint that somebody asked to keep; what it holds is known where that was before its run left memory. */
export type KeptStage = Required<Pick<CheckpointState, 'stage' | 'kept'>> & Partial<CheckpointState>;

/** What a search has found at the end of a stage. */
export interface FoundState {
  /** The decoded genotype, a character an edge in its own order (core/nn/genotype-code.ts). */
  readonly genotype: string;
  /** Skip connections of the normal cell. */
  readonly skips: number;
  /** Edges of both cells that the stage before did not have; absent at the first stage. */
  readonly changed?: number;
  /** Means over the stage's steps; of the alphas' half absent in the warm-up. */
  readonly trainingLoss: number;
  readonly validationLoss?: number;
  /** Of the search network over the half of the alphas, where the search asks for it; its loss in nats. */
  readonly evaluation?: { readonly loss: number; readonly accuracy: number };
  /** As text (core/nn/alphas-text.ts); absent in journals of earlier releases. */
  readonly alphas?: string;
}

/** The checkpoint of a step within a stage, which a pause has stored. */
export interface PausedStep {
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
  /** Where the spec asks for it. */
  readonly latency?: Latency;
}

/** How long a network takes for one image: a measurement, which is no part of what a spec and a seed decide. */
export interface Latency {
  /** Median of forward passes. */
  readonly milliseconds: number;
  /** Of the worker that measured it. */
  readonly deviceClass: string;
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

/** What a run gets since a worker had too little memory for it (coordinator/scheduling/memory.ts). */
export interface MemoryNeed {
  /**
   * A device to itself; one with more memory; a step that computes activations again. Each has what those before it
   * have.
   */
  readonly rung: 'alone' | 'larger-device' | 'recompute';
  /** Its device has more than so many GB of 10^9 bytes; absent: it need not. */
  readonly aboveGb?: number;
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

/**
 * What placing and showing a run needs of its spec. A run of a plan or by itself has its whole spec here;
 * the candidates of a sweep share one, and `specOf` (coordinator/model/spec-of.ts) makes the whole one.
 */
export type Job = Omit<RunSpec, 'name' | 'network'> & Partial<Pick<RunSpec, 'name' | 'network'>>;

/** A run, who trains it, and what it has stored. */
export interface RunState extends Ending {
  readonly id: string;
  readonly name: string;
  /** `pausing`: its gang stores where it stands, to be released. `paused`: it has no gang and gets none. */
  readonly state: 'queued' | 'running' | 'pausing' | 'paused' | EndState;
  /** Somebody has paused this run itself. */
  readonly isHeld?: true;
  /** Since when it is being paused and why, and the run that gets its workers. */
  readonly pausing?: { readonly sinceMs: number; readonly reason: string; readonly forRunId?: string };
  /** The run that has lent it workers, for as long as it has this gang. */
  readonly lentByRunId?: string;
  /** When it last had to give its workers to another run. */
  readonly preemptedAtMs?: number;
  /** The state within a stage from which it goes on; absent once a later stage is stored. */
  readonly pausedStep?: PausedStep;
  /** Where somebody has set another than its job has. */
  readonly priority?: number;
  /** As which its gang was placed, where waiting had raised its priority; absent without a gang. */
  readonly agedPriority?: number;
  /** Bytes in which its workers may keep the embeddings of single images; absent: they keep none. */
  readonly imageRowsBytes?: number;
  readonly job: Job;
  readonly facts: DataFacts;
  readonly costs: Costs;
  readonly planId?: string;
  readonly sweepId?: string;
  readonly trialId?: string;
  /** Of a search: the trial for which it finds the cells. */
  readonly forTrialId?: string;
  /** As for a plan, of a run by itself. */
  readonly owner?: string;
  /** Which try of its trial it is, from 1; 1 for a run that belongs to no trial. */
  readonly attempt: number;
  /** A candidate whose spec has less than its sweep's full evaluation. */
  readonly fidelity?: Fidelity;
  /** The stage at whose end it halts to be judged, or has halted; absent: it goes to its end. */
  readonly haltStage?: number;
  /** Stages at whose ends it is verified while it goes on, ascending; absent: none. */
  readonly evaluateStages?: readonly number[];
  /** A student's teacher. */
  readonly teacherRunId?: string;
  /** A teacher's students; of the candidates of a sweep those that have no result yet. */
  readonly studentRunIds: readonly string[];
  /** Sweeps whose candidates learn from this teacher; absent where there are none. */
  readonly taughtSweepIds?: readonly string[];
  /** 0 before the first gang; grows with each change of membership and never falls. */
  readonly generation: number;
  /** In rank order; empty while queued and after the end. */
  readonly gang: readonly Member[];
  /** That of the first gang; an exact run takes no worker of another class. */
  readonly deviceClass?: string;
  /** Digest of the code of its workers; empty where they had several, or one that is not known. */
  readonly code?: string;
  /** The run that trains and computes the same, for whose result it waits. */
  readonly twinRunId?: string;
  /** The run whose result it has taken, its accuracy, 0..1, and its latency. */
  readonly reused?: { readonly runId: string; readonly accuracy?: number; readonly latency?: Latency };
  /** Runs that have taken its result with its checkpoints. */
  readonly takerRunIds?: readonly string[];
  /** When the gang last changed; elastic changes keep a distance from it. */
  readonly changedAtMs: number;
  /** Worker-milliseconds of its gang up to `changedAtMs` that nothing stored has; absent for none. */
  readonly unstoredMs?: number;
  /** Since when it has been waiting for workers. */
  readonly queuedAtMs: number;
  /**
   * Failures since the last checkpoint that a worker reported as infrastructure. Their number is bounded;
   * they are charged to nobody.
   */
  readonly infrastructureFailures: number;
  /** Workers that were lost over it since it last got further. */
  readonly blame: Blame;
  /** What it has used, where it or its sweep has a budget. */
  readonly spent?: Spent;
  /** Absent while memory was never short. */
  readonly memory?: MemoryNeed;
  /** Workers that could not go on with it, the latest last. */
  readonly avoided: readonly Avoided[];
  /** The damaged stage that it was put back into the queue for, as `run-1/3`; absent once it has a gang. */
  readonly waitsForStage?: string;
  /** By stage, ascending. */
  readonly checkpoints: readonly CheckpointState[];
  readonly startedAtMs?: number;
  readonly finalStep?: number;
  /** infrastructure | out_of_memory | numeric | user | crash | teacher | budget, once it has failed. */
  readonly failureCause?: string;
  readonly weightsDigest?: string;
  readonly evaluation?: EvaluationState;
}

/** What stays of a candidate's run once its trial is done; the journal has the rest. */
export interface EndedRun extends Ending {
  readonly id: string;
  readonly state: EndState;
  readonly trialId: string;
  readonly sweepId: string;
  readonly attempt: number;
  readonly generation: number;
  readonly deviceClass?: string;
  readonly startedAtMs?: number;
  /** Committed steps at its end. */
  readonly finalStep?: number;
  readonly weightsDigest?: string;
  /** Verification accuracy, 0..1. */
  readonly accuracy?: number;
  readonly failureCause?: string;
  /** As of a whole run. */
  readonly code?: string;
  /** The run whose result it has taken. */
  readonly reusedFrom?: string;
  /** Checkpoints that it has stored. */
  readonly stages: number;
  /** Where it had a part of the images or of the channels. */
  readonly fidelity?: Fidelity;
  /** Of one that has halted: the checkpoint from which it can go on, while that is stored. */
  readonly halted?: CheckpointState;
  /** Checkpoints that somebody asked to keep. */
  readonly kept?: readonly KeptStage[];
  /** Its newest checkpoint was deleted by request, though its trial is one that keeps it. */
  readonly isLetGo?: true;
}

/** Verification accuracy of a run, 0..1: its own, or that of the run whose result it has taken. */
export function accuracyOf(run: Pick<RunState, 'evaluation' | 'reused'>): number | undefined {
  return run.evaluation?.accuracy ?? run.reused?.accuracy;
}

/** Whether a run is in memory as a whole. */
export function isWhole(run: RunState | EndedRun): run is RunState {
  return 'job' in run;
}

/** Why a worker was taken for lost, as a closed list; the reason of the same event has it in words. */
export const LOSS_CAUSES = [
  /** It reported nothing for too long. */
  'silent',
  /** Its stream ended, and it did not come back. */
  'stream_ended',
  /** It drained and left. */
  'drained',
  /** It did not come back after a start of the coordinator. */
  'not_back',
  /** Another process came under its id. */
  'restarted',
  /** Its pod ended. */
  'pod_ended',
  /** It held its gang up. */
  'held_up',
] as const;
export type LossCause = (typeof LOSS_CAUSES)[number];

/** A worker, as its newest process reported itself: those that are there, and those that were lost lately. */
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
  /** As its operator named it; absent for none, and in journals of earlier releases. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Of its device, bytes; absent in journals of earlier releases. */
  readonly memoryBytes?: number;
  /** How many devices it computes on; absent: one. */
  readonly deviceCount?: number;
  /** Workers of one id share a device; absent in journals of earlier releases: it has one to itself. */
  readonly deviceId?: string;
  /** Digest of the code that decides the bits of its results; absent in journals of earlier releases. */
  readonly code?: string;
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  readonly metricsEndpoint: string;
  readonly podUid: string;
  readonly changedAtMs: number;
  /** It drains because somebody asked for that. */
  readonly drainsByRequest?: true;
  /** Numbers of the ids of the runs whose gangs have it. */
  readonly runs: readonly number[];
  /** Its place among the lost ones. */
  readonly lostAs?: number;
  /** Of a lost one; absent in journals of earlier releases. */
  readonly lossCause?: LossCause;
}

/** What an owner, or something that was submitted, has used of the fleet; coordinator/model/accounts.ts. */
export interface Account {
  /** Worker-milliseconds at `atMs`, of which earlier ones count less. */
  readonly usedMs: number;
  readonly atMs: number;
  /** Members of gangs now. */
  readonly workers: number;
  /** Things of it that have not ended; 0 for an owner. */
  readonly open: number;
  /** Trials of an owner that have not ended; absent for none. */
  readonly openTrials?: number;
  /**
   * Worker-milliseconds of an owner whose worker-hours are limited, by the number of the hour since the epoch, up to
   * `atMs`; the hours of its window, oldest first.
   */
  readonly hours?: ByHour;
  /** The same of an owner whose wall time is limited: milliseconds with any worker. */
  readonly wallHours?: ByHour;
  /** The same of an owner whose attempts are limited: runs that got workers for the first time. */
  readonly begun?: ByHour;
}

/** Amounts by the number of the hour since the epoch, oldest first. */
export type ByHour = readonly (readonly [hour: number, amount: number])[];

/** Nouns whose ids are `noun-number`. */
export type Noun = 'plan' | 'sweep' | 'trial' | 'run';

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

/** What a submission was answered; a repetition of it gets the same. */
export interface Submission {
  /** Digest of what was submitted. */
  readonly digest: string;
  readonly planIds: readonly string[];
  readonly sweepIds: readonly string[];
  readonly runIds: readonly string[];
}

/** The newest of something, found by key; the oldest go first. */
export interface Recent<V> {
  readonly byKey: PersistentMap<V>;
  /** Keys in the order in which they came. */
  readonly keys: Table<string>;
  /** How many ever came. */
  readonly count: number;
}

/** How many things there are, by noun and state. */
export type Counts = Readonly<Record<string, number>>;

/** Everything that the journal says. */
export interface State {
  /** Events applied so far. */
  readonly events: number;
  /** Times that a coordinator took the lead. */
  readonly epoch: number;
  /** The time of the latest event, milliseconds since the epoch: decisions never go back behind it. */
  readonly lastMs: number;
  /** The highest number of each noun that was given out; the next id is one more. */
  readonly numbers: Readonly<Record<Noun, number>>;
  /** Numbers of runs that `journal truncate` cut off: above `after` up to `upTo`. What they stored is left alone. */
  readonly cutOffRuns: readonly { readonly after: number; readonly upTo: number }[];
  /** Specs by digest, as events refer to them. */
  readonly specs: PersistentMap<PlanSpec | SweepSpec | RunSpec>;
  readonly plans: Table<PlanState>;
  readonly sweeps: Table<SweepState>;
  readonly trials: Table<TrialState>;
  readonly runs: Table<RunState | EndedRun>;
  /** Those that are there, and those that were lost lately. */
  readonly workers: PersistentMap<WorkerState>;
  /** Ids of the workers that were lost lately. */
  readonly lostWorkers: Recent<true>;
  /** Things by their names; the key is `noun name`. */
  readonly names: PersistentMap<Namesakes>;
  readonly submissions: Recent<Submission>;
  /** The tokens of the file of tokens that are accepted, by fingerprint, as the journal has them. */
  readonly tokens: PersistentMap<Caller>;
  /** Damaged stages that are computed again, by `run-1/3`. */
  readonly damaged: PersistentMap<{ readonly runId: string; readonly stage: number }>;
  /** What was used of the fleet, by the keys of coordinator/model/accounts.ts. */
  readonly accounts: PersistentMap<Account>;
  /** After this time what was used counts half, milliseconds. */
  readonly usageHalfLifeMs: number;
  /** Limits by owner, `*` for all others. */
  readonly quotas: Quotas;
  /** Workers that the fleet can have beside those that are there; none: any. */
  readonly workerKinds: readonly WorkerKind[];
  /** What has not ended: a decision looks at these alone, so that its cost does not grow with the past. */
  readonly openPlans: NumberSet;
  readonly openSweeps: NumberSet;
  readonly openRuns: NumberSet;
  /** The key is `noun state`, for runs `run kind state`. */
  readonly counts: Counts;
  /** Where the time of workers went. */
  readonly time: TimeAccounts;
  /** Digest of the numerical code of the worker that attached last; empty before there is one. */
  readonly code: string;
  /**
   * Numbers of finished runs by what they have computed: by group and code, and then by member
   * (coordinator/model/results.ts).
   */
  readonly results: PersistentMap<Candidates>;
  /** Numbers of open runs by what they compute (coordinator/model/identity.ts), in ascending order. */
  readonly twins: PersistentMap<readonly number[]>;
}

function noneYet<V>(): Recent<V> {
  return { byKey: emptyMap(), keys: emptyTable(), count: 0 };
}

/** The state before the first event. */
export const initialState: State = {
  events: 0,
  epoch: 0,
  lastMs: 0,
  numbers: { plan: 0, sweep: 0, trial: 0, run: 0 },
  cutOffRuns: [],
  specs: emptyMap(),
  plans: emptyTable(),
  sweeps: emptyTable(),
  trials: emptyTable(),
  runs: emptyTable(),
  workers: emptyMap(),
  lostWorkers: noneYet(),
  names: emptyMap(),
  submissions: noneYet(),
  tokens: emptyMap(),
  damaged: emptyMap(),
  accounts: emptyMap(),
  usageHalfLifeMs: 86_400_000,
  quotas: {},
  workerKinds: [],
  openPlans: emptyTable(),
  openSweeps: emptyTable(),
  openRuns: emptyTable(),
  counts: {},
  time: NO_ACCOUNTS,
  code: '',
  results: emptyMap(),
  twins: emptyMap(),
};

/** The number in an id of this noun; undefined for anything else. */
export function numberIn(noun: Noun, id: string): number | undefined {
  const dash = noun.length;
  if (id.charCodeAt(dash) !== DASH) return undefined;
  // By hand: a fold asks for millions.
  for (let at = 0; at < dash; at++) if (id.charCodeAt(at) !== noun.charCodeAt(at)) return undefined;
  const digits = id.length - dash - 1;
  if (digits < 1 || digits > 9 || id.charCodeAt(dash + 1) === ZERO) return undefined;
  const number = digitsAfter(id, dash);
  return Number.isNaN(number) ? undefined : number;
}

const DASH = 0x2d;
const ZERO = 0x30;

/**
 * The number that stands behind this place of a text; NaN when something else does. By hand, because a fold takes
 * millions.
 */
function digitsAfter(text: string, place: number): number {
  let number = 0;
  for (let at = place + 1; at < text.length; at++) {
    const digit = text.charCodeAt(at) - ZERO;
    if (digit < 0 || digit > 9) return Number.NaN;
    number = 10 * number + digit;
  }
  return number;
}

function rowWith<V>(table: Table<V>, noun: Noun, id: string): V | undefined {
  const number = numberIn(noun, id);
  return number === undefined ? undefined : rowAt(table, number);
}

/** The plan with this id, or undefined. */
export function planWith(state: Pick<State, 'plans'>, id: string): PlanState | undefined {
  return rowWith(state.plans, 'plan', id);
}

/** The sweep with this id, or undefined. */
export function sweepWith(state: Pick<State, 'sweeps'>, id: string): SweepState | undefined {
  return rowWith(state.sweeps, 'sweep', id);
}

/** The trial with this id, or undefined. */
export function trialWith(state: State, id: string): TrialState | undefined {
  return rowWith(state.trials, 'trial', id);
}

/** The run with this id as far as it is in memory, or undefined. */
export function runWith(state: State, id: string): RunState | EndedRun | undefined {
  return rowWith(state.runs, 'run', id);
}

/** The worker with this id: one that is there, or was lost lately. */
export function workerWith(state: State, id: string): WorkerState | undefined {
  return lookup(state.workers, id);
}

/** The run with this id if it is in memory as a whole, or undefined. */
export function wholeRunWith(state: State, id: string): RunState | undefined {
  const run = runWith(state, id);
  return run !== undefined && isWhole(run) ? run : undefined;
}

/** As planWith; an id that the journal gave out is always there. */
export function planOf(state: State, id: string): PlanState {
  return existing(planWith(state, id), id);
}

/** As planOf, for sweeps. */
export function sweepOf(state: State, id: string): SweepState {
  return existing(sweepWith(state, id), id);
}

/** As planOf, for trials. */
export function trialOf(state: State, id: string): TrialState {
  return existing(trialWith(state, id), id);
}

/** As planOf, for runs that are in memory as a whole: open ones, and those that may be continued. */
export function runOf(state: State, id: string): RunState {
  return existing(wholeRunWith(state, id), id);
}

function existing<T>(value: T | undefined, id: string): T {
  if (value === undefined) throw new Error(`assertion: ${id} is not in the state`);
  return value;
}

/** The number in `noun-number`; what was created first has the lowest. */
export function numberOf(id: string): number {
  let number = 0;
  for (let at = id.length - 1, unit = 1; at >= 0; at--, unit *= 10) {
    const code = id.charCodeAt(at);
    if (code === DASH) return number;
    if (code < ZERO || code > ZERO + 9) return Number.NaN;
    number += (code - ZERO) * unit;
  }
  return number;
}

const collator = new Intl.Collator('en', { numeric: true });

/** Order of ids as a person reads them: `worker-2` before `worker-10`, and total. */
export function byNumbers(a: string, b: string): number {
  return collator.compare(a, b) || (a < b ? -1 : a > b ? 1 : 0);
}

/** Whether a run has a gang. */
export function hasGang(run: { readonly state: RunState['state'] }): boolean {
  return run.state === 'running' || run.state === 'pausing';
}

/** The step after which a run goes on without anything that its workers have in memory. */
export function storedStep({
  checkpoints,
  pausedStep,
}: Pick<RunState, 'checkpoints' | 'pausedStep'>): number {
  return Math.max(checkpoints.at(-1)?.step ?? 0, pausedStep?.step ?? 0);
}

/** The priority of a run: the higher is placed first. */
export function priorityOf({ priority, job }: Pick<RunState, 'priority' | 'job'>): number {
  return priority ?? job.priority;
}

/** The priority of a run that trains against those that want its workers: what waiting had given it stays its own. */
export function heldPriorityOf(run: Pick<RunState, 'priority' | 'agedPriority' | 'job'>): number {
  return Math.max(priorityOf(run), run.agedPriority ?? 0);
}

/** A plan's own runs: a differentiable search, the teacher, the students; those of a sweep are its trials'. */
export function ownRunIdsOf({ searchRunId, teacherRunId, studentRunIds }: PlanState): string[] {
  return [searchRunId, teacherRunId, ...studentRunIds].filter((id) => id !== undefined);
}

/** The newest run of a trial: an attempt at its evaluation, or before that at the search for its cells. */
export function newestRunOf({ runIds, searchRunIds }: TrialState): string | undefined {
  return runIds.at(-1) ?? searchRunIds?.at(-1);
}

/** Whether a thing is done, failed or cancelled. */
export function hasEnded(thing: { readonly state: string }): boolean {
  return thing.state === 'done' || thing.state === 'failed' || thing.state === 'cancelled';
}

/** Every run that has not ended, oldest first. For lists: a decision looks at single ones. */
export function openRuns(state: State): RunState[] {
  return [...rowsOf(state.openRuns)].map(([number]) => rowAt(state.runs, number) as RunState);
}

/** The specs of all plans and sweeps that have not ended. */
export function openSearches(state: State): (PlanSpec | SweepSpec)[] {
  const specs = [...rowsOf(state.openPlans)].map(
    ([number]): PlanSpec | SweepSpec => planOf(state, `plan-${number}`).spec,
  );
  for (const [number] of rowsOf(state.openSweeps)) specs.push(sweepOf(state, `sweep-${number}`).spec);
  return specs;
}

/** How many workers are attached. */
export function attachedWorkers(state: State): number {
  return state.counts['worker attached'] ?? 0;
}

/** `run-3 failed: loss is not finite`: how a thing ended and why, as part of another's reason. */
export function endingOf(thing: {
  readonly id: string;
  readonly state: string;
  readonly reason: string;
}): string {
  const ended = stateText(thing.state, thing.reason);
  return `${thing.id} ${thing.state === 'done' ? 'is ' : thing.state === 'failed' ? '' : 'was '}${ended}`;
}
