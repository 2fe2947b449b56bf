// The difference in accuracy of two networks that judged the same pairs, with its 95 % interval: whether they
// differ, or only seem to by the choice of people.
//
// Pairs are not independent of each other, because a person takes part in many; an interval over pairs would
// be too narrow. So the standard error is the delete-one jackknife over people. With D the difference and D_p
// the difference without person p of n,
//     se^2 = (n - 1) / n * sum over p of (D_p - mean D_p)^2.
// It is consistent for statistics of pairs (J. N. Arvesen, "Jackknifing U-statistics", Annals of Mathematical
// Statistics 40, 1969) and on average too large, never too small (B. Efron and C. Stein, "The jackknife
// estimate of variance", Annals of Statistics 9, 1981). Unlike a bootstrap it needs no seed.

import { FleetError } from '../errors.ts';

/** One network's judgement of each pair, in the order of the pairs. */
export interface JudgedPairs {
  /**
   * Label of the person on the first and on the second image of each pair; the same number for a genuine
   * pair.
   */
  readonly personA: ArrayLike<number>;
  readonly personB: ArrayLike<number>;
  /**
   * Whether the pair was judged rightly, by the threshold of its fold; of several networks that were trained alike the
   * share of them that did, 0..1.
   */
  readonly right: ArrayLike<boolean | number>;
}

/** The difference and its interval. */
export interface PairedDifference {
  /** Accuracy of the first network minus that of the second, -1..1. */
  readonly difference: number;
  /** Ends of the 95 % interval (Student's t with one degree of freedom fewer than people). */
  readonly low: number;
  readonly high: number;
  readonly pairs: number;
  readonly people: number;
}

/** Least number of people: fewer show nothing about people in general. */
export const PEOPLE_MIN = 5;

/**
 * Compares two networks. Every pair weighs the same, so genuine and impostor pairs weigh by their numbers.
 * Throws `invalidArgument` for different pairs or fewer than five people.
 */
export function pairedDifference(first: JudgedPairs, second: JudgedPairs): PairedDifference {
  assertSamePairs(first, second);
  const { personA, personB } = first;
  const pairs = personA.length;
  const people = new Map<number, number>();
  for (const persons of [personA, personB])
    for (let i = 0; i < pairs; i++) if (!people.has(persons[i]!)) people.set(persons[i]!, people.size);
  const n = people.size;
  if (n < PEOPLE_MIN)
    throw new FleetError(
      'invalidArgument',
      `${n} people are too few to compare two networks on; hold out at least ${PEOPLE_MIN}`,
    );
  // Sums over all pairs and over the pairs of each person: leaving a person out is then a subtraction.
  const gainOf = new Float64Array(n);
  const countOf = new Float64Array(n);
  let gain = 0;
  for (let i = 0; i < pairs; i++) {
    const won = Number(first.right[i]!) - Number(second.right[i]!);
    gain += won;
    for (const person of new Set([people.get(personA[i]!)!, people.get(personB[i]!)!])) {
      gainOf[person]! += won;
      countOf[person]! += 1;
    }
  }
  const difference = gain / pairs;
  const without = Array.from(gainOf, (own, p) => (gain - own) / (pairs - countOf[p]!));
  const mean = without.reduce((a, b) => a + b, 0) / n;
  const variance = ((n - 1) / n) * without.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const reach = studentQuantile975(n - 1) * Math.sqrt(variance);
  return { difference, low: difference - reach, high: difference + reach, pairs, people: n };
}

function assertSamePairs(first: JudgedPairs, second: JudgedPairs): void {
  const same = (a: ArrayLike<number>, b: ArrayLike<number>) =>
    a.length === b.length && Array.prototype.every.call(a, (value, i) => value === b[i]);
  if (same(first.personA, second.personA) && same(first.personB, second.personB)) return;
  throw new FleetError(
    'invalidArgument',
    'the two networks were verified on different pairs; give both runs the same data, holdout and verification',
  );
}

/**
 * The 97.5 % quantile of Student's t, degrees of freedom >= 4; within 0.01 of the tables (Abramowitz and
 * Stegun 26.7.5).
 */
export function studentQuantile975(degrees: number): number {
  const z = 1.959963984540054;
  const terms = [
    (z ** 3 + z) / 4,
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96,
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384,
    (79 * z ** 9 + 776 * z ** 7 + 1482 * z ** 5 - 1920 * z ** 3 - 945 * z) / 92160,
  ];
  return terms.reduce((sum, term, i) => sum + term / degrees ** (i + 1), z);
}
