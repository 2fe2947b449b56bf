// The one door to chance. There are two kinds: draws that follow from a seed, which enter results, and values
// that follow from no seed, which never do (tokens, ids, jitter). Decides how seeds and purposes become keys
// and counters.
//
// Seeded draws are Philox4x32-10, a counter-based generator (Salmon, Moraes, Dror, Shaw: "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011). A draw is a pure function of (key, counter): any worker can compute
// any draw at any time, and nothing depends on how many were drawn before.

import { randomBytes, randomUUID } from 'node:crypto';

/** An id that no other process has: a random UUID. */
export const randomId = (): string => randomUUID();

/** `bytes` unpredictable bytes as hex digits, for tokens and names of files. */
export const randomHex = (bytes: number): string => randomBytes(bytes).toString('hex');

/**
 * A number in [0, 1) that follows from no seed, for what must differ between processes and never enters a
 * result, such as the wait before another attempt.
 */
export const systemChance = (): number => Math.random();

/** Two 32-bit words: seed and a hash of the purpose. */
export type Key = readonly [number, number];
/** Four 32-bit words that number the draw. */
export type Counter = readonly [number, number, number, number];

const MULTIPLIER_A = 0xd2511f53;
const MULTIPLIER_B = 0xcd9e8d57;
const WEYL_A = 0x9e3779b9;
const WEYL_B = 0xbb67ae85;
const ROUNDS = 10;

/**
 * Ten rounds of Philox4x32: four uniform 32-bit words for a key and a counter, written into `into`, which hot
 * loops reuse.
 */
export function philox(key: Key, counter: Counter, into: Uint32Array = new Uint32Array(4)): Uint32Array {
  let [c0, c1, c2, c3] = counter as [number, number, number, number];
  let [k0, k1] = key as [number, number];
  for (let round = 0; round < ROUNDS; round++) {
    const highA = multiplyHigh(MULTIPLIER_A, c0);
    const lowA = Math.imul(MULTIPLIER_A, c0);
    const highB = multiplyHigh(MULTIPLIER_B, c2);
    const lowB = Math.imul(MULTIPLIER_B, c2);
    c0 = highB ^ c1 ^ k0;
    c1 = lowB;
    c2 = highA ^ c3 ^ k1;
    c3 = lowA;
    k0 = (k0 + WEYL_A) | 0;
    k1 = (k1 + WEYL_B) | 0;
  }
  into[0] = c0;
  into[1] = c1;
  into[2] = c2;
  into[3] = c3;
  return into;
}

/**
 * Upper 32 bits of the 64-bit product of two unsigned words, from 16-bit halves: a BigInt costs fifty times
 * as much.
 */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + (middle >>> 16) + (carry >>> 16)) | 0;
}

/** FNV-1a over the UTF-16 units of a purpose, from a chosen basis: it separates the streams of one seed. */
function hashName(name: string, basis: number): number {
  let hash = basis;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

const BASIS_A = 0x811c9dc5;
const BASIS_B = 0x2f0b4c47;

/** A double in [0, 1) with 53 random bits, from two words. */
const toUnit = (high: number, low: number): number => ((high >>> 5) * 0x4000000 + (low >>> 6)) / 2 ** 53;

/**
 * `count` numbers in [0, 1) of the stream that (seed, name) names; a longer request begins with the shorter
 * one's numbers.
 */
export function uniforms(seed: number, stream: string, count: number): Float64Array {
  const key: Key = [seed >>> 0, hashName(stream, BASIS_A)];
  const third = hashName(stream, BASIS_B);
  const words = new Uint32Array(4);
  const out = new Float64Array(count);
  for (let i = 0; i < count; i += 2) {
    philox(key, [i / 2, 0, third, 0], words);
    out[i] = toUnit(words[0]!, words[1]!);
    if (i + 1 < count) out[i + 1] = toUnit(words[2]!, words[3]!);
  }
  return out;
}

/**
 * `count` standard normal numbers of the stream (seed, name), by Marsaglia's polar method. Box-Muller is
 * shorter, but its sine and cosine come from a different library in Node 22 than in Node 20, and weights must
 * start with the same bits in both; square root is exact and the logarithm is fdlibm's in both.
 */
export function normals(seed: number, stream: string, count: number): Float64Array {
  const key: Key = [seed >>> 0, hashName(stream, BASIS_A)];
  const third = hashName(stream, BASIS_B);
  const words = new Uint32Array(4);
  const out = new Float64Array(count);
  for (let i = 0; i < count; i += 2) {
    const [first, second] = polarPair(key, i / 2, third, words);
    out[i] = first;
    if (i + 1 < count) out[i + 1] = second;
  }
  return out;
}

function polarPair(key: Key, pair: number, third: number, words: Uint32Array): readonly [number, number] {
  for (let attempt = 0; ; attempt++) {
    philox(key, [pair, attempt, third, 1], words);
    const x = 2 * toUnit(words[0]!, words[1]!) - 1;
    const y = 2 * toUnit(words[2]!, words[3]!) - 1;
    const square = x * x + y * y;
    if (square >= 1 || square === 0) continue;
    const factor = Math.sqrt((-2 * Math.log(square)) / square);
    return [x * factor, y * factor];
  }
}

/**
 * `count` integers in 0..bound-1 of the stream (seed, name); the bias, bound / 2^53, is below anything
 * observable.
 */
export function integers(seed: number, stream: string, count: number, bound: number): Float64Array {
  return uniforms(seed, stream, count).map((u) => Math.floor(u * bound));
}

/**
 * A cursor over one keyed stream, for code that draws a number of values in a fixed order within one
 * function.
 */
export interface RandomStream {
  /** In [low, high); [0, 1) by default. */
  uniform(low?: number, high?: number): number;
  normal(): number;
  /** In 0..bound-1. */
  integer(bound: number): number;
  chance(probability: number): boolean;
}

/**
 * The stream of (seed, purpose, at): `at` are up to two integers below 2^32, such as an identity and an
 * image.
 */
export function randomStream(options: {
  seed: number;
  purpose: string;
  at?: readonly [number, number];
}): RandomStream {
  const key: Key = [options.seed >>> 0, hashName(options.purpose, BASIS_A)];
  const [first, second] = options.at ?? [0, 0];
  const words = new Uint32Array(4);
  let block = 0;
  let left = 0;
  function uniform(low = 0, high = 1): number {
    if (left === 0) {
      philox(key, [first >>> 0, second >>> 0, block++, 2], words);
      left = 2;
    }
    const at = (2 - left) * 2;
    left -= 1;
    return low + (high - low) * toUnit(words[at]!, words[at + 1]!);
  }
  return {
    uniform,
    integer: (bound) => Math.floor(uniform() * bound),
    chance: (probability) => uniform() < probability,
    normal() {
      for (;;) {
        const x = uniform(-1, 1);
        const y = uniform(-1, 1);
        const square = x * x + y * y;
        if (square < 1 && square > 0) return x * Math.sqrt((-2 * Math.log(square)) / square);
      }
    },
  };
}

const PERMUTATION_ROUNDS = 8;

/**
 * The place of `index` in the permutation of 0..size-1 that (seed, stream, epoch) names, computed without a list of
 * all places, which would take memory and time for each image of each epoch. It is a Feistel network over the
 * smallest rectangle a x b with a = ceil(sqrt(size)) that holds `size` places: each round moves one
 * coordinate by a keyed function of the other, which is a bijection whatever the function. A result beyond
 * `size` is sent through again (cycle walking: Black and Rogaway, 2002). That keeps the bijection and is
 * rare, because fewer than a of the a*b places lie beyond.
 */
export function permutationAt(options: {
  seed: number;
  epoch: number;
  size: number;
  index: number;
  stream?: string;
}): number {
  const { size, stream = 'permutation' } = options;
  if (!Number.isSafeInteger(size) || size < 1 || !(options.index >= 0 && options.index < size))
    throw new RangeError(`index ${options.index} is not below the size ${size} of the permutation`);
  const rows = Math.ceil(Math.sqrt(size));
  const columns = Math.ceil(size / rows);
  const key: Key = [options.seed >>> 0, hashName(stream, BASIS_A)];
  const words = new Uint32Array(4);
  let at = options.index;
  do {
    let row = Math.floor(at / columns);
    let column = at % columns;
    for (let round = 0; round < PERMUTATION_ROUNDS; round += 2) {
      philox(key, [column, options.epoch, round, 3], words);
      row = (row + words[0]!) % rows;
      philox(key, [row, options.epoch, round + 1, 3], words);
      column = (column + words[0]!) % columns;
    }
    at = row * columns + column;
  } while (at >= size);
  return at;
}

/** Where a sample of a run stands. */
export interface SampleAt {
  readonly seed: number;
  readonly epoch: number;
  readonly step: number;
  readonly shard: number;
  readonly sample: number;
}

/** Whether the sample at (epoch, step, shard, sample) is mirrored: the low bit of its own draw. */
export function flipBit(at: SampleAt & { readonly stream?: string }): boolean {
  return (sampleWords(at, at.stream ?? 'flip')[0]! & 1) === 1;
}

/** Two numbers in [0, 1) of the sample at (epoch, step, shard, sample): where across and down it is cut out. */
export function cropPlace(at: SampleAt & { readonly stream: string }): readonly [number, number] {
  const words = sampleWords(at, at.stream);
  return [words[0]! / 2 ** 32, words[1]! / 2 ** 32];
}

function sampleWords({ seed, epoch, step, shard, sample }: SampleAt, stream: string): Uint32Array {
  return philox([seed >>> 0, hashName(stream, BASIS_A)], [epoch, step, shard, sample]);
}

const NEGATIVES_STREAM = hashName('negatives', BASIS_A);

/**
 * A 32-bit word for each class of a class shard, drawn for (step, shard); negative classes are chosen by it.
 */
export function negativeDraws(at: { seed: number; step: number; shard: number; count: number }): Uint32Array {
  const key: Key = [at.seed >>> 0, NEGATIVES_STREAM];
  const draws = new Uint32Array(Math.ceil(at.count / 4) * 4);
  for (let block = 0; block * 4 < at.count; block++)
    draws.set(philox(key, [block, at.step, at.shard, 4]), block * 4);
  return draws.subarray(0, at.count);
}
