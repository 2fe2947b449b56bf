// The MegaFace protocol on features: probes of people among distractors. Identification: each image of a person is put into
// a gallery with all distractors, the person's other images look for it, and rank r is reached when fewer than r distractors
// are as near. Verification: all pairs of a person's images against all probe-distractor pairs, TAR at a FAR. Also the
// refinement by noise lists (reference facts 5.4). Distractors come as a stream and are not kept.
//
// Nearness is the negative squared distance, as the devkit's; with unit features it orders like the product, but the mark
// of a noisy distractor (a 100 in an extra dimension) moves it away only in distance.

import { FleetError } from '../errors.ts';
import { uniforms } from '../rng.ts';

export interface MegafaceOptions {
  /** Features of the probes [probes, size], unit length unless marked. */
  readonly probes: Float32Array;
  readonly size: number;
  /** The person of each probe. */
  readonly people: readonly string[];
  /** How many distractors will come; fixes how many impostor scores must be remembered for the largest FAR. */
  readonly distractors: number;
  readonly ranks?: readonly number[];
  readonly fars?: readonly number[];
}

export interface Megaface {
  /** Features [count, size] of some distractors. */
  addDistractors(features: Float32Array): void;
  /** Throws unless all distractors have come. */
  finish(): MegafaceResult;
}

export interface MegafaceResult {
  readonly identification: readonly { readonly rank: number; readonly rate: number }[];
  /** The largest TAR with at most this FAR. */
  readonly verification: readonly { readonly far: number; readonly tar: number }[];
  /** Ordered pairs of a person's images, and unordered ones. */
  readonly searches: number;
  readonly genuinePairs: number;
  readonly impostorPairs: number;
}

export function createMegaface(options: MegafaceOptions): Megaface {
  const { probes, size, people, distractors, ranks = [1, 10], fars = [1e-6, 1e-5, 1e-4] } = options;
  const count = people.length;
  if (probes.length !== count * size)
    throw new FleetError('invalidArgument', `${probes.length} numbers are not ${count} features of ${size}`);
  const impostorPairs = count * distractors;
  const impostors = createTop(Math.floor(Math.max(...fars) * impostorPairs) + 1);
  const nearest = people.map(() => createTop(Math.max(...ranks)));
  let seen = 0;
  return {
    addDistractors(features) {
      if (features.length % size !== 0)
        throw new FleetError('invalidArgument', `${features.length} numbers are not features of ${size}`);
      for (let at = 0; at < features.length; at += size) {
        seen += 1;
        for (let probe = 0; probe < count; probe++) {
          const score = nearness(probes, probe * size, features, at, size);
          nearest[probe]!.add(score);
          impostors.add(score);
        }
      }
    },
    finish() {
      if (seen !== distractors)
        throw new FleetError('failedPrecondition', `${seen} of ${distractors} distractors have come`);
      const genuine = genuineScores(options);
      return {
        identification: ranks.map((rank) => ({ rank, rate: rateAtRank(genuine, nearest, rank) })),
        verification: fars.map((far) => ({
          far,
          tar: tarAt(genuine, impostors.falling(), Math.floor(far * impostorPairs)),
        })),
        searches: 2 * genuine.length,
        genuinePairs: genuine.length,
        impostorPairs,
      };
    },
  };
}

interface GenuinePair {
  readonly a: number;
  readonly b: number;
  readonly score: number;
}

function genuineScores({ probes, size, people }: MegafaceOptions): GenuinePair[] {
  const pairs: GenuinePair[] = [];
  const members = new Map<string, number[]>();
  people.forEach((person, probe) => {
    const before = members.get(person) ?? [];
    for (const a of before)
      pairs.push({ a, b: probe, score: nearness(probes, a * size, probes, probe * size, size) });
    members.set(person, [...before, probe]);
  });
  if (pairs.length === 0)
    throw new FleetError('invalidArgument', 'no person has two probes; nothing can be identified');
  return pairs;
}

/** Each pair is two searches, one from either side. A distractor that is equally near goes first. */
function rateAtRank(genuine: readonly GenuinePair[], nearest: readonly Top[], rank: number): number {
  const worstAllowed = nearest.map((top) => top.falling()[rank - 1] ?? Number.NEGATIVE_INFINITY);
  const found = genuine.reduce(
    (sum, { a, b, score }) => sum + Number(score > worstAllowed[a]!) + Number(score > worstAllowed[b]!),
    0,
  );
  return found / (2 * genuine.length);
}

/** With `accepted` impostors allowed, whatever is nearer than the next one is accepted. */
function tarAt(genuine: readonly GenuinePair[], impostors: Float64Array, accepted: number): number {
  const next = impostors[accepted] ?? Number.NEGATIVE_INFINITY;
  return genuine.filter(({ score }) => score > next).length / genuine.length;
}

interface Top {
  add(score: number): void;
  /** The largest scores, falling; at most the number asked for. */
  falling(): Float64Array;
}

/** Keeps the `size` largest of many numbers: collects twice as many, then sorts and drops the lower half. */
function createTop(size: number): Top {
  const kept = new Float64Array(2 * size);
  let length = 0;
  let lowest = Number.NEGATIVE_INFINITY;
  const shrink = (): void => {
    const sorted = kept.subarray(0, length).sort().reverse();
    kept.set(sorted);
    length = Math.min(length, size);
    if (length === size) lowest = kept[size - 1]!;
  };
  return {
    add(score) {
      if (score < lowest) return;
      kept[length++] = score;
      if (length === kept.length) shrink();
    },
    falling() {
      shrink();
      return kept.subarray(0, length);
    },
  };
}

function nearness(a: Float32Array, atA: number, b: Float32Array, atB: number, size: number): number {
  let sum = 0;
  for (let i = 0; i < size; i++) {
    const difference = a[atA + i]! - b[atB + i]!;
    sum += difference * difference;
  }
  return -sum;
}

/** What the extra dimension of a noisy distractor holds. */
const NOISE_MARK = 100;

/** A feature with the dimension that marks noisy distractors. */
export function marked(feature: ArrayLike<number>, noisy: boolean): Float32Array {
  const longer = new Float32Array(feature.length + 1);
  longer.set(feature);
  longer[feature.length] = noisy ? NOISE_MARK : 0;
  return longer;
}

/**
 * Probes with the noisy ones replaced: by the mean of the person's clean probes plus uniform noise of +-0.001, at unit length.
 * `features` [probes, size]; the result is a copy. A person without a clean probe keeps what there is.
 */
export function replaceNoisyProbes(options: {
  readonly features: Float32Array;
  readonly size: number;
  readonly people: readonly string[];
  readonly noisy: readonly boolean[];
  readonly seed: number;
}): Float32Array {
  const { features, size, people, noisy, seed } = options;
  const refined = Float32Array.from(features);
  people.forEach((person, probe) => {
    if (!noisy[probe]) return;
    const clean = people.flatMap((other, i) => (other === person && !noisy[i] ? [i] : []));
    if (clean.length === 0) return;
    const noise = uniforms(seed, `megaface-noise/${probe}`, size);
    const feature = refined.subarray(probe * size, (probe + 1) * size);
    for (let i = 0; i < size; i++) {
      const mean = clean.reduce((sum, other) => sum + features[other * size + i]!, 0) / clean.length;
      feature[i] = mean + (2 * noise[i]! - 1) * 0.001;
    }
    const norm = Math.sqrt(feature.reduce((sum, x) => sum + x * x, 0));
    for (let i = 0; i < size; i++) feature[i]! /= norm;
  });
  return refined;
}
