// The table of `bench:darts`, and the file in which its finished arms are kept.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Arm, ArmResult, DartsSetting } from '../../../bench/darts/arms.ts';
import { finishedName, readFinished, writeFinished } from '../../../bench/darts/finished.ts';
import { tableOf, tableText } from '../../../bench/darts/table.ts';

/** 100 pairs of each of ten people: an equal share of them right, or all of the first people and none of the last. */
const result = (seed: number, arm: Arm, accuracy: number, skips: number, isEven = true): ArmResult => ({
  ...{ seed, arm, searchSeconds: 100, genotype: '', skips, skipsOnTheWay: [], accuracy, auc: 0.9 },
  judged: {
    personA: Array.from({ length: 1000 }, (_, i) => Math.floor(i / 100)),
    personB: Array.from({ length: 1000 }, (_, i) => Math.floor(i / 100)),
    right: Array.from({ length: 1000 }, (_, i) =>
      Number(isEven ? i % 100 < accuracy : i < 10 * accuracy),
    ).join(''),
  },
});

test('an arm is better only where the interval over seeds excludes zero', () => {
  const results = [70, 72, 74].flatMap((accuracy, at) => [
    result(at + 1, 'darts', accuracy, 6),
    // 4 to 6 points above, and on the average of three seeds as good as random.
    result(at + 1, 'auxiliary-skip', accuracy + 4 + at, 2),
    result(at + 1, 'random', accuracy + [0, 10, 5][at]!, 1),
  ]);
  const { seeds, arms, differences } = tableOf(results);
  assert.deepEqual(seeds, [1, 2, 3]);
  assert.deepEqual(arms[0]!.accuracy, { mean: 72, spread: 2 });
  assert.deepEqual(arms[1]!.skips, { mean: 2, spread: 0 });
  const [auxiliary, darts, other] = differences;
  assert.equal(auxiliary!.verdict, 'better');
  // 5 ± 4.30265 * 1 / sqrt(3).
  assert.ok(Math.abs(auxiliary!.accuracy.low - (5 - 4.30265 / Math.sqrt(3))) < 1e-9);
  assert.ok(auxiliary!.people.low > 0);
  assert.deepEqual([auxiliary!.skips.low, auxiliary!.skips.high], [-4, -4]);
  assert.equal(darts!.verdict, 'not told apart');
  assert.equal(other!.verdict, 'not told apart');
  assert.match(tableText(tableOf(results)).join('\n'), /auxiliary-skip - darts: .* 3 of 3 won; .*: better/);
});

test('seeds that agree by chance are not enough: other people may say otherwise', () => {
  // All seeds are 2 points apart, but only because some people are recognised far better and others far worse.
  const results = [70, 74].flatMap((accuracy, at) => [
    result(at + 1, 'darts', accuracy, 1),
    result(at + 1, 'auxiliary-skip', accuracy + 2, 1, false),
    result(at + 1, 'random', accuracy, 1),
  ]);
  const [auxiliary] = tableOf(results).differences;
  assert.deepEqual([auxiliary!.accuracy.low, auxiliary!.accuracy.high], [2, 2]);
  assert.ok(auxiliary!.people.low < 0 && auxiliary!.people.high > 0);
  assert.equal(auxiliary!.verdict, 'not told apart');
});

test('a seed counts when all of its arms are there, and one seed has no interval', () => {
  const one = [result(2, 'darts', 70, 6), result(2, 'auxiliary-skip', 75, 2), result(2, 'random', 71, 1)];
  const { seeds, arms, differences } = tableOf([result(1, 'darts', 10, 8), ...one]);
  assert.deepEqual(seeds, [2]);
  assert.equal(arms[0]!.accuracy.mean, 70);
  assert.deepEqual(differences, []);
  assert.deepEqual(tableText(tableOf(one.slice(1))), ['no seed is complete']);
});

test('finished arms are read by the same setting alone', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-darts-'));
  try {
    const setting = { path: 'faces', epochs: 20 } as DartsSetting;
    assert.notEqual(finishedName(setting, 200), finishedName({ ...setting, epochs: 2 }, 200));
    assert.notEqual(finishedName(setting, 200), finishedName(setting, 300));
    const file = join(folder, 'below', finishedName(setting, 200));
    assert.deepEqual(readFinished(file), []);
    writeFinished(file, [result(1, 'random', 70, 1)]);
    writeFinished(file, [result(1, 'random', 70, 1), result(2, 'random', 71, 1)]);
    assert.deepEqual(
      readFinished(file).map(({ seed }) => seed),
      [1, 2],
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
