// When things happen in a run: which global positions a step covers, where epochs and stages end, the
// learning rate. Pure arithmetic on the spec and the number of training images. Both programs use it, so they
// cannot disagree.
//
// Positions: step s covers global positions s*B .. (s+1)*B-1; position p belongs to epoch floor(p/N) and is
// that epoch's permutation at p mod N. Steps may straddle two epochs, so every image of every epoch is
// counted in exactly one step and none is dropped or repeated to fill a batch. The last step may run into the
// epoch after the last.

import type { TrainingSpec } from './training.ts';

/** The numbers of a run that everything here follows from. */
export interface Schedule {
  /** N: training images. */
  readonly images: number;
  /** Images of the set that these are chosen from; absent: they are all. */
  readonly setImages?: number;
  /** B: images a step. */
  readonly batch: number;
  /** V: shards a step; each takes B/V consecutive positions. */
  readonly shards: number;
  readonly epochs: number;
  readonly stepsTotal: number;
  /**
   * Steps from one sum over the gang to the next: 1, or `every` of `sync: outer`. The last round of a stage
   * may be shorter.
   */
  readonly roundSteps: number;
}

/** How many of a set's training images a training is over; at least one. */
export const trainedImages = ({ fraction = 1 }: Pick<TrainingSpec, 'fraction'>, setImages: number): number =>
  Math.max(1, Math.round(fraction * setImages));

/** The schedule of a training over a set of so many training images. */
export function scheduleOf(training: TrainingSpec, setImages: number): Schedule {
  const images = trainedImages(training, setImages);
  return {
    images,
    ...(images === setImages ? {} : { setImages }),
    batch: training.batch,
    shards: training.shards,
    epochs: training.epochs,
    stepsTotal: Math.ceil((training.epochs * images) / training.batch),
    roundSteps: training.sync.kind === 'outer' ? training.sync.every : 1,
  };
}

/** The same schedule for a run that halts at the end of a stage, with that stage's steps as its total. */
export function haltedAt(schedule: Schedule, stage: number | undefined): Schedule {
  return stage === undefined ? schedule : { ...schedule, stepsTotal: stepsAtStage(schedule, stage) };
}

/**
 * 0-based epoch of a step's first image; the learning rate and the teacher's stage follow from it. Below
 * `epochs`.
 */
export function epochOfStep(schedule: Schedule, step: number): number {
  return Math.min(schedule.epochs - 1, Math.floor((step * schedule.batch) / schedule.images));
}

/**
 * Steps committed when stage k (1-based: k epochs) is complete; the checkpoint of stage k is the state after
 * that many steps.
 */
export function stepsAtStage(schedule: Schedule, stage: number): number {
  return Math.min(schedule.stepsTotal, Math.ceil((stage * schedule.images) / schedule.batch));
}

/**
 * The stage whose checkpoint is the state after `steps` committed steps; 0 where there is none. With N < B
 * several stages would end together, of which this is the highest; submit refuses such a run, so every stage
 * has a checkpoint.
 */
export function stageEndingAt(schedule: Schedule, steps: number): number {
  const stage = Math.min(schedule.epochs, Math.floor((steps * schedule.batch) / schedule.images));
  return stage >= 1 && stepsAtStage(schedule, stage) === steps ? stage : 0;
}

/**
 * Whether a step follows the first state or a checkpoint. State that a checkpoint does not hold begins anew
 * with it.
 */
export function beginsStage(schedule: Schedule, step: number): boolean {
  return step === 0 || stageEndingAt(schedule, step) > 0;
}

/**
 * Committed steps at the end of the round that begins after `steps`. A round ends with its stage at the
 * latest, because a checkpoint is a state between rounds. So all steps of a round have one epoch, one
 * learning rate and one teacher stage.
 */
export function roundEnd(schedule: Schedule, steps: number): number {
  const stage = epochOfStep(schedule, steps) + 1;
  return Math.min(steps + schedule.roundSteps, stepsAtStage(schedule, stage));
}

/** Rounds before a step at which a round begins. Without `sync: outer` a round is a step. */
export function roundsBefore(schedule: Schedule, steps: number): number {
  if (schedule.roundSteps === 1) return steps;
  let rounds = 0;
  let first = 0;
  for (const end of stageEnds(schedule)) {
    if (steps <= end) return rounds + Math.ceil((steps - first) / schedule.roundSteps);
    rounds += Math.ceil((end - first) / schedule.roundSteps);
    first = end;
  }
  return rounds;
}

/** Steps committed before a round: the inverse of `roundsBefore`. */
export function stepsBeforeRound(schedule: Schedule, round: number): number {
  if (schedule.roundSteps === 1) return round;
  let before = 0;
  let first = 0;
  for (const end of stageEnds(schedule)) {
    const rounds = Math.ceil((end - first) / schedule.roundSteps);
    if (round <= before + rounds) return Math.min(end, first + (round - before) * schedule.roundSteps);
    before += rounds;
    first = end;
  }
  return schedule.stepsTotal;
}

/** Steps committed at the end of each stage. */
function* stageEnds(schedule: Schedule): Generator<number> {
  for (let stage = 1; stage <= schedule.epochs; stage++) yield stepsAtStage(schedule, stage);
}

/**
 * Rate in an epoch, 0-based, and constant within it: times gamma from each milestone on (reference, training recipe),
 * or on a cosine from the first rate in epoch 0 towards `until` after the last (Loshchilov and Hutter, "SGDR", 2017,
 * eq. 5; the reference's search has it, facts 2.1).
 */
export function learningRateAt({ optimizer, epochs }: TrainingSpec, epoch: number): number {
  const { learningRate, milestones, gamma, until } = optimizer;
  if (until !== undefined)
    return until + ((learningRate - until) * (1 + Math.cos((Math.PI * epoch) / epochs))) / 2;
  return learningRate * gamma ** milestones.filter((milestone) => epoch >= milestone).length;
}
