// What the arms of `bench:darts` say: means with their spread over seeds, and differences of two arms over the same seeds
// with their 95 % t-intervals, over seeds and over the people of the test. An arm is better than another only where both
// exclude zero: of a few seeds the differences may agree by chance. Pure.

import { type JudgedPairs, pairedDifference } from '../../core/verify/paired-difference.ts';
import {
  intervalText,
  meanOf,
  overPeople,
  type Paired,
  pairedInterval,
  spreadOf,
  verdictOf,
} from '../kd/statistics.ts';
import { ARMS, type Arm, type ArmResult } from './arms.ts';

/** A mean over seeds with its sample standard deviation. */
interface Spread {
  readonly mean: number;
  readonly spread: number;
}

/** What is told of an arm. */
export interface ArmRow {
  readonly arm: Arm;
  readonly accuracy: Spread;
  readonly auc: Spread;
  readonly skips: Spread;
  readonly searchSeconds: Spread;
}

/** Two arms by the seeds that both have: the first less the second. */
export interface ArmDifference {
  readonly first: Arm;
  readonly second: Arm;
  /** Points, over seeds. */
  readonly accuracy: Paired;
  /** Points, over people. */
  readonly people: { readonly mean: number; readonly low: number; readonly high: number };
  readonly auc: Paired;
  readonly skips: Paired;
  /** By both intervals of the accuracy. */
  readonly verdict: ReturnType<typeof verdictOf>;
}

/** The table of a setting. */
export interface DartsTable {
  /** Seeds of which all arms are there, ascending; no other counts. */
  readonly seeds: readonly number[];
  readonly arms: readonly ArmRow[];
  /** None of fewer than two seeds, which have no interval. */
  readonly differences: readonly ArmDifference[];
}

const COUPLES: readonly (readonly [Arm, Arm])[] = [
  ['auxiliary-skip', 'darts'],
  ['darts', 'random'],
  ['auxiliary-skip', 'random'],
];

/** The table of all seeds that are complete. */
export function tableOf(results: readonly ArmResult[]): DartsTable {
  const of = (seed: number, arm: Arm) => results.find((one) => one.seed === seed && one.arm === arm);
  const seeds = [...new Set(results.map(({ seed }) => seed))]
    .filter((seed) => ARMS.every((arm) => of(seed, arm) !== undefined))
    .sort((a, b) => a - b);
  if (seeds.length === 0) return { seeds, arms: [], differences: [] };
  const values = (arm: Arm, field: NumberField) => seeds.map((seed) => of(seed, arm)![field]);
  const spread = (arm: Arm, field: NumberField): Spread => {
    const all = values(arm, field);
    return { mean: meanOf(all), spread: spreadOf(all) };
  };
  const arms = ARMS.map((arm) => ({
    arm,
    accuracy: spread(arm, 'accuracy'),
    auc: spread(arm, 'auc'),
    skips: spread(arm, 'skips'),
    searchSeconds: spread(arm, 'searchSeconds'),
  }));
  if (seeds.length < 2) return { seeds, arms, differences: [] };
  const apart = (first: Arm, second: Arm, field: NumberField) => {
    const others = values(second, field);
    return pairedInterval(values(first, field).map((value, at) => value - others[at]!));
  };
  const differences = COUPLES.map(([first, second]) => {
    const accuracy = apart(first, second, 'accuracy');
    const judged = (arm: Arm) => judgedBy(seeds.map((seed) => of(seed, arm)!));
    const people = overPeople(pairedDifference(judged(first), judged(second)));
    return {
      ...{ first, second, accuracy, people },
      auc: apart(first, second, 'auc'),
      skips: apart(first, second, 'skips'),
      verdict: verdictOf([accuracy, people], false),
    };
  });
  return { seeds, arms, differences };
}

/** The pairs, which are the same of all seeds, each with the share of seeds that judged it rightly. */
function judgedBy(results: readonly ArmResult[]): JudgedPairs {
  const { personA, personB } = results[0]!.judged;
  const right = personA.map((_, pair) => meanOf(results.map(({ judged }) => Number(judged.right[pair]))));
  return { personA, personB, right };
}

type NumberField = 'accuracy' | 'auc' | 'skips' | 'searchSeconds';

/** The table for a person. */
export function tableText({ seeds, arms, differences }: DartsTable): string[] {
  if (seeds.length === 0) return ['no seed is complete'];
  const text = ({ mean, spread }: Spread, digits: number) =>
    `${mean.toFixed(digits)} ± ${spread.toFixed(digits)}`;
  return [
    `${seeds.length} seeds; means ± standard deviation over seeds`,
    ...arms.map(
      ({ arm, accuracy, auc, skips, searchSeconds }) =>
        `  ${arm.padEnd(14)} skips ${text(skips, 1)} of 8, accuracy ${text(accuracy, 2)} %, AUC ${text(auc, 3)}, search ${text(searchSeconds, 0)} CPU s`,
    ),
    ...differences.map(
      ({ first, second, accuracy, people, skips, verdict }) =>
        `  ${first} - ${second}: accuracy ${intervalText(accuracy)} points over seeds, ${accuracy.wins} of ${accuracy.pairs} won; over people ${intervalText(people)}; skips ${intervalText(skips)}: ${verdict}`,
    ),
  ];
}
