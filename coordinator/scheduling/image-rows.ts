// Whether workers keep the embeddings of single images, so that epochs and orders which learn from one stage share
// them. Decides by counting passes: those of all orders over a stage against one for an image and one for its mirror
// image, and by the room that the rows of a stage need. Workers have each other's rows where the fleet shares; where it
// does not, each computes for itself what its batches lack, which is far more. Pure; whether the rows of a network
// allow it is proven on the worker.

import { sharesOverFleet, type TeacherSchedule, teacherStageFor } from '../../core/spec/distillation.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import { rowsBytesOf } from '../../core/spec/share.ts';
import { formatBytes } from '../../core/text/bytes-text.ts';
import { ordersOf } from '../model/orders.ts';
import { type RunState, type State, wholeRunWith } from '../model/state.ts';

/** One order of a teacher's students. */
export interface TaughtOrder extends Pick<RunSpec, 'training'> {
  readonly schedule: TeacherSchedule;
}

/** What is known where it is decided. */
export interface RowsQuestion {
  /** Orders of the same teacher and data, each once. */
  readonly orders: readonly TaughtOrder[];
  readonly teacherStages: number;
  /** Workers that compute embeddings, and whether they have each other's rows. */
  readonly workers: number;
  readonly isShared: boolean;
  /** Images of the training split. */
  readonly images: number;
  /** Size of the teacher's embeddings. */
  readonly embedding: number;
  /** What a worker may keep. */
  readonly bytesMax: number;
}

/** The count of passes. */
export interface RowsCount {
  readonly isWorthIt: boolean;
  /** Passes over the images, all stages together; by image about so many where workers do not share. */
  readonly byBatch: number;
  readonly byImage: number;
  readonly orders: number;
  /** Bytes of the rows of a stage. */
  readonly bytes: number;
}

/** The count for a teacher's open orders. */
export function countRows(question: RowsQuestion): RowsCount {
  const { orders, workers, isShared, images, embedding, bytesMax } = question;
  /** By stage: images of a shard in each epoch that learns from it. */
  const uses = new Map<number, number[]>();
  for (const { schedule, training } of orders)
    for (let epoch = 0; epoch < training.epochs; epoch++) {
      const { epochs } = training;
      const stage = teacherStageFor({ schedule, epochs, teacherStages: question.teacherStages, epoch });
      uses.set(stage, [...(uses.get(stage) ?? []), training.batch / training.shards]);
    }
  const flips = orders.some(({ training }) => training.flip) ? 2 : 1;
  const bytes = rowsBytesOf({ images, flips, embedding });
  let [byBatch, byImage] = [0, 0];
  for (const batches of uses.values()) {
    byBatch += batches.length;
    byImage +=
      isShared || workers === 1 ? Math.min(batches.length, flips) : passesApart(batches, { workers, flips });
  }
  return {
    isWorthIt: byImage < byBatch && bytes <= bytesMax,
    ...{ byBatch, byImage, orders: orders.length, bytes },
  };
}

/**
 * Passes over the images of workers that keep what they compute, each for itself, where in each epoch an image falls to
 * one of them by chance. `batches`: images b of a shard, of each epoch. A batch costs a pass as soon as one of its
 * images lacks its row: one that this worker has never had, or only the other way round. A pass also computes the other
 * rows of its images, as far as it has room.
 */
function passesApart(
  batches: readonly number[],
  { workers, flips }: { readonly workers: number; readonly flips: 1 | 2 },
): number {
  /** Shares of the images of which a worker has no row, or one of two. */
  let [none, half] = [1, 0];
  let passes = 0;
  for (const batch of batches) {
    const lacks = flips === 1 ? none : none + half / 2;
    const isPassed = 1 - (1 - lacks) ** batch;
    /** As many other rows are missing as rows. */
    const filled = flips === 1 ? 1 : Math.min(1, (1 - lacks) / lacks);
    passes += isPassed;
    half += (none * (1 - filled) - half * (0.5 + 0.5 * isPassed * filled)) / workers;
    none *= 1 - 1 / workers;
  }
  return passes;
}

/** The count as one sentence's part. */
export function rowsText({ byBatch, byImage, orders, bytes }: RowsCount, bytesMax: number): string {
  const of = orders === 1 ? 'one order' : `${orders} orders`;
  return `by image ${passesText(byImage)} passes over the images in place of ${byBatch} (${of}); the rows of a stage take ${formatBytes(bytes)} of ${formatBytes(bytesMax)}`;
}

const passesText = (passes: number): string => String(Number(passes.toFixed(1)));

/** Whether the workers of a run keep rows, and why; `reason`: part of a sentence. */
export type RowsJudgement =
  | { readonly kind: 'kept'; readonly bytesMax: number; readonly reason: string }
  | { readonly kind: 'not kept'; readonly reason: string };

/** What the workers of a run may keep, and why. */
export type KeptRows = Pick<Extract<RowsJudgement, { kind: 'kept' }>, 'bytesMax' | 'reason'>;

/** For a run on so many workers; undefined: they compute each batch. */
export function rowsKeptFor(
  state: State,
  run: RunState,
  of: { readonly workers: number; readonly bytesMax: number },
): KeptRows | undefined {
  const judged = judgeRows(state, run, of);
  return judged?.kind === 'kept' ? { bytesMax: judged.bytesMax, reason: judged.reason } : undefined;
}

/** For a run on so many workers; undefined for one that has no teacher. */
export function judgeRows(
  state: State,
  run: RunState,
  { workers, bytesMax }: { readonly workers: number; readonly bytesMax: number },
): RowsJudgement | undefined {
  const { distillation } = run.job;
  const count = rowsCountOf(state, run, { workers, bytesMax });
  if (distillation === undefined || count === undefined) return undefined;
  const { embed } = distillation;
  if (embed === 'by-image')
    return { kind: 'kept', bytesMax, reason: `asked for, ${rowsText(count, bytesMax)}` };
  if (embed !== 'by-batch' && count.isWorthIt)
    return { kind: 'kept', bytesMax, reason: rowsText(count, bytesMax) };
  return { kind: 'not kept', reason: reasonAgainst(count, { isAsked: embed === 'by-batch', bytesMax }) };
}

function reasonAgainst(
  { byBatch, byImage, bytes }: RowsCount,
  { isAsked, bytesMax }: { readonly isAsked: boolean; readonly bytesMax: number },
): string {
  if (isAsked) return 'as it asks';
  if (byImage >= byBatch)
    return `by image it would be ${passesText(byImage)} passes over the images, and it is ${byBatch}`;
  return `${byBatch} passes over the images, which would be ${passesText(byImage)} by image, but the rows of a stage take ${formatBytes(bytes)} and a worker keeps at most ${formatBytes(bytesMax)}`;
}

/** The count for a student or an embedding run; undefined for one without a teacher. */
export function rowsCountOf(
  state: State,
  run: RunState,
  { workers, bytesMax }: { readonly workers: number; readonly bytesMax: number },
): RowsCount | undefined {
  const teacher = run.teacherRunId === undefined ? undefined : wholeRunWith(state, run.teacherRunId);
  if (teacher === undefined) return undefined;
  const orders = ordersOf(state, teacher, run);
  return countRows({
    ...{ orders, workers, bytesMax, isShared: sharesOverFleet(run.job.distillation) },
    teacherStages: teacher.job.training.epochs,
    images: run.facts.trainingImages,
    embedding: teacher.job.network?.embedding ?? 0,
  });
}
