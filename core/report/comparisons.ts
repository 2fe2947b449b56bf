// Which trained networks of a plan are compared, and the sentence about each two. A difference of accuracies
// means something only beside its interval, so a sentence names a better one only where the interval excludes
// zero.

import type { EvaluationReport, Run } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { toFleetError } from '../errors.ts';
import { bestFirst, rankedRun } from '../search/best-first.ts';
import { type JudgedPairs, type PairedDifference, pairedDifference } from '../verify/paired-difference.ts';

/** Two networks and the sentence about their difference. */
export interface Comparison {
  readonly first: Run;
  readonly second: Run;
  /** Undefined where the two cannot be compared; `sentence` gives the reason. */
  readonly found: PairedDifference | undefined;
  readonly sentence: string;
}

/** The sentence below every list of comparisons. */
export const COMPARISON_NOTE =
  'The intervals are over people: how these trained networks would differ on others. Another seed of training moves each of them, too.';

/** A teacher is so many points above a student without one, or its students show nothing about distillation. */
export const GATE_POINTS = 3;

/**
 * Compares the exported student (or the most accurate one) with each other student, and each teacher with the
 * students that learnt from it and with those that learnt from none. Runs without a verification, and runs whose report has no decision for each
 * pair, are left out.
 */
export function comparisonsOf(
  runs: readonly Run[],
  evaluations: ReadonlyMap<string, EvaluationReport>,
  winnerRunId: string,
): Comparison[] {
  const judged = new Map<string, JudgedPairs>();
  for (const { id } of runs) {
    const pairs = judgedPairsOf(evaluations.get(id));
    if (pairs !== undefined) judged.set(id, pairs);
  }
  const known = runs.filter(({ id }) => judged.has(id));
  const students = known.filter(({ kind }) => kind === 'student');
  const leader = students.find(({ id }) => id === winnerRunId) ?? mostAccurate(students);
  const couples = [
    ...students.filter((run) => run !== leader).map((run) => [leader!, run] as const),
    ...known
      .filter(({ kind }) => kind === 'teacher')
      .flatMap((teacher) =>
        students
          .filter(({ teacherRunId }) => teacherRunId === teacher.id)
          .map((run) => [teacher, run] as const),
      ),
    ...known
      .filter(
        ({ id, kind }) => kind === 'teacher' && students.some(({ teacherRunId }) => teacherRunId === id),
      )
      .flatMap((teacher) =>
        students.filter(({ teacherRunId }) => teacherRunId === '').map((run) => [teacher, run] as const),
      ),
  ];
  return couples.map(([first, second]) => compare(first, second, judged));
}

/** For each teacher and student without one: whether the teacher is so much better that its students may be judged. */
export function gateSentences(comparisons: readonly Comparison[]): string[] {
  return comparisons.flatMap(({ first, second, found }) => {
    if (first.kind !== 'teacher' || second.teacherRunId !== '' || found === undefined) return [];
    const above = 100 * found.difference;
    const isPassed = above >= GATE_POINTS;
    return `the gate of ${GATE_POINTS} points is ${isPassed ? '' : 'not '}passed: ${first.name} is ${above.toFixed(1)} points above ${second.name}, so that the differences of its students ${isPassed ? 'may be read' : 'are void'}`;
  });
}

function compare(first: Run, second: Run, judged: ReadonlyMap<string, JudgedPairs>): Comparison {
  try {
    const found = pairedDifference(judged.get(first.id)!, judged.get(second.id)!);
    return { first, second, found, sentence: sentenceOf(first.name, second.name, found) };
  } catch (caught) {
    const { message } = toFleetError(caught);
    const sentence = `${first.name} and ${second.name} cannot be compared: ${message}`;
    return { first, second, found: undefined, sentence };
  }
}

/**
 * "a is better than b: +4.1 points (95 % interval +1.2 to +7.0; 3,000 pairs of 60 people)"; no verdict where
 * zero is inside.
 */
export function sentenceOf(first: string, second: string, found: PairedDifference): string {
  const { difference, low, high, pairs, people } = found;
  const numbers = `${points(difference)} points (95 % interval ${points(low)} to ${points(high)}; ${pairs.toLocaleString('en-US')} pairs of ${people} people)`;
  if (low > 0) return `${first} is better than ${second}: ${numbers}`;
  if (high < 0) return `${first} is worse than ${second}: ${numbers}`;
  return `${first} and ${second} are too close to tell apart: ${numbers}`;
}

function points(fraction: number): string {
  const text = (fraction * 100).toFixed(1);
  return fraction >= 0 && !text.startsWith('-') ? `+${text}` : text;
}

function mostAccurate(runs: readonly Run[]): Run | undefined {
  const ranked = runs.map((run, i) => ({ run, rank: rankedRun(run, i) }));
  return ranked.sort((a, b) => bestFirst(a.rank, b.rank))[0]?.run;
}

/** The decisions of a report; undefined where it has none, or where its parts do not fit each other. */
function judgedPairsOf(report: EvaluationReport | undefined): JudgedPairs | undefined {
  const judged = report?.judged;
  if (judged === undefined) return undefined;
  const { personA, personB, right } = judged;
  const pairs = personA.length;
  if (pairs === 0 || personB.length !== pairs || right.length !== Math.ceil(pairs / 8)) return undefined;
  return { personA, personB, right: Array.from(personA, (_, i) => ((right[i >> 3]! >> (i & 7)) & 1) === 1) };
}
