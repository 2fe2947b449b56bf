// The inputs, effects and answers of the core, in domain types. Wire messages become these at the edge, and
// nothing further inside knows the wire.

import type { Quotas } from '../../core/quotas.ts';
import type { PlanSpec } from '../../core/spec/plan.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { SearchFound } from '../../core/spec/search.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import type { WorkerKind } from '../../core/worker-kinds.ts';
import type { TimeSlice } from '../../core/worker-time.ts';
import type { Caller } from '../model/caller.ts';
import type { EventOf, RefusedCalls } from '../model/events.ts';
import type { DataFacts, EvaluationState, LossCause, Member } from '../model/state.ts';
import type { ScoredCandidate } from '../strategies/screening.ts';

/** A document that was found well-formed, buildable and with data behind it. */
export type CheckedDocument =
  | { readonly kind: 'plan'; readonly spec: PlanSpec; readonly yaml: string; readonly facts: DataFacts }
  | { readonly kind: 'sweep'; readonly spec: SweepSpec; readonly facts: DataFacts }
  | {
      readonly kind: 'run';
      /** `distillation.teacher` is a run id, or the name of a teacher run among the documents before it. */
      readonly spec: RunSpec;
      readonly facts: DataFacts;
    };

/** A run that a worker holds, as it reports it when it attaches. */
export interface LeaseClaim {
  readonly runId: string;
  readonly generation: number;
}

/** What is known of a device beside its class. It is shown, and nothing is decided by it. */
export interface DeviceDetails {
  readonly name: string;
  /** Bytes of the device itself: a GPU's memory, or the host's for a CPU. */
  readonly memoryBytes: number;
  readonly gpu?: {
    readonly uuid: string;
    readonly computeCapability: string;
    readonly multiprocessors: number;
    /** Versions; empty where they are not known. */
    readonly driver: string;
    readonly cudnn: string;
    readonly cublas: string;
  };
  /** All devices that compute, where there are several; the facts above are of the first, the memory is the least. */
  readonly devices?: readonly { readonly id: string; readonly memoryBytes: number }[];
}

/** A process of a worker that attaches. */
export interface WorkerHello {
  readonly workerId: string;
  /** Random at each start of the process. */
  readonly incarnation: string;
  readonly version: string;
  readonly host: string;
  readonly pid: number;
  readonly deviceKind: string;
  readonly deviceName: string;
  readonly deviceClass: string;
  /** Which device it is; workers of one id share it. Absent: the worker has it to itself. */
  readonly deviceId?: string;
  readonly device?: DeviceDetails;
  /** Runs that may be in this worker at once. */
  readonly slots: number;
  /** What its operator says of it. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly leases: readonly LeaseClaim[];
  readonly metricsEndpoint: string;
  /** metadata.uid of its pod; empty outside of a cluster. */
  readonly podUid: string;
  /** How long the process has been there, seconds. */
  readonly ageSeconds?: number | undefined;
  /** Digest of the code that decides the bits of its results; absent: nothing stands for what it computes. */
  readonly code?: string;
}

/**
 * Why a member cannot go on, as it reports it: only `numeric` and `user` are the run's own fault for certain.
 */
export type FailureCause = 'infrastructure' | 'out_of_memory' | 'numeric' | 'user';

/** A gang stands after a step, and what is needed to go on from there is stored. */
export interface PausedReport {
  readonly kind: 'paused';
  readonly runId: string;
  readonly generation: number;
  readonly step: number;
  /** The checkpoint of a step within a stage. */
  readonly stored?: NonNullable<EventOf<'run.paused'>['stored']>;
}

/**
 * A report that is acknowledged and may change the state. Progress and heartbeats are volatile and are no
 * inputs.
 */
export type Report =
  | {
      readonly kind: 'checkpointStored';
      readonly runId: string;
      readonly stage: number;
      readonly step: number;
      readonly bytes: number;
      readonly digest: string;
      readonly weightsDigest?: string;
      readonly stateDigest?: string;
      readonly ledgerDigest?: string;
      readonly teacherDigest?: string;
      /** Of a stage that the assignment has named for it. */
      readonly evaluation?: EvaluationState;
      /** Of a search. */
      readonly search?: SearchFound;
    }
  | PausedReport
  | {
      /** The stage that its assignment names as stored is not there: the gang goes on from `newest`, 0 for the seed. */
      readonly kind: 'stagesMissing';
      readonly runId: string;
      readonly generation: number;
      readonly newest: number;
    }
  | {
      readonly kind: 'finished';
      readonly runId: string;
      readonly generation: number;
      readonly step: number;
      readonly weightsDigest: string;
      readonly evaluation?: EvaluationState;
    }
  | {
      /** The gang stands at the end of the stage that its assignment named, which is stored and verified. */
      readonly kind: 'halted';
      readonly runId: string;
      readonly generation: number;
      readonly stage: number;
      readonly step: number;
      readonly weightsDigest: string;
      readonly evaluation?: EvaluationState;
    }
  | {
      readonly kind: 'failed';
      readonly runId: string;
      readonly generation: number;
      readonly cause: FailureCause;
      /** A file, device or mount of the worker failed: that can last, and another worker may not have it. */
      readonly ofPlace?: boolean;
      readonly message: string;
      readonly step: number;
      /** With `numeric`: what ceased to be finite first, and its value as text, because JSON has no NaN. */
      readonly tensor?: string;
      readonly value?: string;
      /** With `out_of_memory`: bytes that were asked for at once. */
      readonly bytesWanted?: number;
      /** A stored stage that could not be read: the run's own, or its teacher's. */
      readonly damaged?: { readonly runId: string; readonly stage: number };
    }
  | { readonly kind: 'draining' }
  /** Where the time of the process went. */
  | { readonly kind: 'timeSpent'; readonly slice: TimeSlice }
  /** Nothing follows from it except its acknowledgement. */
  | { readonly kind: 'released' };

/**
 * What the core decides about: what somebody asks for, what a worker reports, and what was found out about
 * one.
 */
export type Input = {
  /** Whose call it is. */
  readonly by?: Caller;
} & (
  | { readonly kind: 'started'; readonly version: string }
  | {
      readonly kind: 'submit';
      readonly documents: readonly CheckedDocument[];
      /** The caller's name for it, and the digest of what was asked: a repetition makes nothing again. */
      readonly request?: { readonly id: string; readonly digest: string };
    }
  | { readonly kind: 'cancel'; readonly id: string; readonly reason: string }
  | { readonly kind: 'resume'; readonly id: string; readonly reason: string }
  | { readonly kind: 'pause'; readonly id: string; readonly reason: string }
  | { readonly kind: 'prioritise'; readonly id: string; readonly priority: number; readonly reason: string }
  /** Takes a worker out of placement, or gives it back. */
  | { readonly kind: 'drain'; readonly workerId: string; readonly undo: boolean; readonly reason: string }
  /** Keeps a stored stage from retention, or gives it back. */
  | {
      readonly kind: 'keep';
      readonly runId: string;
      readonly stage: number;
      readonly keep: boolean;
      readonly reason: string;
    }
  /** Lets go of what a run that has ended has stored, or of one stage. */
  | { readonly kind: 'drop'; readonly runId: string; readonly stage?: number; readonly reason: string }
  /** Takes what has ended out of the lists, and what it has stored out of the store. */
  | { readonly kind: 'remove'; readonly id: string; readonly reason: string }
  /** A damaged stage was computed again and stored, or cannot be. */
  | {
      readonly kind: 'mended';
      readonly runId: string;
      readonly stage: number;
      readonly ok: boolean;
      readonly reason: string;
    }
  /** A teacher whose stages come from files; its spec says which. */
  | { readonly kind: 'import'; readonly spec: RunSpec }
  /** A stage of it is stored. */
  | ({ readonly kind: 'imported' } & ImportedStage)
  /** A worker has scored candidates of the open group of a sweep, or nobody could. */
  | {
      readonly kind: 'scored';
      readonly sweepId: string;
      readonly group: number;
      readonly workerId: string;
      readonly scores: readonly ScoredCandidate[];
    }
  /** What was let go is gone from the store. */
  | {
      readonly kind: 'collected';
      readonly manifests: number;
      readonly chunks: number;
      readonly bytes: number;
    }
  | {
      readonly kind: 'attached';
      readonly hello: WorkerHello;
      /** When an earlier process of this worker was last there, if this coordinator has seen it. */
      readonly goneAtMs?: number;
    }
  | {
      readonly kind: 'reported';
      readonly workerId: string;
      readonly incarnation: string;
      readonly sequence: number;
      readonly report: Report;
    }
  | {
      readonly kind: 'lost';
      readonly workerId: string;
      readonly incarnation: string;
      readonly cause: LossCause;
      readonly reason: string;
      /** When it was last there, if this coordinator has seen it. */
      readonly goneAtMs?: number;
    }
  /** The pod of a worker is being taken away: the process may still run, but not for long. */
  | {
      readonly kind: 'leaving';
      readonly workerId: string;
      readonly incarnation: string;
      readonly reason: string;
      /** It is not being taken away yet: `staying` takes that back. */
      readonly mayStay?: true;
    }
  /** A worker that was to leave is wanted again. */
  | {
      readonly kind: 'staying';
      readonly workerId: string;
      readonly incarnation: string;
      readonly reason: string;
    }
  /** Somebody is about to get the network of a run. */
  | { readonly kind: 'exported'; readonly runId: string; readonly stage: number; readonly format: string }
  /** What the file of tokens holds now. */
  | { readonly kind: 'tokens'; readonly tokens: readonly ListedToken[] }
  /** How workers are shared, and which the fleet can have, by the configuration. */
  | {
      readonly kind: 'configured';
      readonly usageHalfLifeMs: number;
      readonly quotas: Quotas;
      readonly workerKinds?: readonly WorkerKind[];
    }
  /** Calls were refused for want of a right. */
  | { readonly kind: 'refusals'; readonly refusals: readonly RefusedCalls[]; readonly others: number }
  /** Time has passed. */
  | { readonly kind: 'tick' }
);

/** A stored stage of a teacher from files. */
export interface ImportedStage {
  readonly runId: string;
  readonly stage: number;
  readonly bytes: number;
  readonly digest: string;
  readonly weightsDigest: string;
  readonly stateDigest: string;
}

/** A token of the file of tokens. */
export interface ListedToken extends Caller {
  readonly createdBy: string;
  readonly expires?: string;
  /** It is refused. */
  readonly isRevoked: boolean;
  readonly revokedBy?: string;
}

/** What a worker is sent as part of a decision. */
export type Command =
  /** What the process of this incarnation said in its hello is decided. */
  | { readonly kind: 'welcome'; readonly incarnation: string }
  | { readonly kind: 'acknowledge'; readonly sequence: number }
  | {
      readonly kind: 'assign';
      readonly runId: string;
      readonly generation: number;
      readonly spec: RunSpec;
      readonly members: readonly Member[];
      readonly teacherRunId?: string;
      readonly teacherStages?: number;
      /** The run that computes embeddings for a student. */
      readonly embeddingRunId?: string;
      /** Bytes in which the worker may keep its teacher's embeddings of single images. */
      readonly imageRowsBytes?: number;
      /** Of its data as submit found them. */
      readonly dataDigest?: string;
      /** The gang stores where it stands and is released. */
      readonly pauses?: true;
      /** Committed steps of the checkpoint within a stage from which it goes on. */
      readonly pausedStep?: number;
      /** The stage at whose end it halts to be verified. */
      readonly haltStage?: number;
      /** Stages at whose ends it is verified while it goes on. */
      readonly evaluateStages?: readonly number[];
      /** The newest stage that is stored as a whole. */
      readonly storedStage?: number;
    }
  | {
      readonly kind: 'release';
      readonly runId: string;
      readonly generation: number;
      readonly reason: string;
    }
  /** What it is likely to get next; it may never be. */
  | {
      readonly kind: 'prepare';
      /** The run, or the sweep whose next candidate it is; for people. */
      readonly of: string;
      readonly spec: RunSpec;
      readonly dataDigest?: string;
    };

/** Performed after the events of the same decision are on disk. */
export type Effect =
  | { readonly kind: 'send'; readonly workerId: string; readonly command: Command }
  /**
   * Closes the stream of a worker that counts as lost; if it lives it dials again and gets what it may keep.
   */
  | { readonly kind: 'disconnect'; readonly workerId: string; readonly incarnation: string };

/** What a caller of submit, cancel, pause or resume gets: the ids of what was made or changed. */
export type Answer =
  | {
      readonly kind: 'submitted';
      readonly planIds: readonly string[];
      readonly sweepIds: readonly string[];
      readonly runIds: readonly string[];
    }
  | { readonly kind: 'cancelled'; readonly ids: readonly string[] }
  | { readonly kind: 'resumed'; readonly ids: readonly string[] }
  | { readonly kind: 'paused'; readonly ids: readonly string[] };
