// When things happen in a run: which global positions a step covers, where epochs and stages end, the learning rate.
// Pure arithmetic on the spec and the number of training images; both programs use it, so they cannot disagree.
//
// Positions: step s covers global positions s*B .. (s+1)*B-1; position p belongs to epoch floor(p/N) and is that epoch's
// permutation at p mod N. Steps may straddle two epochs, so every image of every epoch is counted in exactly one step and
// none is dropped or repeated to fill a batch. The last step may run into the epoch after the last.

import type { TrainingSpec } from './spec.ts';

export interface Schedule {
  /** N: training images. */
  readonly images: number;
  /** B: images a step. */
  readonly batch: number;
  /** V: shards a step; each takes B/V consecutive positions. */
  readonly shards: number;
  readonly epochs: number;
  readonly stepsTotal: number;
}

export function scheduleOf(training: TrainingSpec, images: number): Schedule {
  return {
    images,
    batch: training.batch,
    shards: training.shards,
    epochs: training.epochs,
    stepsTotal: Math.ceil((training.epochs * images) / training.batch),
  };
}

/** 0-based epoch of a step's first image; the learning rate and the teacher's stage follow from it. Below `epochs`. */
export function epochOfStep(schedule: Schedule, step: number): number {
  return Math.min(schedule.epochs - 1, Math.floor((step * schedule.batch) / schedule.images));
}

/** Steps committed when stage k (1-based: k epochs) is complete; the checkpoint of stage k is the state after that many steps. */
export function stepsAtStage(schedule: Schedule, stage: number): number {
  return Math.min(schedule.stepsTotal, Math.ceil((stage * schedule.images) / schedule.batch));
}

/**
 * The stage whose checkpoint is the state after `steps` committed steps, or 0. With N < B several stages would end together
 * (the highest is given); submit refuses such a run, so that every stage has a checkpoint.
 */
export function stageEndingAt(schedule: Schedule, steps: number): number {
  const stage = Math.min(schedule.epochs, Math.floor((steps * schedule.batch) / schedule.images));
  return stage >= 1 && stepsAtStage(schedule, stage) === steps ? stage : 0;
}

/** Whether a step follows the first state or a checkpoint: what a checkpoint does not hold begins anew with it. */
export function beginsStage(schedule: Schedule, step: number): boolean {
  return step === 0 || stageEndingAt(schedule, step) > 0;
}

/** Rate in an epoch: constant within it, times gamma from each milestone on (reference, training recipe). */
export function learningRateAt(training: TrainingSpec, epoch: number): number {
  const passed = training.optimizer.milestones.filter((milestone) => epoch >= milestone).length;
  return training.optimizer.learningRate * training.optimizer.gamma ** passed;
}

/** Teacher stage that a student needs in `epoch`; a student that trains longer than its teacher stays with the last one. */
export function teacherStageFor(options: {
  schedule: 'multi-step' | 'single-step';
  epoch: number;
  teacherStages: number;
}): number {
  return options.schedule === 'single-step'
    ? options.teacherStages
    : Math.min(options.epoch + 1, options.teacherStages);
}
