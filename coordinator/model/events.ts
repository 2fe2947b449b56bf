// The events of the journal: every decision that has ever taken effect, with its reason. They are written
// once and read for ever, so a kind is never given another meaning, and a field is only added, as an optional
// one.

import type { Costs } from '../../core/nn/space.ts';
import type { Genotype } from '../../core/spec/network.ts';
import type { PlanSpec } from '../../core/spec/plan.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import type { Blame, DataFacts, EndState, EvaluationState, Member, Noun } from './state.ts';

/** `atMs`: when it was decided, milliseconds since the epoch. */
export type Event = { readonly atMs: number } & (
  | { readonly kind: 'coordinator.started'; readonly epoch: number; readonly version: string }
  | {
      /** By `journal truncate`: what came after message `after` counts no more. */
      readonly kind: 'journal.truncated';
      readonly after: number;
      /**
       * The highest number of each noun that was ever given out: ids that were cut off are not given out
       * again.
       */
      readonly ids: Readonly<Record<Noun, number>>;
      readonly reason: string;
    }
  | {
      readonly kind: 'plan.submitted';
      readonly planId: string;
      readonly spec: PlanSpec;
      /** The submitted text as it took effect, with overrides in their places. */
      readonly yaml: string;
      readonly facts: DataFacts;
    }
  | {
      readonly kind: 'plan.ended';
      readonly planId: string;
      readonly state: EndState;
      readonly reason: string;
      readonly winnerRunId?: string;
    }
  | {
      readonly kind: 'sweep.submitted';
      readonly sweepId: string;
      readonly spec: SweepSpec;
      readonly facts: DataFacts;
      readonly planId?: string;
    }
  | {
      /** No further candidate was found: the sweep has fewer trials than asked for. */
      readonly kind: 'sweep.exhausted';
      readonly sweepId: string;
      readonly trialsTotal: number;
      readonly reason: string;
    }
  | {
      readonly kind: 'sweep.ended';
      readonly sweepId: string;
      readonly state: EndState;
      readonly reason: string;
    }
  | {
      readonly kind: 'trial.proposed';
      readonly trialId: string;
      readonly sweepId: string;
      readonly number: number;
      readonly genotype: Genotype;
      readonly genotypeJson: string;
      readonly costs: Costs;
      /** Draws used up to and with this one; the next starts there. */
      readonly nextDraw: number;
      /** Draws passed over on the way here, with the reason of each. */
      readonly skipped: readonly { readonly draw: number; readonly reason: string }[];
    }
  | {
      readonly kind: 'trial.ended';
      readonly trialId: string;
      readonly state: EndState;
      readonly reason: string;
      readonly objective?: number;
    }
  | {
      readonly kind: 'run.created';
      readonly runId: string;
      readonly spec: RunSpec;
      readonly facts: DataFacts;
      readonly costs: Costs;
      readonly reason: string;
      readonly planId?: string;
      readonly sweepId?: string;
      readonly trialId?: string;
      readonly teacherRunId?: string;
      /** What a run is to its plan. */
      readonly role?: 'teacher' | 'student';
    }
  | {
      readonly kind: 'run.assigned';
      readonly runId: string;
      readonly generation: number;
      readonly members: readonly Member[];
      readonly deviceClass: string;
      readonly reason: string;
    }
  | {
      readonly kind: 'run.requeued';
      readonly runId: string;
      readonly generation: number;
      readonly reason: string;
    }
  | {
      /** A worker reported that it could not go on, through no fault of the run. */
      readonly kind: 'run.troubled';
      readonly runId: string;
      readonly workerId: string;
      readonly avoidUntilMs: number;
      readonly reason: string;
      /** It was a fault of the worker's place (a disk, a mount): no failure of the run. */
      readonly ofPlace?: boolean;
    }
  | {
      /** A worker was lost while it held the run, which may be why. */
      readonly kind: 'run.blamed';
      readonly runId: string;
      readonly workerId: string;
      readonly blame: Blame;
      readonly reason: string;
    }
  | {
      readonly kind: 'run.checkpointed';
      readonly runId: string;
      readonly stage: number;
      readonly step: number;
      readonly bytes: number;
      readonly digest: string;
      /** 64 bits of the weights, and of the whole state, hex. */
      readonly weightsDigest?: string;
      readonly stateDigest?: string;
      /** Which samples were counted so far; core/data/loading/sample-ledger.ts. */
      readonly ledgerDigest?: string;
      /** Of the teacher's checkpoint that a student's stage learned from. */
      readonly teacherDigest?: string;
      readonly workerId: string;
    }
  | {
      readonly kind: 'run.finished';
      readonly runId: string;
      readonly generation: number;
      readonly workerId: string;
      readonly step: number;
      readonly weightsDigest: string;
      readonly evaluation?: EvaluationState;
    }
  | {
      readonly kind: 'run.failed';
      readonly runId: string;
      readonly cause: string;
      readonly reason: string;
      readonly workerId?: string;
      readonly step?: number;
    }
  | { readonly kind: 'run.cancelled'; readonly runId: string; readonly reason: string }
  | {
      /** Something that had failed or was cancelled goes on: exactly one of the ids is there. */
      readonly kind: 'work.resumed';
      readonly planId?: string;
      readonly sweepId?: string;
      readonly trialId?: string;
      readonly runId?: string;
      readonly reason: string;
    }
  | {
      readonly kind: 'worker.attached';
      readonly workerId: string;
      readonly incarnation: string;
      readonly deviceKind: string;
      readonly deviceName: string;
      readonly deviceClass: string;
      readonly slots: number;
      readonly host: string;
      readonly pid: number;
      readonly version: string;
      readonly metricsEndpoint: string;
      readonly podUid: string;
      readonly reason: string;
    }
  | { readonly kind: 'worker.draining'; readonly workerId: string; readonly reason: string }
  | {
      readonly kind: 'worker.lost';
      readonly workerId: string;
      readonly incarnation: string;
      readonly reason: string;
    }
);

/** The events of one kind. */
export type EventOf<K extends Event['kind']> = Extract<Event, { kind: K }>;
/** An event before it has its time, as a decision makes it. */
export type Decided = Event extends infer E ? (E extends { atMs: number } ? Omit<E, 'atMs'> : never) : never;
