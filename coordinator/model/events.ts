// The events of the journal, in the newest form (formats 2 and 3): every decision that has ever taken effect, with its
// reason. They are written once and read for ever, so a kind is never given another meaning, and a kind or a field is
// only added, the field as an optional one. A release that does not know a kind refuses the journal by its name
// (coordinator/journal/formats/event-checker.ts). Whatever else has to change makes another format, and the older one
// is lifted to it when it is read (coordinator/journal/formats).
//
// Events refer and do not copy: specs are recorded once and named by digest, and a candidate's run is a trial
// and the number of the attempt.

import type { Costs } from '../../core/nn/space.ts';
import type { Quotas } from '../../core/quotas.ts';
import type { PlanSpec } from '../../core/spec/plan.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import type { WorkerKind } from '../../core/worker-kinds.ts';
import type { TimeEntry } from '../../core/worker-time.ts';
import type { Fidelity } from '../strategies/fidelity.ts';
import type { Candidate, ScoredCandidate, Screened } from '../strategies/screening.ts';
import type { Cursor } from '../strategies/search.ts';
import type { Caller } from './caller.ts';
import type {
  Blame,
  DataFacts,
  EndState,
  EvaluationState,
  FoundState,
  Latency,
  LossCause,
  Member,
  MemoryNeed,
  Noun,
  Objectives,
} from './state.ts';
import type { WarmStart } from './warm-start.ts';

/**
 * `atMs`: when it was decided, milliseconds since the epoch. `by`: whose call decided it; absent where nobody called,
 * and where no token is needed. `left`: workers that the run's gang has lost with it, beside the one that it names.
 */
export type Event = { readonly atMs: number; readonly by?: Caller; readonly left?: readonly string[] } & (
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
      /** An input made the decision fail by a mistake of this program: it was refused, and nothing else. */
      readonly kind: 'input.refused';
      /** The kind of the input. */
      readonly input: string;
      /** Whose report it was. */
      readonly workerId?: string;
      /** What it was about. */
      readonly runId?: string;
      readonly reason: string;
    }
  | {
      /** Before the first event that refers to it. */
      readonly kind: 'spec.recorded';
      /** SHA-256 of the canonical JSON, the first 32 hex digits. */
      readonly digest: string;
      readonly spec: PlanSpec | SweepSpec | RunSpec;
    }
  | {
      /** A submission that named itself: when it comes again it is answered the same, and nothing is made. */
      readonly kind: 'submission.taken';
      readonly requestId: string;
      /** Digest of what was submitted. */
      readonly digest: string;
      readonly planIds: readonly string[];
      readonly sweepIds: readonly string[];
      readonly runIds: readonly string[];
    }
  | {
      readonly kind: 'plan.submitted';
      readonly planId: string;
      /** Digest of the spec. */
      readonly spec: string;
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
      /** Digest of the spec. */
      readonly spec: string;
      readonly facts: DataFacts;
      readonly planId?: string;
      /** Move k sees the results of moves up to k - lag; absent where the strategy learns from none. */
      readonly lag?: number;
      /** Results of another sweep that the search is told before its first move. */
      readonly start?: WarmStart;
      /** The teacher that all candidates learn from. */
      readonly teacherRunId?: string;
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
      /** Candidates join the open group of a sweep, or a new one, and are to be scored. */
      readonly kind: 'candidates.drawn';
      readonly sweepId: string;
      readonly candidates: readonly Candidate[];
      /** How far the search has looked with the last of them. */
      readonly cursor: Omit<Cursor, 'skipped'>;
      /** No further candidate joins the group. */
      readonly isDrawn: boolean;
    }
  | {
      readonly kind: 'candidates.scored';
      readonly sweepId: string;
      /** Of the open group. */
      readonly group: number;
      /** Who scored them; empty where nobody could. */
      readonly workerId: string;
      readonly scores: readonly ScoredCandidate[];
    }
  | {
      readonly kind: 'trial.proposed';
      readonly trialId: string;
      readonly sweepId: string;
      readonly number: number;
      /** Key of the canonical genotype. */
      readonly genotype: string;
      readonly costs: Costs;
      /** How far the search has looked with this move. */
      readonly cursor?: Omit<Cursor, 'skipped'>;
      /** The same, in what releases wrote that had random search alone. */
      readonly strategy?: { readonly nextDraw: number; readonly walked?: number };
      /** Why the strategy proposes it; absent where it was drawn at random. */
      readonly why?: string;
      /** Numbers of the trials that it descends from; absent where there are none. */
      readonly parents?: readonly number[];
      /** It begins with less than the full evaluation. */
      readonly fidelity?: Fidelity;
      /** How it stands among the candidates of its group. */
      readonly screened?: Screened;
      /** Candidates that were passed over on the way here. */
      readonly skipped?: Skipped;
      /** A search by gradient from this seed is to find its genotype, which is empty until then. */
      readonly seed?: number;
    }
  | {
      /** The search of a trial has ended with these cells. */
      readonly kind: 'trial.found';
      readonly trialId: string;
      /** The search. */
      readonly runId: string;
      /** As of `trial.proposed`. */
      readonly genotype: string;
      readonly costs: Costs;
      readonly reason: string;
    }
  | {
      /** A trial that has a result at a lower fidelity is evaluated with more. */
      readonly kind: 'trial.promoted';
      readonly trialId: string;
      /** Absent: the full evaluation. */
      readonly fidelity?: Fidelity;
      /** As of `trial.proposed`. */
      readonly cursor: Omit<Cursor, 'skipped'>;
      readonly reason: string;
    }
  | {
      /** A trial that has a result at a lower fidelity is evaluated with no more. */
      readonly kind: 'trial.stopped';
      readonly trialId: string;
      /** As of `trial.proposed`. */
      readonly cursor: Omit<Cursor, 'skipped'>;
      readonly reason: string;
    }
  | {
      readonly kind: 'trial.ended';
      readonly trialId: string;
      readonly state: EndState;
      readonly reason: string;
      readonly objectives?: Objectives;
      /** The device class of its latency. */
      readonly measuredOn?: string;
    }
  | {
      /** A trial gets a run: the next attempt at its evaluation. */
      readonly kind: 'trial.attempted';
      readonly trialId: string;
      readonly runId: string;
      /** From 1; the seed follows from it. Absent in what format 1 wrote: the one after the last. */
      readonly attempt?: number;
      /** What its spec has less of than the full evaluation. */
      readonly fidelity?: Fidelity;
      /** It trains the schedule of the full evaluation, and halts at the end of this stage to be judged. */
      readonly haltStage?: number;
      /** It is verified at the ends of these stages, and trains on while its trial is judged. */
      readonly evaluateStages?: readonly number[];
      readonly reason: string;
    }
  | {
      /** A run that is no candidate of a sweep. */
      readonly kind: 'run.created';
      readonly runId: string;
      /** Digest of the spec. */
      readonly spec: string;
      readonly facts: DataFacts;
      readonly costs: Costs;
      readonly reason: string;
      readonly planId?: string;
      readonly teacherRunId?: string;
      /** What a run is to its plan. */
      readonly role?: 'search' | 'teacher' | 'student';
      /** The trial of a sweep for which a search finds the cells. */
      readonly trialId?: string;
      /** Whose it is, of an embedding run, which nobody has submitted; absent: of whoever called. */
      readonly owner?: string;
      /** Of the students that an embedding run computes for. */
      readonly deviceClass?: string;
    }
  | {
      /** An embedding run has no student any more. */
      readonly kind: 'embedding.ended';
      readonly runId: string;
      readonly reason: string;
    }
  | {
      readonly kind: 'run.assigned';
      readonly runId: string;
      readonly generation: number;
      readonly members: readonly Member[];
      readonly deviceClass: string;
      /** As which a queued run is placed, where waiting has raised its priority. */
      readonly agedPriority?: number;
      /** It begins with workers that are kept for this run, and gives them back when that can start. */
      readonly lentByRunId?: string;
      /** Its workers keep the embeddings of single images, in so many bytes at most, and why. */
      readonly imageRows?: { readonly bytesMax: number; readonly reason: string };
      readonly reason: string;
    }
  | {
      readonly kind: 'run.requeued';
      readonly runId: string;
      readonly generation: number;
      /** A damaged stage without which it cannot go on, as `run-1/3`. */
      readonly waitsForStage?: string;
      readonly reason: string;
    }
  | {
      /** The gang is told to store where it stands; then its workers are free. */
      readonly kind: 'run.pausing';
      readonly runId: string;
      /** A run of higher priority that gets workers of it. */
      readonly forRunId?: string;
      readonly reason: string;
    }
  | {
      /** The run has no gang any more, and goes on from `step`. */
      readonly kind: 'run.paused';
      readonly runId: string;
      /** Committed steps that are stored. */
      readonly step: number;
      /** It waits until somebody resumes it; otherwise it waits for workers. */
      readonly isHeld: boolean;
      readonly reason: string;
      /** Who has stored the step. */
      readonly workerId?: string;
      /** The checkpoint of a step within a stage. */
      readonly stored?: {
        readonly bytes: number;
        readonly digest: string;
        readonly weightsDigest: string;
        readonly stateDigest: string;
        readonly ledgerDigest: string;
      };
    }
  | {
      /** The checkpoint of a step within a stage is not kept any more. */
      readonly kind: 'step.dropped';
      readonly runId: string;
      readonly step: number;
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
      /** As the worker reported it; absent in journals of earlier releases. */
      readonly cause?: 'infrastructure' | 'out_of_memory';
      /** What it gets from now on, because memory was short; it is not kept from the worker then. */
      readonly memory?: MemoryNeed;
      /** Bytes that were asked for at once. */
      readonly bytesWanted?: number;
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
      /** Of a stage at which the run was to be verified on its way. */
      readonly evaluation?: EvaluationState;
      /** Of a search. */
      readonly found?: FoundState;
      /**
       * By retention: nothing of the stages before it is kept any more, but for what is kept by request. Of candidates,
       * whose every stage takes the place of the one before: an event of its own for each would be a third of a
       * journal.
       */
      readonly isOnlyStage?: true;
      readonly workerId: string;
    }
  | {
      /** By retention: something of a run's checkpoints is not kept any more. */
      readonly kind: 'stage.dropped';
      readonly runId: string;
      /** Absent: every stage, and the evaluation report. */
      readonly stages?: readonly number[];
      /** What goes: optimiser state and head, or all that is left. */
      readonly parts: 'state' | 'all';
      /** The store does not have them: the run computes them again, and they count anew. */
      readonly isAgain?: true;
      readonly reason: string;
    }
  | {
      /** By `checkpoints keep`: retention leaves the stage as it is. */
      readonly kind: 'stage.kept';
      readonly runId: string;
      readonly stage: number;
      readonly reason: string;
    }
  | {
      /** By `checkpoints keep --release`: retention decides about the stage again. */
      readonly kind: 'stage.released';
      readonly runId: string;
      readonly stage: number;
      readonly reason: string;
    }
  | {
      /** A worker found stored bytes of a stage missing or changed. It is computed again. */
      readonly kind: 'stage.damaged';
      readonly runId: string;
      readonly stage: number;
      readonly workerId: string;
      readonly reason: string;
    }
  | {
      /** A damaged stage was computed again to the same digest and stored. */
      readonly kind: 'stage.mended';
      readonly runId: string;
      readonly stage: number;
      readonly reason: string;
    }
  | {
      /** A damaged stage cannot be computed again. */
      readonly kind: 'stage.lost';
      readonly runId: string;
      readonly stage: number;
      readonly reason: string;
    }
  | {
      /** By `rm` or `prune`: a plan, sweep or run that has ended leaves the lists with all that belongs to it. */
      readonly kind: 'work.removed';
      readonly id: string;
      readonly reason: string;
    }
  | {
      /** Somebody begins to take the network of a run out of the fleet. */
      readonly kind: 'run.exported';
      readonly runId: string;
      readonly stage: number;
      readonly format: string;
    }
  | {
      /** A token of a file is accepted from now on. */
      readonly kind: 'token.created';
      readonly token: Caller;
      /** The user who made it; of a file with one token its path. */
      readonly createdBy: string;
      /** ISO 8601; absent: it does not expire. */
      readonly expires?: string;
    }
  | {
      /** A token of a file is refused from now on. */
      readonly kind: 'token.revoked';
      readonly token: Caller;
      /** The user who did so; absent: it is gone from the file. */
      readonly revokedBy?: string;
    }
  | {
      /** Calls of the last minute at most that were refused for want of a right. */
      readonly kind: 'calls.refused';
      readonly refusals: readonly RefusedCalls[];
      /** Further ones, which are counted alone. */
      readonly others: number;
    }
  | {
      /** So much time before it passed on the clock and for nobody: no usage and no budget is charged for it. */
      readonly kind: 'clock.jumped';
      readonly ms: number;
      readonly reason: string;
    }
  | {
      /** How workers are shared from now on, by the configuration of who leads. */
      readonly kind: 'scheduling.configured';
      readonly usageHalfLifeMs: number;
      readonly quotas: Quotas;
      /** Absent in older journals, and where the fleet can have any. */
      readonly workerKinds?: readonly WorkerKind[];
    }
  | {
      /** What decisions before have let go is gone from the store. */
      readonly kind: 'store.collected';
      readonly manifests: number;
      readonly chunks: number;
      /** Of chunks. */
      readonly bytes: number;
    }
  | {
      readonly kind: 'run.finished';
      readonly runId: string;
      readonly generation: number;
      readonly workerId: string;
      readonly step: number;
      readonly weightsDigest: string;
      readonly evaluation?: EvaluationState;
      /** Why it has ended before its last stage. */
      readonly stopped?: string;
    }
  | {
      /** It stands at the end of a stage with a result, without a gang. It may go on. */
      readonly kind: 'run.halted';
      readonly runId: string;
      readonly generation: number;
      readonly workerId: string;
      readonly stage: number;
      readonly step: number;
      readonly weightsDigest: string;
      readonly evaluation?: EvaluationState;
    }
  | {
      /** A run that has halted, or failed with a checkpoint, goes on from there. */
      readonly kind: 'run.continued';
      readonly runId: string;
      /** Which attempt begins with it, from 1; absent: the same goes on. */
      readonly attempt?: number;
      /** Where it halts again; absent: it goes on to its end. */
      readonly haltStage?: number;
      readonly reason: string;
    }
  | {
      /** The run takes the result of another one that computed the same, at no cost. */
      readonly kind: 'run.reused';
      readonly runId: string;
      /** The run that computed it. */
      readonly fromRunId: string;
      /** Digest of the code that computed it. */
      readonly code: string;
      readonly deviceClass?: string;
      readonly step: number;
      readonly weightsDigest: string;
      readonly accuracy?: number;
      /** Where the run asks for one and no whole evaluation has it. */
      readonly latency?: Latency;
      /** Absent where only the accuracy is known of the other run. */
      readonly evaluation?: EvaluationState;
      readonly reason: string;
    }
  | {
      /** A queued run waits for one that trains and computes the same, or waits for it no longer. */
      readonly kind: 'run.twinned';
      readonly runId: string;
      /** Absent: it waits for none. */
      readonly twinRunId?: string;
      readonly reason: string;
    }
  | {
      /** Two runs that compute the same have ended with other bits: nothing is taken from either of them. */
      readonly kind: 'result.conflicted';
      /** The run that ended last. */
      readonly runId: string;
      readonly otherRunId: string;
      readonly weightsDigest: string;
      readonly otherWeightsDigest: string;
      readonly reason: string;
    }
  | {
      readonly kind: 'run.failed';
      readonly runId: string;
      readonly cause: string;
      readonly reason: string;
      readonly workerId?: string;
      readonly step?: number;
      /** With `numeric`: what ceased to be finite first, and its value as text. */
      readonly tensor?: string;
      readonly value?: string;
      /** With `out_of_memory`: bytes that were asked for at once. */
      readonly bytesWanted?: number;
    }
  | { readonly kind: 'run.cancelled'; readonly runId: string; readonly reason: string }
  | {
      /** Something that had failed, was cancelled or was paused goes on: exactly one of the ids is there. */
      readonly kind: 'work.resumed';
      readonly planId?: string;
      readonly sweepId?: string;
      readonly trialId?: string;
      readonly runId?: string;
      readonly reason: string;
    }
  | {
      /** By `pause`: nothing of it is trained until it is resumed. Exactly one of the ids is there. */
      readonly kind: 'work.paused';
      readonly planId?: string;
      readonly sweepId?: string;
      readonly trialId?: string;
      readonly runId?: string;
      readonly reason: string;
    }
  | {
      /** By `priority`: it has another from the next placement on. Exactly one of the ids is there. */
      readonly kind: 'work.prioritised';
      readonly planId?: string;
      readonly sweepId?: string;
      readonly trialId?: string;
      readonly runId?: string;
      readonly priority: number;
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
      readonly labels?: Readonly<Record<string, string>>;
      /** Of its device; absent in journals of earlier releases. */
      readonly memoryBytes?: number;
      /** How many devices it computes on; absent: one. */
      readonly deviceCount?: number;
      /** Workers of one id share a device; absent in journals of earlier releases, in which none did. */
      readonly deviceId?: string;
      /** Digest of the code that decides the bits of its results; absent in journals of earlier releases. */
      readonly code?: string;
      readonly host: string;
      readonly pid: number;
      readonly version: string;
      readonly metricsEndpoint: string;
      readonly podUid: string;
      /** When the process began; absent in journals of earlier releases. */
      readonly startedAtMs?: number;
      readonly reason: string;
    }
  | {
      readonly kind: 'worker.draining';
      readonly workerId: string;
      readonly reason: string;
      /** By `drain`, and not by the worker: it may be taken back. */
      readonly byRequest?: true;
    }
  | {
      /** By `drain --undo`: the worker gets work again. */
      readonly kind: 'worker.undrained';
      readonly workerId: string;
      readonly reason: string;
    }
  | {
      readonly kind: 'worker.lost';
      readonly workerId: string;
      readonly incarnation: string;
      readonly reason: string;
      /** Absent in journals of earlier releases. */
      readonly cause?: LossCause;
      /** When its time ended, where that is not now: nothing was decided since, and nobody knows of it. */
      readonly goneAtMs?: number;
      /** What it did with its time since the last `worker.spent`, up to its end. */
      readonly spent?: TimeSpent;
    }
  | ({
      /** What a process did with its time. */
      readonly kind: 'worker.spent';
      readonly workerId: string;
      readonly incarnation: string;
    } & TimeSpent)
);

/** Of the timeline of a process what lies between the event before and `until`. */
export interface TimeSpent {
  /** Seconds since it began. */
  readonly until: number;
  readonly entries: readonly TimeEntry[];
}

/** Equal calls that were refused. */
export interface RefusedCalls {
  /** Whose token it was; absent where there was none, or nobody knows it. */
  readonly token?: Caller;
  readonly method: string;
  /** none, unknown, expired, revoked or role: `REFUSALS` of core/net/grpc-access.ts. */
  readonly reason: string;
  readonly count: number;
}

/** Candidates that a proposal passed over. */
export interface Skipped {
  readonly count: number;
  /** Why the first of them was. */
  readonly firstReason: string;
}

/** The events of one kind. */
export type EventOf<K extends Event['kind']> = Extract<Event, { kind: K }>;
/** An event before it has its time, as a decision makes it. */
export type Decided = Event extends infer E ? (E extends { atMs: number } ? Omit<E, 'atMs'> : never) : never;
