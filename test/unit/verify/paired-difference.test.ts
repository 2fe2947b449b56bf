import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { randomStream } from '../../../core/rng.ts';
import {
  type JudgedPairs,
  pairedDifference,
  studentQuantile975,
} from '../../../core/verify/paired-difference.ts';
import { verificationPairs } from '../../../core/verify/pairs.ts';

/** The definition, word by word: each person's pairs are removed and the difference is taken again. */
function byRemoval(first: JudgedPairs, second: JudgedPairs) {
  const all = Array.from(first.personA, (_, i) => i);
  const accuracy = (judged: JudgedPairs, kept: readonly number[]) =>
    kept.filter((i) => judged.right[i]).length / kept.length;
  const difference = (kept: readonly number[]) => accuracy(first, kept) - accuracy(second, kept);
  const people = [...new Set([...Array.from(first.personA), ...Array.from(first.personB)])];
  const without = people.map((person) =>
    difference(all.filter((i) => first.personA[i] !== person && first.personB[i] !== person)),
  );
  const mean = without.reduce((a, b) => a + b) / people.length;
  const square = without.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { difference: difference(all), error: Math.sqrt(((people.length - 1) / people.length) * square) };
}

/** Two networks of accuracies `at` and `at + gain` whose mistakes depend on the people as well as on chance. */
function experiment(seed: number, options: { people: number; at: number; gain: number }) {
  const stream = randomStream({ seed, purpose: 'paired-difference-test' });
  const labels = Array.from({ length: options.people * 10 }, (_, i) => Math.floor(i / 10));
  const pairs = verificationPairs(labels, { pairs: 400, seed });
  const judge = (accuracy: number) => {
    const hardness = Array.from({ length: options.people }, () => (stream.uniform() - 0.5) * 0.3);
    return pairs.map(
      ({ a, b }) => stream.uniform() < accuracy + (hardness[labels[a]!]! + hardness[labels[b]!]!) / 2,
    );
  };
  const personA = pairs.map(({ a }) => labels[a]!);
  const personB = pairs.map(({ b }) => labels[b]!);
  const first: JudgedPairs = { personA, personB, right: judge(options.at + options.gain) };
  const second: JudgedPairs = { personA, personB, right: judge(options.at) };
  return { first, second };
}

test('the difference and its interval are those of leaving out each person in turn', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1e6 }), fc.integer({ min: 5, max: 30 }), (seed, people) => {
      const { first, second } = experiment(seed, { people, at: 0.75, gain: 0.05 });
      const found = pairedDifference(first, second);
      const expected = byRemoval(first, second);
      const reach = studentQuantile975(people - 1) * expected.error;
      assert.ok(Math.abs(found.difference - expected.difference) < 1e-12);
      assert.ok(Math.abs(found.high - found.difference - reach) < 1e-12);
      assert.ok(Math.abs(found.difference - found.low - reach) < 1e-12);
      assert.deepEqual([found.pairs, found.people], [400, people]);
    }),
    { numRuns: 30 },
  );
});

test('networks that are equally good are told apart in at most one of twenty comparisons', () => {
  const runs = 400;
  for (const people of [10, 40]) {
    let apart = 0;
    for (let seed = 1; seed <= runs; seed++) {
      const { first, second } = experiment(seed, { people, at: 0.75, gain: 0 });
      const { low, high } = pairedDifference(first, second);
      if (low > 0 || high < 0) apart += 1;
    }
    // One in twenty, and three standard deviations of a binomial count.
    assert.ok(apart <= runs * 0.05 + 3 * Math.sqrt(runs * 0.05 * 0.95), `${apart} of ${runs} with ${people}`);
  }
});

test('a difference of fifteen points between forty people is found', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { first, second } = experiment(seed, { people: 40, at: 0.7, gain: 0.15 });
    assert.ok(pairedDifference(first, second).low > 0);
    assert.ok(pairedDifference(second, first).high < 0);
  }
});

test('a network compared with itself differs by nothing', () => {
  const { first } = experiment(7, { people: 12, at: 0.8, gain: 0 });
  const { difference, low, high } = pairedDifference(first, first);
  assert.deepEqual([difference, low, high], [0, 0, 0]);
});

test('other pairs and too few people are refused', () => {
  const { first } = experiment(1, { people: 12, at: 0.8, gain: 0 });
  const { first: other } = experiment(2, { people: 12, at: 0.8, gain: 0 });
  assert.throws(() => pairedDifference(first, other), /verified on different pairs/);
  const few: JudgedPairs = { personA: [0, 1], personB: [0, 2], right: [true, false] };
  assert.throws(() => pairedDifference(few, few), /3 people are too few/);
});

test("the quantiles are those of Student's table", () => {
  // Abramowitz and Stegun, table 26.10.
  for (const [degrees, quantile] of [
    [4, 2.776],
    [5, 2.571],
    [9, 2.262],
    [19, 2.093],
    [59, 2.001],
    [1e6, 1.96],
  ] as const)
    assert.ok(Math.abs(studentQuantile975(degrees) - quantile) < 0.01, `${degrees}`);
});
