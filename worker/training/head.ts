// The class-sharded head of a run on this worker: the class shards it holds, their rows and momenta, and the update that waits
// for its step to be committed. Decides how class shards begin, how they become a checkpoint's head.kernel and back; who holds
// which is core/head/holders.ts', what a step computes with them head-step.ts', how they travel head-gang.ts'.

import { type ClassRange, classRange, sampledCount } from '../../core/head/classes.ts';
import { putRows, takeRows } from '../../core/head/rows.ts';
import type { Layout } from '../../core/nn/layout.ts';
import { letGoOfShared, sharedFloats } from '../../core/shared-memory.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { Compute } from '../compute/client.ts';

/** Rows of one class shard; all in shared memory. */
export interface ClassShard {
  readonly range: ClassRange;
  /** [count, E] */
  readonly weights: Float32Array;
  /** [count, E] */
  readonly momentum: Float32Array;
  /** Of the classes that take part in a step: [n, E]. The weights themselves when all do. */
  readonly rows: Float32Array;
  /** [n, E] */
  readonly gradient: Float32Array;
  /** Places of the classes that take part, ascending. */
  chosen: Uint32Array;
}

export interface Head {
  readonly spec: RunSpec;
  readonly classes: number;
  readonly embedding: number;
  /** V. */
  readonly shards: number;
  /** B. */
  readonly batch: number;
  readonly held: Map<number, ClassShard>;
  /** Shards to be held in the generation that this worker is in. */
  wanted: readonly number[];
  /** Committed steps of what is held; -1 when it is nothing. */
  step: number;
  /** Rate of the update whose gradients are computed; undefined when there is none. */
  pendingRate: number | undefined;
}

/** A whole head, as a checkpoint has it. */
export interface WholeHead {
  /** [E, classes], as the layout has it. */
  readonly weights: Float32Array;
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

/** n of a class shard. */
export function rowsInStep(head: Head, range: ClassRange): number {
  const { negatives = 1 } = head.spec.training;
  return sampledCount({ count: range.count, batch: head.batch, negatives });
}

export const rangeOf = (head: Head, shard: number): ClassRange =>
  classRange(head.classes, head.shards, shard);

/** A class shard with zeros. */
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

/** Holds what is wanted of a whole head. */
export function holdFrom(head: Head, whole: WholeHead, step: number): void {
  letGo(head);
  const { classes } = head;
  for (const shard of head.wanted) {
    const own = emptyShard(head, shard);
    takeRows({ kernel: whole.weights, rows: own.weights, classes, range: own.range });
    takeRows({ kernel: whole.momentum, rows: own.momentum, classes, range: own.range });
    head.held.set(shard, own);
  }
  head.step = step;
}

/** The head in a checkpoint's vectors. */
export function headOf(
  layout: Layout,
  { weights, momentum }: { weights: Float32Array; momentum: Float32Array },
): WholeHead {
  return {
    weights: weights.subarray(layout.backboneCount),
    momentum: momentum.subarray(layout.backboneCount),
  };
}

function joined(backbone: Float32Array, head: Float32Array): Float32Array {
  const whole = new Float32Array(backbone.length + head.length);
  whole.set(backbone);
  whole.set(head, backbone.length);
  return whole;
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

/** A state as a checkpoint has it, from a member that holds all class shards. */
export function wholeState<T extends { readonly weights: Float32Array; readonly momentum: Float32Array }>(
  head: Head | undefined,
  replica: T,
): T {
  if (head === undefined) return replica;
  const length = head.classes * head.embedding;
  const whole = { weights: new Float32Array(length), momentum: new Float32Array(length) };
  for (const own of head.held.values()) placeRows(head, whole, own);
  return withHead(replica, whole);
}

/** A backbone's state with its head. */
export function withHead<T extends { readonly weights: Float32Array; readonly momentum: Float32Array }>(
  replica: T,
  whole: WholeHead,
): T {
  return {
    ...replica,
    weights: joined(replica.weights, whole.weights),
    momentum: joined(replica.momentum, whole.momentum),
  };
}

/** The step whose update is pending is committed. */
export async function commitHead(head: Head, compute: Compute): Promise<void> {
  const { optimizer } = head.spec.training;
  const learningRate = head.pendingRate;
  if (learningRate === undefined) throw new Error(`assertion: step ${head.step} has no update of the head`);
  head.pendingRate = undefined;
  const { step } = head;
  await Promise.all(
    [...head.held.values()].map(({ weights, momentum, chosen, gradient }) =>
      compute.updateRows({
        weights,
        momentum,
        chosen,
        gradient,
        scale: 1 / head.shards,
        learningRate,
        optimizer,
        step,
      }),
    ),
  );
  head.step = step + 1;
}

/** Forgets all shards but these. */
export function letGo(head: Head, keep: readonly number[] = []): void {
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
