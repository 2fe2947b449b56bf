// What `bench:kd` says of the numbers that it measured, held against values that are known.

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type KeptKey, type KeptNetwork, keepIn } from '../../../bench/kd/kept.ts';
import { ARMS, type KdResult, type Reached } from '../../../bench/kd/setting.ts';
import { intervalText, pairedInterval, verdictOf } from '../../../bench/kd/statistics.ts';
import { tableOf, tableText } from '../../../bench/kd/table.ts';
import { runSchema } from '../../../core/spec/run.ts';

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
  const accuracy = (100 * teacher) / 40;
  return {
    ...{ teacher: reached(teacher), stages: [50, accuracy], teachers: [accuracy, accuracy + 2] },
    students: students.map(of),
  };
}

test('a teacher that is not three points above the student alone makes a table void', () => {
  const table = tableOf('few', [
    result(31, [
      [30, 31, 31],
      [30, 32, 32],
    ]),
  ]);
  assert.equal(table.gate, 2.5);
  // Teachers of 77.5 and 79.5 %, students of 75 %.
  assert.deepEqual(table.gaps, { mean: 3.5, least: 2.5 });
  assert.ok(
    tableText(table).some((line) =>
      /its seeds +77\.50 79\.50 %, spread 1\.41; .* 3\.50 points .* 2\.50 for/.test(line),
    ),
  );
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

/** What a small network's bits follow from. */
function keyOf(more: { seed?: number; path?: string; pairs?: number } = {}): KeptKey {
  const { seed = 1, path = '/faces', pairs = 40 } = more;
  const spec = runSchema.parse({
    ...{ kind: 'teacher', name: 'none', data: { kind: 'folder', path, holdout: 10 } },
    network: { kind: 'pocketnet', channels: 2, layers: 4, embedding: 32 },
    ...{ training: { epochs: 1, batch: 32, shards: 2, seed }, verification: { pairs } },
  });
  return { spec, digest: 'a', device: 'cpu', code: '1', teacher: undefined };
}

test('a trained network is kept whole, and stands only for one whose bits follow from the same', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pf-kd-kept-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const keeper = keepIn(join(folder, 'kept'));
  assert.equal(keeper.find(keyOf()), undefined, 'there is no folder yet');
  const network: KeptNetwork = {
    reached: [reached(20), reached(30)],
    stages: [{ weights: Float32Array.of(0.1, -0, 3e-39), running: Float32Array.of(7) }],
  };
  keeper.keep(keyOf(), network);
  const found = keepIn(join(folder, 'kept')).find(keyOf({ path: '/elsewhere' }));
  assert.deepEqual(found?.reached, network.reached);
  assert.deepEqual(
    found?.stages.map(({ weights, running }) => [[...weights], [...running]]),
    [[[...Float32Array.of(0.1, -0, 3e-39)], [7]]],
  );
  assert.ok(found?.stages[0]?.weights.buffer instanceof SharedArrayBuffer, 'the compute thread can read it');
  const others = {
    seed: keyOf({ seed: 2 }),
    pairs: keyOf({ pairs: 60 }),
    content: { ...keyOf(), digest: 'b' },
    device: { ...keyOf(), device: 'cpu/avx512' },
    code: { ...keyOf(), code: '2' },
    teacher: { ...keyOf(), teacher: keyOf() },
  };
  for (const [what, key] of Object.entries(others)) assert.equal(keeper.find(key), undefined, what);
  keeper.keep(others.teacher, network);
  assert.equal(keeper.find({ ...keyOf(), teacher: keyOf({ seed: 2 }) }), undefined, 'of another teacher');
  const names = readdirSync(join(folder, 'kept'));
  assert.deepEqual([names.length, names.filter((name) => !/^[0-9a-f]{64}\.json$/.test(name))], [2, []]);
  for (const name of names) writeFileSync(join(folder, 'kept', name), '{"reached":');
  assert.throws(() => keeper.find(keyOf()), /is no network of bench:kd; remove it to train the network anew/);
});
