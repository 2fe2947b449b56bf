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

/** What the workers of a run may keep, and why. */
export interface KeptRows {
  readonly bytesMax: number;
  readonly reason: string;
}

/** For a run on so many workers; undefined: they compute each batch. */
export function rowsKeptFor(
  state: State,
  run: RunState,
  { workers, bytesMax }: { readonly workers: number; readonly bytesMax: number },
): KeptRows | undefined {
  const { distillation } = run.job;
  if (distillation === undefined || distillation.embed === 'by-batch') return undefined;
  if (bytesMax === 0 && distillation.embed === undefined) return undefined;
  const count = rowsCountOf(state, run, { workers, bytesMax });
  if (count === undefined) return undefined;
  const isAsked = distillation.embed === 'by-image';
  if (!isAsked && !count.isWorthIt) return undefined;
  return { bytesMax, reason: `${isAsked ? 'asked for, ' : ''}${rowsText(count, bytesMax)}` };
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
