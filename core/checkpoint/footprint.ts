// How many bytes of checkpoints a run takes in the store, at most, under its policy: what
// coordinator/decisions/retention.ts leaves, and the stage that is stored before the next decision. Pure.

import type { CheckpointPolicy } from '../spec/retention.ts';
import { BACKBONE, HEAD, OPTIMIZER } from './checkpoint-layout.ts';

const FLOAT_BYTES = 4;
/** An evaluation report with its pictures; measured 0.53 MB. */
const REPORT_BYTES = 600_000;

/** Numbers of values of a run's state. */
export interface StateCounts {
  /** Weights of the network without its head. */
  readonly backbone: number;
  /** Running statistics. */
  readonly running: number;
  /** Width of the embedding times classes. */
  readonly head: number;
}

/** Bytes of one checkpoint by part. */
export function partBytes({ backbone, running, head }: StateCounts): Record<string, number> {
  return {
    [BACKBONE]: (backbone + running) * FLOAT_BYTES,
    // SGD's momentum is one value for each weight.
    [OPTIMIZER]: (backbone + head) * FLOAT_BYTES,
    [HEAD]: head * FLOAT_BYTES,
  };
}

/** What is stored of a run when it takes the most room. */
export interface Footprint {
  /** Stages that are stored whole, one of them the newest, that no decision has seen. */
  readonly wholeStages: number;
  /** Stages of which the network alone is stored. */
  readonly networks: number;
  readonly bytes: number;
}

/**
 * The most that a run of this kind takes. `atOnce`: candidates of a sweep that train at the same time; `best`: those
 * that keep their checkpoint beside them.
 */
export function footprintOf(run: {
  readonly kind: 'teacher' | 'student' | 'candidate';
  readonly epochs: number;
  readonly policy: CheckpointPolicy | undefined;
  readonly counts: StateCounts;
  readonly atOnce?: number;
  readonly best?: number;
}): Footprint {
  const { kind, epochs, policy, counts, atOnce = 1, best = 1 } = run;
  const { [BACKBONE]: network = 0, ...state } = partBytes(counts);
  const whole = Object.values(state).reduce((sum, bytes) => sum + bytes, network);
  const atMost = (stages: number) => Math.min(epochs, stages);
  const made = (wholeStages: number, networks: number, reports: number): Footprint => ({
    wholeStages,
    networks,
    bytes: wholeStages * whole + networks * network + reports * REPORT_BYTES,
  });
  if (kind === 'candidate') return made(atOnce * atMost(2) + best, 0, atOnce + best);
  if (policy === 'all') return made(epochs, 0, 1);
  if (policy === 'last') return made(atMost(2), kind === 'teacher' ? epochs - atMost(2) : 0, 1);
  const every = typeof policy === 'object' ? Math.floor(epochs / policy.every) : 0;
  const wholeStages = atMost(every + 3);
  return made(wholeStages, kind === 'teacher' ? epochs - wholeStages : 0, 1);
}
