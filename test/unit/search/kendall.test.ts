import { equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { kendallTau, tauInterval } from '../../../core/search/kendall.ts';

/** By the definition, pair by pair. */
function tauOfAllPairs(a: readonly number[], b: readonly number[]): number {
  let [balance, untiedA, untiedB] = [0, 0, 0];
  for (let i = 0; i < a.length; i++)
    for (let j = 0; j < i; j++) {
      const [signA, signB] = [Math.sign(a[i]! - a[j]!), Math.sign(b[i]! - b[j]!)];
      balance += signA * signB;
      untiedA += Math.abs(signA);
      untiedB += Math.abs(signB);
    }
  return balance / Math.sqrt(untiedA * untiedB);
}

test('tau is that of all pairs, with ties on either side and on both', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 0, max: 6 })), { maxLength: 40 }),
      (pairs) => {
        const [a, b] = [pairs.map(([x]) => x), pairs.map(([, y]) => y)];
        equal(kendallTau(a, b), tauOfAllPairs(a, b));
      },
    ),
  );
});

test('the same order gives 1, the reverse -1, and infinities are ends of it', () => {
  const rising = [Number.NEGATIVE_INFINITY, 1, 2, 30, Number.POSITIVE_INFINITY];
  equal(kendallTau(rising, [1, 2, 3, 4, 5]), 1);
  equal(kendallTau(rising, [5, 4, 3, 2, 1]), -1);
});

test('there is no tau of a constant, of a single pair, or with a value that is missing', () => {
  for (const [a, b] of [
    [
      [1, 1, 1],
      [1, 2, 3],
    ],
    [[1], [1]],
    [[], []],
    [
      [1, Number.NaN, 3],
      [1, 2, 3],
    ],
  ] as const)
    ok(Number.isNaN(kendallTau(a, b)));
});

test('the interval of a tau has the length of the published variance, is around it and within -1 and 1', () => {
  // tau 0.5 of 24 candidates: atanh 0.5493, reach 1.96 sqrt(0.437 / 20) = 0.2897.
  const { low, high } = tauInterval(0.5, 24);
  ok(Math.abs(low - 0.2539) < 1e-3 && Math.abs(high - 0.6851) < 1e-3, `${low} ${high}`);
  // Five candidates in one order: tau counts as 0.9, atanh 1.4722, reach 1.96 sqrt(0.437) = 1.2957.
  const five = tauInterval(1, 5);
  ok(Math.abs(five.low - 0.1747) < 1e-3 && five.high === 1, `${five.low} ${five.high}`);
  const reversed = tauInterval(-1, 5);
  ok(reversed.low === -1 && reversed.high === -five.low, `${reversed.low} ${reversed.high}`);
  ok(tauInterval(1, 100).low > 0.97);
  ok(Number.isNaN(tauInterval(0.5, 4).low) && Number.isNaN(tauInterval(Number.NaN, 50).low));
});
