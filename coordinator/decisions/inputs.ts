// What the core is told and what it asks for, in domain types: the inputs and effects of step(). Wire messages become
// these in worker-service.ts and service.ts, and nothing further inside knows them.

import type { PlanSpec } from '../../core/spec/plan.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import type { DataFacts, EvaluationState, Member } from '../model/state.ts';

/** A document that submit.ts has found well-formed, buildable and with data behind it. */
export type CheckedDocument =
  | { readonly kind: 'plan'; readonly spec: PlanSpec; readonly yaml: string; readonly facts: DataFacts }
  | { readonly kind: 'sweep'; readonly spec: SweepSpec; readonly facts: DataFacts }
  | {
      readonly kind: 'run';
      /** `distillation.teacher` is a run id, or the name of a teacher run among the documents before it. */
      readonly spec: RunSpec;
      readonly facts: DataFacts;
    };

export interface LeaseClaim {
  readonly runId: string;
  readonly generation: number;
}

export interface DeviceDetails {
  readonly name: string;
  /** Of the device itself: a GPU's memory, or the host's for a CPU. */
  readonly memoryBytes: number;
  readonly gpu?: {
    readonly uuid: string;
    readonly computeCapability: string;
    readonly multiprocessors: number;
    /** Versions; empty where nobody tells. */
    readonly driver: string;
    readonly cudnn: string;
    readonly cublas: string;
  };
}

export interface WorkerHello {
  readonly workerId: string;
  readonly incarnation: string;
  readonly version: string;
  readonly host: string;
  readonly pid: number;
  readonly deviceKind: string;
  readonly deviceName: string;
  readonly deviceClass: string;
  /** What else is known of the device; it is shown, and nothing is decided by it. */
  readonly device?: DeviceDetails;
  readonly slots: number;
  readonly leases: readonly LeaseClaim[];
  readonly metricsEndpoint: string;
  /** metadata.uid of its pod; empty outside of a cluster. */
  readonly podUid: string;
}

export type FailureCause = 'infrastructure' | 'out_of_memory' | 'numeric' | 'user';

/** A report that is acknowledged and may change the state; progress and heartbeats never come this far. */
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
      readonly kind: 'failed';
      readonly runId: string;
      readonly generation: number;
      readonly cause: FailureCause;
      /** A file, device or mount of the worker failed: it can last, and another worker may be free of it. */
      readonly ofPlace?: boolean;
      readonly message: string;
      readonly step: number;
    }
  | { readonly kind: 'draining' }
  /** Nothing follows from it; it only wants its acknowledgement. */
  | { readonly kind: 'released' };

export type Input =
  | { readonly kind: 'started'; readonly version: string }
  | { readonly kind: 'submit'; readonly documents: readonly CheckedDocument[] }
  | { readonly kind: 'cancel'; readonly id: string; readonly reason: string }
  | { readonly kind: 'resume'; readonly id: string; readonly reason: string }
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
      readonly reason: string;
      /** When it was last there, if this coordinator has seen it. */
      readonly goneAtMs?: number;
    }
  /** Its pod is being taken away: the process may still run, but not for long. */
  | {
      readonly kind: 'leaving';
      readonly workerId: string;
      readonly incarnation: string;
      readonly reason: string;
    }
  /** Time has passed. */
  | { readonly kind: 'tick' };

export type Command =
  | { readonly kind: 'welcome' }
  | { readonly kind: 'acknowledge'; readonly sequence: number }
  | {
      readonly kind: 'assign';
      readonly runId: string;
      readonly generation: number;
      readonly spec: RunSpec;
      readonly members: readonly Member[];
      readonly teacherRunId?: string;
      readonly teacherStages?: number;
    }
  | {
      readonly kind: 'release';
      readonly runId: string;
      readonly generation: number;
      readonly reason: string;
    };

/** Performed after the events of the same decision are on disk. */
export type Effect =
  | { readonly kind: 'send'; readonly workerId: string; readonly command: Command }
  /** Closes the stream of a worker that counts as lost; if it lives it dials again and is told what it may keep. */
  | { readonly kind: 'disconnect'; readonly workerId: string; readonly incarnation: string };

/** What a caller of submit or cancel gets. */
export type Answer =
  | {
      readonly kind: 'submitted';
      readonly planIds: readonly string[];
      readonly sweepIds: readonly string[];
      readonly runIds: readonly string[];
    }
  | { readonly kind: 'cancelled'; readonly ids: readonly string[] }
  | { readonly kind: 'resumed'; readonly ids: readonly string[] };
