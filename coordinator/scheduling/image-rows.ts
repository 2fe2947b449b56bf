// Whether workers keep the embeddings of single images, so that epochs and orders which learn from one stage share them.
// Decides by counting passes: those of all orders over a stage against one for an image and one for its mirror image on
// each worker that computes, and by the room that the rows of a stage need. Pure; whether the rows of a network
// allow it is proven on the worker.

import { type TeacherSchedule, teacherStageFor } from '../../core/spec/distillation.ts';
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
  /** Workers that compute embeddings. */
  readonly workers: number;
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
  /** Passes over the images, all stages together. */
  readonly byBatch: number;
  readonly byImage: number;
  readonly orders: number;
  /** Bytes of the rows of a stage. */
  readonly bytes: number;
}

/** The count for a teacher's open orders. */
export function countRows(question: RowsQuestion): RowsCount {
  const { orders, workers, images, embedding, bytesMax } = question;
  const uses = new Map<number, number>();
  for (const { schedule, training } of orders)
    for (let epoch = 0; epoch < training.epochs; epoch++) {
      const { epochs } = training;
      const stage = teacherStageFor({ schedule, epochs, teacherStages: question.teacherStages, epoch });
      uses.set(stage, (uses.get(stage) ?? 0) + 1);
    }
  const flips = orders.some(({ training }) => training.flip) ? 2 : 1;
  const bytes = rowsBytesOf({ images, flips, embedding });
  let [byBatch, byImage] = [0, 0];
  for (const count of uses.values()) {
    byBatch += count;
    byImage += Math.min(count, flips * workers);
  }
  return {
    isWorthIt: byImage < byBatch && bytes <= bytesMax,
    ...{ byBatch, byImage, orders: orders.length, bytes },
  };
}

/** The count as one sentence's part. */
export function rowsText({ byBatch, byImage, orders, bytes }: RowsCount, bytesMax: number): string {
  const of = orders === 1 ? 'one order' : `${orders} orders`;
  return `by image ${byImage} passes over the images in place of ${byBatch} (${of}); the rows of a stage take ${formatBytes(bytes)} of ${formatBytes(bytesMax)}`;
}

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
    return `by image it would be ${byImage} passes over the images, and it is ${byBatch}`;
  return `${byBatch} passes over the images, which would be ${byImage} by image, but the rows of a stage take ${formatBytes(bytes)} and a worker keeps at most ${formatBytes(bytesMax)}`;
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
    ...{ orders, workers, bytesMax },
    teacherStages: teacher.job.training.epochs,
    images: run.facts.trainingImages,
    embedding: teacher.job.network?.embedding ?? 0,
  });
}
