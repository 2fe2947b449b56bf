// What differences of two ways to train say: a mean with its 95 % interval over seeds, the interval over people, and
// a verdict that claims no more than the intervals do. Pure.

import type { PairedDifference } from '../../core/verify/paired-difference.ts';
import { studentQuantile975 } from '../../core/verify/paired-difference.ts';

/** A mean of differences that were measured in pairs. */
export interface Paired {
  readonly mean: number;
  /** Standard deviation over the pairs. */
  readonly spread: number;
  /** Ends of the 95 % t-interval of the mean; infinite where there is one pair. */
  readonly low: number;
  readonly high: number;
  /** Pairs in which the first was above the second. */
  readonly wins: number;
  readonly pairs: number;
}

/** The 97.5 % quantiles of Student's t that the series of `studentQuantile975` does not reach. */
const SMALL: readonly number[] = [12.7062, 4.30265, 3.18245];

/** The interval of the mean of differences, Student's t with one degree of freedom fewer than pairs. */
export function pairedInterval(differences: readonly number[]): Paired {
  const pairs = differences.length;
  const mean = meanOf(differences);
  const spread = spreadOf(differences);
  const wins = differences.filter((value) => value > 0).length;
  const quantile = pairs < 2 ? Number.POSITIVE_INFINITY : (SMALL[pairs - 2] ?? studentQuantile975(pairs - 1));
  const reach = pairs < 2 ? Number.POSITIVE_INFINITY : (quantile * spread) / Math.sqrt(pairs);
  return { mean, spread, low: mean - reach, high: mean + reach, wins, pairs };
}

/** The arithmetic mean. */
export const meanOf = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** The sample standard deviation; 0 of one value. */
export function spreadOf(values: readonly number[]): number {
  const mean = meanOf(values);
  const sum = values.reduce((total, value) => total + (value - mean) ** 2, 0);
  return values.length < 2 ? 0 : Math.sqrt(sum / (values.length - 1));
}

/** What may be said of the first against the second. */
export type Verdict = 'void' | 'better' | 'worse' | 'as good' | 'not told apart';

/** Within so many points two are as good as each other. */
export const AS_GOOD_POINTS = 1.5;
interface Interval {
  readonly low: number;
  readonly high: number;
}

/**
 * The verdict on differences in points. `better` and `worse` only where every interval excludes zero, `as good` only
 * where every one lies within 1.5 points; `void` where the teacher did not pass the gate.
 */
export function verdictOf(intervals: readonly Interval[], isVoid: boolean): Verdict {
  if (isVoid) return 'void';
  if (intervals.every(({ low }) => low > 0)) return 'better';
  if (intervals.every(({ high }) => high < 0)) return 'worse';
  const isClose = intervals.every(({ low, high }) => low >= -AS_GOOD_POINTS && high <= AS_GOOD_POINTS);
  return isClose ? 'as good' : 'not told apart';
}

/** A difference of accuracies in points, with its interval: `+1.95 [-0.57, +4.47]`. */
export const intervalText = ({ mean, low, high }: Pick<Paired, 'mean' | 'low' | 'high'>): string =>
  `${signed(mean)} [${signed(low)}, ${signed(high)}]`;

/** The interval over people, in points. */
export const overPeople = ({
  difference,
  low,
  high,
}: PairedDifference): Interval & { readonly mean: number } => ({
  mean: 100 * difference,
  low: 100 * low,
  high: 100 * high,
});

const signed = (value: number): string =>
  Number.isFinite(value) ? `${value < 0 ? '' : '+'}${value.toFixed(2)}` : value < 0 ? '-inf' : '+inf';
