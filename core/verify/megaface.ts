// The MegaFace protocol on features (Kemelmacher-Shlizerman et al., 2016; reference facts 5.4): probes of
// known people among distractors.
// - Identification: each image of a person joins all distractors in a gallery, the person's other images
//   search for it, and rank r is reached when fewer than r distractors are as near.
// - Verification: all pairs of a person's images against all pairs of a probe and a distractor; TAR at a FAR.
// - Refinement: probes and distractors on the noise lists are replaced or marked.
//
// Distractors come as a stream of a million features and are not kept: a probe needs only its nearest few,
// and a FAR only the nearest of all pairs.
//
// Nearness is the negative squared distance, as in the development kit. For unit features it orders like the
// inner product, but the mark of a noisy distractor, a 100 in an extra dimension, makes it far only by
// distance.

import { FleetError } from '../errors.ts';
import { uniforms } from '../rng.ts';

/** The probes, and how many distractors follow. */
export interface MegafaceOptions {
  /** Features of the probes [probes, size], of unit length unless marked. */
  readonly probes: Float32Array;
  readonly size: number;
  /** The person of each probe. */
  readonly people: readonly string[];
  /** Number of distractors that will come; from it follows how many impostor scores the largest FAR needs. */
  readonly distractors: number;
  readonly ranks?: readonly number[];
  readonly fars?: readonly number[];
}

/** One evaluation that takes distractors piece by piece. */
export interface Megaface {
  /** Compares all probes with more distractors, features [count, size]. */
  addDistractors(features: Float32Array): void;
  /** The result; throws unless all distractors have come. */
  finish(): MegafaceResult;
}

/** Rates 0..1. */
export interface MegafaceResult {
  readonly identification: readonly { readonly rank: number; readonly rate: number }[];
  /** The largest TAR whose FAR is at most this one. */
  readonly verification: readonly { readonly far: number; readonly tar: number }[];
  /** Ordered pairs of a person's images: one searches for the other. */
  readonly searches: number;
  /** Unordered pairs of a person's images. */
  readonly genuinePairs: number;
  readonly impostorPairs: number;
}

/** Begins an evaluation of these probes. */
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

/** Two probes of one person, by index. */
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

/**
 * Share of searches that reach a rank. Each pair is two searches, one from either side; an equally near
 * distractor counts as nearer.
 */
function rateAtRank(genuine: readonly GenuinePair[], nearest: readonly Top[], rank: number): number {
  const worstAllowed = nearest.map((top) => top.falling()[rank - 1] ?? Number.NEGATIVE_INFINITY);
  const found = genuine.reduce(
    (sum, { a, b, score }) => sum + Number(score > worstAllowed[a]!) + Number(score > worstAllowed[b]!),
    0,
  );
  return found / (2 * genuine.length);
}

/**
 * TAR with `accepted` impostors accepted: every genuine pair nearer than the first impostor that is refused.
 */
function tarAt(genuine: readonly GenuinePair[], impostors: Float64Array, accepted: number): number {
  const next = impostors[accepted] ?? Number.NEGATIVE_INFINITY;
  return genuine.filter(({ score }) => score > next).length / genuine.length;
}

/** The largest of many numbers. */
interface Top {
  add(score: number): void;
  /** The largest numbers in falling order, at most as many as wanted. */
  falling(): Float64Array;
}

/**
 * Keeps the `size` largest of many numbers: collects up to twice as many, then sorts and drops the lower
 * half, so one sort pays for many.
 */
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

/**
 * Value of a noisy distractor in the extra dimension, as in the development kit: farther than any unit
 * feature, whose distance is 2.
 */
const NOISE_MARK = 100;

/** The feature with one more dimension, which marks it if it is noisy. */
export function marked(feature: ArrayLike<number>, noisy: boolean): Float32Array {
  const longer = new Float32Array(feature.length + 1);
  longer.set(feature);
  longer[feature.length] = noisy ? NOISE_MARK : 0;
  return longer;
}

/**
 * A copy of the probes [probes, size] in which each noisy one is the mean of the person's clean probes plus
 * uniform noise of +-0.001, at unit length. The probes of a person without a clean one stay as they are.
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
