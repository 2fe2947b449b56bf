// The class-sharded head of a run on this worker: the class shards that it holds, their weights and momenta
// by row, and the update that waits until its step is committed. Decides how class shards are cut out of a
// checkpoint's `head.kernel` and put back into it, and when an update takes effect.
//
// The update waits because a step can be given up between the gradients of the classes and the sum over the
// shards. `pendingRate` is set when all gradients are there; `commitHead` applies them. A member that hears
// from the others that they have committed the step can therefore commit it too, without computing anything
// again (core/head/holders.ts, `pending`).

import { type ClassRange, classRange, sampledCount } from '../../core/head/classes.ts';
import { putRows, type RowsUpdate, takeRows } from '../../core/head/rows.ts';
import { letGoOfShared, sharedFloats } from '../../core/shared-memory.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { RowsSpec } from '../compute/messages.ts';

/** One class shard, a row for each class; all in shared memory. */
export interface ClassShard {
  readonly range: ClassRange;
  /** [count, E] */
  readonly weights: Float32Array;
  /** [count, E] */
  readonly momentum: Float32Array;
  /** [n, E], the weights of the classes that take part in the step; `weights` itself when all do. */
  readonly rows: Float32Array;
  /** [n, E], the gradient of those. */
  readonly gradient: Float32Array;
  /** Places in the shard of the classes that take part, ascending. */
  chosen: Uint32Array;
}

export interface Head {
  readonly spec: RunSpec;
  readonly classes: number;
  readonly embedding: number;
  /** V: class shards, as many as the run has shards. */
  readonly shards: number;
  /** B: images of a step. */
  readonly batch: number;
  /** Class shards held here, by number. */
  readonly held: Map<number, ClassShard>;
  /** Class shards that this worker is to hold in its generation. */
  wanted: readonly number[];
  /** Committed steps of the class shards held; -1 when none are. */
  step: number;
  /**
   * Learning rate of the update whose gradients are computed and which is not committed; undefined when there
   * is none.
   */
  pendingRate: number | undefined;
}

/** A whole head, as a checkpoint holds it. */
export interface WholeHead {
  /** [E, classes] */
  readonly weights: Float32Array;
  /** [E, classes] */
  readonly momentum: Float32Array;
}

export function createHead(spec: RunSpec, classes: number): Head {
  return {
    spec,
    classes,
    embedding: spec.network.embedding,
    shards: spec.training.shards,
    batch: spec.training.batch,
    held: new Map(),
    wanted: [],
    step: -1,
    pendingRate: undefined,
  };
}

/** Number n of classes of a shard that take part in a step. */
export function rowsInStep(head: Head, range: ClassRange): number {
  const { negatives = 1 } = head.spec.training;
  return sampledCount({ count: range.count, batch: head.batch, negatives });
}

export const rangeOf = (head: Head, shard: number): ClassRange =>
  classRange(head.classes, head.shards, shard);

/** How the rows of a class shard are chosen and moved. */
export function rowsSpecOf(head: Head, shard: number): RowsSpec {
  const range = rangeOf(head, shard);
  const { embedding, spec } = head;
  const shape = { count: range.count, embedding, chosen: rowsInStep(head, range) };
  return { kind: 'rows', shape, optimizer: spec.training.optimizer };
}

/** A class shard of zeros. */
export function emptyShard(head: Head, shard: number): ClassShard {
  const range = rangeOf(head, shard);
  const size = rowsInStep(head, range);
  const weights = sharedFloats(range.count * head.embedding);
  return {
    range,
    weights,
    momentum: sharedFloats(weights.length),
    rows: size === range.count ? weights : sharedFloats(size * head.embedding),
    gradient: sharedFloats(size * head.embedding),
    chosen: new Uint32Array(),
  };
}

/** Takes the wanted class shards out of a whole head. */
export function holdFrom(head: Head, whole: WholeHead, step: number): void {
  dropShards(head);
  const { classes } = head;
  for (const shard of head.wanted) {
    const own = emptyShard(head, shard);
    takeRows({ kernel: whole.weights, rows: own.weights, classes, range: own.range });
    takeRows({ kernel: whole.momentum, rows: own.momentum, classes, range: own.range });
    head.held.set(shard, own);
  }
  head.step = step;
}

/** Puts a shard's rows into a whole head. */
export function placeRows(
  head: Head,
  whole: WholeHead,
  { range, ...rows }: Pick<ClassShard, 'range' | 'weights' | 'momentum'>,
): void {
  const { classes } = head;
  putRows({ kernel: whole.weights, rows: rows.weights, classes, range });
  putRows({ kernel: whole.momentum, rows: rows.momentum, classes, range });
}

/** Moves one class shard by its gradient. */
export type MoveRows = (
  shard: number,
  own: Pick<ClassShard, 'weights' | 'momentum' | 'chosen' | 'gradient'>,
  update: Pick<RowsUpdate, 'scale' | 'learningRate' | 'optimizer' | 'step'>,
) => Promise<void>;

/** Commits the step whose update is pending: applies it to all class shards held. */
export async function commitHead(head: Head, move: MoveRows): Promise<void> {
  const { optimizer } = head.spec.training;
  const learningRate = head.pendingRate;
  if (learningRate === undefined) throw new Error(`assertion: step ${head.step} has no update of the head`);
  head.pendingRate = undefined;
  const { step } = head;
  const update = { scale: 1 / head.shards, learningRate, optimizer, step };
  await Promise.all(
    [...head.held].map(([shard, { weights, momentum, chosen, gradient }]) =>
      move(shard, { weights, momentum, chosen, gradient }, update),
    ),
  );
  head.step = step + 1;
}

/** Frees all class shards but these. */
export function dropShards(head: Head, keep: readonly number[] = []): void {
  for (const [shard, own] of head.held) {
    if (keep.includes(shard)) continue;
    head.held.delete(shard);
    letGoOfShared(
      own.weights.byteLength +
        own.momentum.byteLength +
        own.gradient.byteLength +
        (own.rows === own.weights ? 0 : own.rows.byteLength),
    );
  }
  if (head.held.size > 0) return;
  head.step = -1;
  head.pendingRate = undefined;
}
