// What one kind of run does differently from another: its procedure. This file fixes the questions that the
// training loop, the gang and the checkpoints ask; `choose-procedure.ts` is the one place that answers which
// procedure a run has.
//
// A *unit* is what lies between two sums over the gang: one step, or one round of several steps. The loop
// (train.ts) is the same for all: open a unit, let the procedure compute what the own shards contribute, sum
// it over all shards, let the procedure apply the mean. How many steps a unit commits follows from the
// schedule (core/spec/schedule.ts, `roundEnd`) and not from the procedure, because the coordinator counts the
// same units.
//
// A procedure has two lives. `Procedure` is what one worker keeps of a run for as long as it holds the run,
// whichever gang it is in. `Membership` is its part in one generation of the gang. A change of the gang ends
// the membership and begins another; what has to outlive that change (replicas of an open round, class
// shards) belongs to the procedure.

import type { Exchange, ExchangeStats, Member, Suspect } from '../../core/allreduce/exchange.ts';
import type { Node } from '../../core/allreduce/plan.ts';
import type { DataPlane } from '../../core/allreduce/plane.ts';
import type { Clock } from '../../core/clock.ts';
import type { Batch } from '../../core/data/loading/loader-messages.ts';
import type { Logger } from '../../core/log.ts';
import type { LayerGraph } from '../../core/nn/network.ts';
import type { Half } from '../../core/search/halves.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { Schedule } from '../../core/spec/schedule.ts';
import type { SearchFound } from '../../core/spec/search.ts';
import type { StateShape, StateVectors } from '../../core/state-vectors.ts';
import type { BeginPhase } from '../../core/worker-time.ts';
import type { Compute } from '../compute/client.ts';
import type { Compilable } from '../compute/messages.ts';
import type { BatchSource } from './batch-source.ts';
import type { Replica, StateAtStep } from './replica.ts';
import type { TeacherNetwork } from './teacher-network.ts';

/** What a procedure is made from. */
export interface ProcedureOptions {
  readonly runId: string;
  readonly spec: RunSpec;
  /** What is trained: the run's network, or the search network of a search. */
  readonly network: LayerGraph;
  /** Classes of the training data. */
  readonly classes: number;
  readonly schedule: Schedule;
  readonly compute: Compute;
}

export interface Procedure {
  /** What every member's replica consists of. This is what a member that is behind gets from a peer. */
  readonly replicaShape: StateShape;
  /** What a checkpoint holds: the replica, and what the members of a gang have divided among themselves. */
  readonly stateShape: StateShape;
  /** Length of a shard's vector in the sum, in values: gradient [P], batch statistics [S], losses [3]. */
  readonly sumLength: number;
  /** What a unit needs, for compilation before the first one. */
  readonly graphs: readonly Compilable[];
  /** Weights of the network itself, without adapter and head. */
  readonly backboneCount: number;
  /** Names of the exchanges that a membership opens beside the run's own. */
  readonly exchangeNames: readonly string[];
  /** Writes the state with which the seed begins the run into zeros of `stateShape`, in shared memory. */
  writeFirst(state: StateVectors): Promise<void>;
  /**
   * Takes over a whole state, as the seed or a checkpoint gives it. Returns the replica and keeps what the
   * replica does not have. Called within a membership, because what is kept depends on this worker's shards.
   */
  adopt(state: StateAtStep): Replica;
  /** Takes this worker's place in a generation. */
  join(place: GangPlace): Promise<Membership>;
  /** Frees what is kept; the run is not held any more. */
  dispose(): void;
}

/** This worker's place in one generation. */
export interface GangPlace {
  /** The name under which exchanges are opened; a replay has another than the run that it repeats. */
  readonly runId: string;
  readonly generation: number;
  readonly rank: number;
  readonly members: readonly Member[];
  /** Where exchanges of the procedure's own are opened. */
  readonly plane: DataPlane;
  /** Members that hold up one of these exchanges. */
  readonly onSuspects: (exchange: string, suspects: readonly Suspect[]) => void;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export interface Membership {
  /**
   * First part of the agreement in a new generation. `step`: committed steps of this member's replica, -1
   * without one. Returns `drop` when all members have to give their replicas up and go back to the newest
   * checkpoint.
   */
  compareHoldings(step: number): Promise<'keep' | 'drop'>;
  /**
   * Last part of the agreement: all members have the replica of one step, and what they have divided is moved
   * to where it belongs.
   */
  settleHoldings(replica: Replica): Promise<void>;
  /**
   * Computes what the own shards contribute to the sum of a unit. From now on the replica's vectors may be on the
   * device, and those in memory older.
   */
  contribute(unit: Unit): Promise<Contribution>;
  /** Changes the replica's vectors, and what is kept, by the mean over all shards. */
  applyMean(unit: Unit, mean: Float32Array): Promise<Applied>;
  /**
   * The whole state for a checkpoint, at rank 0 and undefined elsewhere, where the replica's vectors in memory are
   * those of its step then. All members call it at the same step.
   */
  gatherState(replica: Replica): Promise<StateVectors | undefined>;
  /**
   * What the replica at the end of a stage stands for; of a search. All members call it at the same step, which
   * nothing may move before it answers, and get the same.
   */
  found?(stage: number, replica: Replica, alphaBatches: BatchSource): Promise<SearchFound>;
  /** Counters of the exchanges of the procedure's own. */
  exchangeStats(): readonly Readonly<ExchangeStats>[];
  /**
   * Ends the part in this generation, with the replica's vectors in memory as of its step. Rejects where the device
   * does not give them: the replica is then lost.
   */
  leave(): Promise<void>;
}

/** Steps [first, end) between two sums, as the procedure sees them. They lie in one epoch and one stage. */
export interface Unit {
  readonly first: number;
  readonly end: number;
  /** Rate of the optimiser in these steps. */
  readonly learningRate: number;
  readonly replica: Replica;
  /** Own shards, ascending. */
  readonly shards: readonly number[];
  /** Memory for the vectors of own shards. */
  readonly exchange: Pick<Exchange, 'vector'>;
  /** The teacher at the stage that these steps learn from; undefined without distillation. */
  readonly teacher: TeacherNetwork | undefined;
  readonly clock: Clock;
  /** Where the time of the run goes. */
  readonly begin: BeginPhase;
  /** Aborted when the generation ends, or `failed` does. */
  readonly signal: AbortSignal;
  /**
   * Never resolves. Rejects when the checkpoint that precedes these steps cannot be stored, after which
   * nothing may be summed.
   */
  readonly failed: Promise<never>;
  /** The batch of an own shard in one of the steps, of a search of this half: what the ledger counts, or an error. */
  readBatch(step: number, shard: number, half?: Half): Promise<Batch>;
  /** Ends the computation with a batch, so that time without any is measured. */
  batchDone(): void;
  /**
   * Under what a member contributes: the weights at `first` and the samples of all steps, as 16 hex digits.
   */
  contributionDigest(): string;
  /** So many of the steps are trained by all own shards; for people who watch. */
  onProgress(steps: number): void;
}

export interface Contribution {
  /** The vector of each own shard, or for each node of `summed` that of its first one. */
  readonly vectors: ReadonlyMap<number, Float32Array>;
  /** Nodes that are added up already; none without it. */
  readonly summed?: readonly Node[];
  /** Seconds in which it waited for other members. */
  readonly waited: number;
  /** Images computed here; fewer than the unit has when an earlier generation had computed some. */
  readonly images: number;
}

export interface Applied {
  /** L2 norm of the backbone's mean gradient, or of its mean change in a round. */
  readonly gradientNorm: number;
  /** Of what was trained (`comparedDigest`). */
  readonly digest: string;
  /** Absent: the last values of the mean. */
  readonly losses?: { readonly loss: number; readonly lossArcface: number; readonly lossKd: number };
  /** Of a search's step that is probed (core/search/difference-error.ts). */
  readonly differenceError?: number | undefined;
}
