// What a setting of `bench:kd` is, and what its networks reach. Pure.

import type { DataSpec } from '../../core/spec/data.ts';
import type { JudgedPairs } from '../../core/verify/paired-difference.ts';

/**
 * Students without a teacher, of its last stage, and of a further stage in each epoch: stage e+1 in epoch e, or
 * ceil((e+1) S/E) of a teacher of S stages that trains longer than their E epochs.
 */
export const ARMS = ['none', 'single-step', 'multi-step'] as const;
/** One of these. */
export type Arm = (typeof ARMS)[number];

/** What is trained and on what. */
export interface KdSetting {
  readonly data: DataSpec;
  /** Of the students. */
  readonly epochs: number;
  readonly teacherEpochs: number;
  readonly seeds: number;
  /** Seeds that the teacher is trained with; the first one teaches, and all are held against the gate. */
  readonly teachers: number;
  readonly batch: number;
  readonly pairs: number;
  /** Size of the students' embeddings; another one than the teacher's is compared through a linear adapter. */
  readonly embedding: number;
  /** Weight of the distillation term. */
  readonly weight: number;
}

/** What a network reached on the held-out people. */
export interface Reached {
  /** Percent. */
  readonly accuracy: number;
  readonly auc: number;
  readonly judged: JudgedPairs;
}

/** All networks of a setting; students by seed, from 1. */
export interface KdResult {
  readonly teacher: Reached;
  /** The teacher's accuracy at the end of each stage that a student learns from, percent. */
  readonly stages: readonly number[];
  /** Accuracies of the teacher by seed, from 1, percent. */
  readonly teachers: readonly number[];
  readonly students: readonly Readonly<Record<Arm, Reached>>[];
}
