// The phases of a run on this worker. Decides which phase follows when a wait begins or ends, and the
// sentence that people read of each.

import type { TimePhase } from '../../core/worker-time.ts';

export type Phase =
  /** Opens the data, builds the network, compiles its step. */
  | { readonly kind: 'preparing' }
  /** Agrees with the other members on the newest step and gets its state. */
  | { readonly kind: 'joining'; readonly generation: number; readonly members: number }
  | { readonly kind: 'training'; readonly generation: number; readonly step: number }
  /** Computes a teacher's embeddings for students. */
  | { readonly kind: 'embedding'; readonly generation: number }
  /** Stores where it stands, to be released. */
  | { readonly kind: 'pausing'; readonly generation: number; readonly step: number }
  /** A student whose teacher has not stored the stage it needs. */
  | { readonly kind: 'waiting'; readonly teacherRunId: string; readonly stage: number }
  /** Something has to be stored or read, and the broker's store is full or does not answer. */
  | { readonly kind: 'storing'; readonly reason: string }
  | { readonly kind: 'evaluating' }
  /** All steps are committed; the state is kept for slower members until the run is released. */
  | { readonly kind: 'holding'; readonly step: number }
  /** The failure is reported; only the lease is kept until the run is released or assigned anew. */
  | { readonly kind: 'failed'; readonly reason: string };

export function sentenceOf(phase: Phase): string {
  switch (phase.kind) {
    case 'preparing':
      return 'opening the data and compiling the step';
    case 'joining':
      return `joining generation ${phase.generation} of ${phase.members} worker${phase.members === 1 ? '' : 's'}`;
    case 'training':
      return `training in generation ${phase.generation} from step ${phase.step}`;
    case 'embedding':
      return `embedding in generation ${phase.generation} for the students of its order`;
    case 'pausing':
      return `pausing in generation ${phase.generation} at step ${phase.step}`;
    case 'waiting':
      return `waiting for stage ${phase.stage} of teacher ${phase.teacherRunId}`;
    case 'storing':
      return `waiting for the store: ${phase.reason}`;
    case 'evaluating':
      return 'verifying on held-out identities';
    case 'holding':
      return `holds the state after step ${phase.step} until it is released`;
    case 'failed':
      return `failed: ${phase.reason}`;
  }
}

/** What the time of a run in this phase goes into when nothing within it has begun. */
export function restOf(phase: Phase): TimePhase {
  switch (phase.kind) {
    case 'preparing':
      return 'prepare';
    case 'training':
      return 'compute';
    case 'embedding':
      return 'teacher_wait';
    case 'pausing':
      return 'paused';
    case 'waiting':
      return 'teacher_wait';
    case 'storing':
      return 'checkpoint';
    case 'evaluating':
      return 'evaluate';
    case 'joining':
    case 'holding':
      return 'reduce_wait';
    case 'failed':
      return 'idle';
  }
}

/** Where a run stands: its phase, and the phase that a wait for the store has interrupted. */
export interface Standing {
  readonly phase: Phase;
  readonly interrupted: Phase | undefined;
}

export const standingIn = (phase: Phase): Standing => ({ phase, interrupted: undefined });

/** A new phase. What a wait for the store interrupted stays known, because that wait may go on beside it. */
export const entered = ({ interrupted }: Standing, phase: Phase): Standing => ({ phase, interrupted });

/**
 * A wait for a teacher's stage has begun, or is over when `stage` is undefined. The training that it held up
 * then goes on.
 */
export function teacherAwaited(
  standing: Standing,
  wait: {
    readonly stage: number | undefined;
    readonly teacherRunId: string;
    readonly generation: number;
    /** Committed steps. */
    readonly step: number;
    /** What goes on when the wait is over. */
    readonly then?: 'training' | 'embedding';
  },
): Standing {
  const { stage, teacherRunId, generation, step, then = 'training' } = wait;
  if (stage !== undefined) return entered(standing, { kind: 'waiting', teacherRunId, stage });
  return standing.phase.kind === 'waiting' ? entered(standing, { kind: then, generation, step }) : standing;
}

/**
 * A wait for the store has begun, or is over when `reason` is undefined. The phase before it comes back,
 * unless the run has entered another one meanwhile: a generation may end while its checkpoint waits.
 */
export function storeAwaited({ phase, interrupted }: Standing, reason: string | undefined): Standing {
  if (reason !== undefined) return { phase: { kind: 'storing', reason }, interrupted: interrupted ?? phase };
  if (interrupted === undefined) return { phase, interrupted };
  return standingIn(phase.kind === 'storing' ? interrupted : phase);
}

/** Why the run waits for the store; undefined when it does not. */
export const reasonOfWait = (phase: Phase): string | undefined =>
  phase.kind === 'storing' ? phase.reason : undefined;
