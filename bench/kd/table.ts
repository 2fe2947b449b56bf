// What the results of a setting say: each arm's mean over seeds, the gate, and the differences of each two arms with
// their intervals over seeds and over people. Pure.

import { GATE_POINTS } from '../../core/report/comparisons.ts';
import { type JudgedPairs, pairedDifference } from '../../core/verify/paired-difference.ts';
import { ARMS, type Arm, type KdResult, type Reached } from './setting.ts';
import {
  intervalText,
  meanOf,
  overPeople,
  type Paired,
  pairedInterval,
  spreadOf,
  type Verdict,
  verdictOf,
} from './statistics.ts';

/** The comparison of two arms. */
export interface Compared {
  readonly first: Arm;
  readonly second: Arm;
  /** Points of accuracy, over seeds. */
  readonly accuracy: Paired;
  readonly auc: Paired;
  /** Points, over people. */
  readonly people: { readonly mean: number; readonly low: number; readonly high: number };
  readonly verdict: Verdict;
}

/** What a setting says. */
export interface KdTable {
  readonly name: string;
  readonly teacher: {
    readonly accuracy: number;
    readonly auc: number;
    readonly stages: readonly number[];
    /** By seed; the first one teaches. */
    readonly seeds: readonly number[];
  };
  readonly arms: Readonly<Record<Arm, { accuracy: number; spread: number; auc: number }>>;
  /** Points of the teacher that teaches above the mean student alone. */
  readonly gate: number;
  /** Points of each seed's teacher above each seed's student alone: the mean and the smallest. */
  readonly gaps: { readonly mean: number; readonly least: number };
  readonly isVoid: boolean;
  readonly compared: readonly Compared[];
}

const COUPLES: readonly (readonly [Arm, Arm])[] = [
  ['single-step', 'none'],
  ['multi-step', 'none'],
  ['multi-step', 'single-step'],
];

/** The table of one setting: of several folds of people, each with networks of its own, or of one. */
export function tableOf(name: string, folds: readonly KdResult[]): KdTable {
  const seeds = folds[0]!.students.length;
  /** Of a seed the mean over folds, so that seeds are what the interval is over. */
  const bySeed = (of: (reached: Reached) => number, arm: Arm) =>
    Array.from({ length: seeds }, (_, seed) => meanOf(folds.map(({ students }) => of(students[seed]![arm]))));
  const accuracy = (arm: Arm) => bySeed((one) => one.accuracy, arm);
  const auc = (arm: Arm) => bySeed((one) => one.auc, arm);
  const teacher = {
    accuracy: meanOf(folds.map((fold) => fold.teacher.accuracy)),
    auc: meanOf(folds.map((fold) => fold.teacher.auc)),
    stages: folds[0]!.stages.map((_, stage) => meanOf(folds.map((fold) => fold.stages[stage]!))),
    seeds: folds[0]!.teachers.map((_, seed) => meanOf(folds.map((fold) => fold.teachers[seed]!))),
  };
  const gate = teacher.accuracy - meanOf(accuracy('none'));
  const isVoid = gate < GATE_POINTS;
  const gaps = {
    mean: meanOf(teacher.seeds) - meanOf(accuracy('none')),
    least: Math.min(...teacher.seeds) - Math.max(...accuracy('none')),
  };
  const apart = (a: readonly number[], b: readonly number[]) => a.map((value, i) => value - b[i]!);
  const compared = COUPLES.map(([first, second]): Compared => {
    const ofSeeds = pairedInterval(apart(accuracy(first), accuracy(second)));
    const people = overPeople(pairedDifference(judgedBy(folds, first), judgedBy(folds, second)));
    return {
      ...{ first, second, accuracy: ofSeeds, people },
      auc: pairedInterval(apart(auc(first), auc(second))),
      verdict: verdictOf([ofSeeds, people], isVoid),
    };
  });
  const arms = Object.fromEntries(
    ARMS.map((arm) => [
      arm,
      { accuracy: meanOf(accuracy(arm)), spread: spreadOf(accuracy(arm)), auc: meanOf(auc(arm)) },
    ]),
  ) as KdTable['arms'];
  return { name, teacher, arms, gate, gaps, isVoid, compared };
}

/** The pairs of all folds, whose people are others, each with the share of seeds that judged it rightly. */
function judgedBy(folds: readonly KdResult[], arm: Arm): JudgedPairs {
  const personA: number[] = [];
  const personB: number[] = [];
  const right: number[] = [];
  let before = 0;
  for (const { students } of folds) {
    const judged = students.map((one) => one[arm].judged);
    const first = judged[0]!;
    let people = 0;
    for (let i = 0; i < first.personA.length; i++) {
      personA.push(before + first.personA[i]!);
      personB.push(before + first.personB[i]!);
      right.push(meanOf(judged.map((one) => Number(one.right[i]!))));
      people = Math.max(people, first.personA[i]! + 1, first.personB[i]! + 1);
    }
    before += people;
  }
  return { personA, personB, right };
}

/** The table for a person. */
export function tableText({ name, teacher, arms, gate, gaps, isVoid, compared }: KdTable): string[] {
  const lines = [
    '',
    name,
    `  teacher      ${teacher.accuracy.toFixed(2)} %, AUC ${teacher.auc.toFixed(3)}; by stage ${teacher.stages.map((one) => one.toFixed(1)).join(' ')}`,
    ...(teacher.seeds.length < 2
      ? []
      : [
          `  its seeds    ${teacher.seeds.map((one) => one.toFixed(2)).join(' ')} %, spread ${spreadOf(teacher.seeds).toFixed(2)}; above the student alone ${gaps.mean.toFixed(2)} points in the mean, ${gaps.least.toFixed(2)} for the worst teacher and the best student`,
        ]),
    ...ARMS.map((arm) => {
      const { accuracy, spread, auc } = arms[arm];
      return `  ${arm.padEnd(12)} ${accuracy.toFixed(2)} %, spread over seeds ${spread.toFixed(2)}, AUC ${auc.toFixed(3)}`;
    }),
    `  gate: the teacher is ${gate.toFixed(2)} points above the student alone, ${GATE_POINTS} are needed${isVoid ? ': VOID, the differences below say nothing about distillation' : ''}`,
  ];
  for (const { first, second, accuracy, auc, people, verdict } of compared)
    lines.push(
      `  ${first} - ${second}: ${intervalText(accuracy)} points over ${accuracy.pairs} seeds, ${accuracy.wins} won; over people ${intervalText(people)}; AUC ${intervalText(scaled(auc))} hundredths: ${verdict}`,
    );
  return lines;
}

const scaled = ({ mean, low, high }: Paired) => ({ mean: 100 * mean, low: 100 * low, high: 100 * high });
