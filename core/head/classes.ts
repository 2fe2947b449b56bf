// Which classes a class shard has, and which of them take part in a step. The classes are cut into V
// contiguous shards, one for each logical shard of the run, so that they move with it. Decides ranges and the
// sample of negative classes (partial FC: An et al., 2022, arXiv:2203.15565): all classes of the batch, then
// a random choice of the others that depends on (seed, step, shard) alone, so that every holder of the shard
// draws the same.

import { FleetError } from '../errors.ts';
import { negativeDraws } from '../rng.ts';

/**
 * More classes than a run with a sharded head can have, because labels travel as float32. With 29 bits of a
 * draw a key is an exact double.
 */
const PLACES = 2 ** 24;

/** Classes [first, first + count). */
export interface ClassRange {
  readonly first: number;
  readonly count: number;
}

/** The shape for which a class shard's part in a step is compiled. */
export interface HeadShape {
  /** B: images of a step. */
  readonly batch: number;
  /** V: class shards. */
  readonly shards: number;
  readonly embedding: number;
  /** n: classes of the shard that take part in a step. */
  readonly classes: number;
  readonly loss: { readonly scale: number; readonly margin: number };
}

/** Statistics of a class shard for each image: maximum, sum of exponents, and the target's logit or 0. */
export const STATISTICS = 3;

/**
 * Throws when the classes cannot be cut into so many shards; the message begins with the field of the spec.
 */
export function assertClassesDivide(classes: number, shards: number): void {
  const refuse = (what: string): never => {
    throw new FleetError('invalidArgument', `training.head: ${what}; use head: graph`, {
      details: { field: 'training.head' },
    });
  };
  // A part of one class has no softmax.
  if (classes < 2 * shards) refuse(`${classes} classes in ${shards} shards are fewer than two a shard`);
  if (classes >= PLACES)
    refuse(
      `${classes} classes are too many to be cut into shards, whose labels travel as float32; ${PLACES - 1} are possible`,
    );
}

/** Classes of a shard; sizes of shards differ by at most one. */
export function classRange(classes: number, shards: number, shard: number): ClassRange {
  const first = Math.floor((shard * classes) / shards);
  return { first, count: Math.floor(((shard + 1) * classes) / shards) - first };
}

/**
 * Classes of a shard that take part in each step: the fraction, but never fewer than could be the batch's
 * own. The number is the same in all steps, because a compiled graph has one shape.
 */
export function sampledCount(options: {
  readonly count: number;
  /** B. */
  readonly batch: number;
  /** In (0, 1]. */
  readonly negatives: number;
}): number {
  const { count, batch, negatives } = options;
  return Math.min(count, Math.max(Math.ceil(negatives * count), Math.min(batch, count)));
}

/** The classes that take part, as places in the shard, ascending; all of them when `size` is their number. */
export function sampleClasses(options: {
  readonly range: ClassRange;
  /** From sampledCount. */
  readonly size: number;
  /** Of the whole batch. */
  readonly labels: Int32Array;
  readonly seed: number;
  readonly step: number;
  readonly shard: number;
}): Uint32Array {
  const { range, size, labels, seed, step, shard } = options;
  if (size === range.count) return Uint32Array.from({ length: size }, (_, i) => i);
  const chosen = new Set<number>();
  for (const label of labels) if (isIn(range, label)) chosen.add(label - range.first);
  // Each class draws a number; the lowest are in. The place in the low bits tells apart those that draw the
  // same.
  const draws = negativeDraws({ seed, step, shard, count: range.count });
  const keys = Float64Array.from(draws, (word, place) => (word >>> 3) * PLACES + place).sort();
  for (const key of keys) {
    if (chosen.size >= size) break;
    chosen.add(key % PLACES);
  }
  return Uint32Array.from(chosen).sort();
}

/** Place of each label among the classes that take part, -1 for labels of other shards. */
export function placesOf(labels: Int32Array, range: ClassRange, chosen: Uint32Array): Int32Array {
  if (chosen.length === range.count)
    return labels.map((label) => (isIn(range, label) ? label - range.first : -1));
  const places = new Map<number, number>();
  chosen.forEach((place, i) => {
    places.set(place, i);
  });
  return labels.map((label) => places.get(label - range.first) ?? -1);
}

const isIn = ({ first, count }: ClassRange, label: number): boolean =>
  label >= first && label < first + count;
