// What `bench:kd` says of the numbers that it measured, held against values that are known.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ARMS, type KdResult, type Reached } from '../../../bench/kd/arms.ts';
import { intervalText, pairedInterval, verdictOf } from '../../../bench/kd/statistics.ts';
import { tableOf, tableText } from '../../../bench/kd/table.ts';

/** Accuracies of five seeds, percent, with intervals that were computed by hand from them. */
const MEASURED = {
  none: [73.35, 77.7, 76.675, 70.45, 77.025],
  'single-step': [77.475, 77.25, 78.2, 76.625, 77.6],
  'multi-step': [77.075, 77.7, 77.4, 74.975, 77.8],
};

test('the interval of the mean is that of Student, from two pairs on', () => {
  const apart = (a: keyof typeof MEASURED, b: keyof typeof MEASURED) =>
    pairedInterval(MEASURED[a].map((value, seed) => value - MEASURED[b][seed]!));
  assert.equal(intervalText(apart('single-step', 'none')), '+2.39 [-0.98, +5.76]');
  assert.equal(intervalText(apart('multi-step', 'none')), '+1.95 [-0.57, +4.47]');
  assert.equal(intervalText(apart('multi-step', 'single-step')), '-0.44 [-1.48, +0.60]');
  assert.deepEqual([apart('single-step', 'none').wins, apart('multi-step', 'none').wins], [4, 4]);
  // t of one degree of freedom is 12.706, of nine 2.262; s of 1..10 is 3.0277.
  assert.equal(intervalText(pairedInterval([0, 2])), '+1.00 [-11.71, +13.71]');
  assert.equal(intervalText(pairedInterval([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])), '+5.50 [+3.33, +7.67]');
  assert.equal(intervalText(pairedInterval([1])), '+1.00 [-inf, +inf]', 'one pair shows nothing');
});

test('a verdict claims no more than every interval allows', () => {
  const of = (...intervals: (readonly [number, number])[]) =>
    verdictOf(
      intervals.map(([low, high]) => ({ low, high })),
      false,
    );
  assert.equal(of([0.1, 3], [0.2, 4]), 'better');
  assert.equal(of([0.1, 3], [-0.1, 4]), 'not told apart', 'on other people it may be worse');
  assert.equal(of([-3, -0.1], [-4, -0.2]), 'worse');
  assert.equal(of([-1.5, 0.6], [-1.4, 1.5]), 'as good');
  assert.equal(of([-1.6, 0.6], [-1, 1]), 'not told apart');
  assert.equal(of([0.1, 1], [0.2, 1.2]), 'better', 'also within the bounds of as good');
  assert.equal(verdictOf([{ low: 1, high: 2 }], true), 'void');
});

/** A network that judges rightly the first so many of 40 pairs of ten people. */
function reached(right: number): Reached {
  const personA = Array.from({ length: 40 }, (_, i) => i % 10);
  const personB = personA.map((person, i) => (i < 20 ? person : (person + 1) % 10));
  const judged = { personA, personB, right: personA.map((_, i) => i < right) };
  return { accuracy: (100 * right) / 40, auc: right / 40, judged };
}

function result(teacher: number, students: readonly (readonly number[])[]): KdResult {
  const of = (counts: readonly number[]) =>
    Object.fromEntries(ARMS.map((arm, i) => [arm, reached(counts[i]!)])) as KdResult['students'][number];
  return { teacher: reached(teacher), stages: [50, (100 * teacher) / 40], students: students.map(of) };
}

test('a teacher that is not three points above the student alone makes a table void', () => {
  const table = tableOf('few', [
    result(31, [
      [30, 31, 31],
      [30, 32, 32],
    ]),
  ]);
  assert.equal(table.gate, 2.5);
  assert.deepEqual(
    table.compared.map(({ verdict }) => verdict),
    ['void', 'void', 'void'],
  );
  assert.ok(tableText(table).some((line) => /: VOID, the differences below say nothing/.test(line)));
});

test('seeds are compared with themselves, over the folds of people', () => {
  const folds = [
    result(38, [
      [20, 30, 30],
      [22, 32, 32],
    ]),
    result(36, [
      [24, 34, 34],
      [22, 32, 32],
    ]),
  ];
  const table = tableOf('two folds', folds);
  const [single, , both] = table.compared;
  // 10 of 40 pairs in every seed and fold.
  assert.deepEqual([single!.accuracy.mean, single!.accuracy.spread, single!.accuracy.pairs], [25, 0, 2]);
  assert.ok(Math.abs(single!.people.mean - 25) < 1e-9);
  assert.equal(table.arms.none.accuracy, 55);
  assert.equal(single!.verdict, 'better');
  assert.deepEqual([both!.accuracy.mean, both!.verdict], [0, 'as good']);
});
