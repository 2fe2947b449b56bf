import assert from 'node:assert/strict';
import { test } from 'node:test';
import { differenceError } from '../../../core/search/difference-error.ts';

/** (g(r) - g(-r)) / 2r in double or in float32 arithmetic of g. */
const difference = (g: (x: number) => number, radius: number) =>
  Float32Array.of((g(radius) - g(-radius)) / (2 * radius));

test('of a cubic the error is what the radius leaves out, three quarters of its third derivative', () => {
  // g(x) = 2 x + x^3: the difference is 2 + r^2, so 3 with r = 1 and 2.25 with r = 1/2.
  const g = (x: number) => 2 * x + x ** 3;
  assert.equal(differenceError(difference(g, 1), difference(g, 0.5)), 0.75 / 2.25);
  assert.equal(
    differenceError(
      difference((x) => 2 * x, 1),
      difference((x) => 2 * x, 0.5),
    ),
    0,
  );
});

test('of a straight line in float32 the error grows as the radius falls, as the difference itself does', () => {
  // Sums about 1000 are rounded to 2^-14.
  const g = (x: number) => Math.fround(1000 + 3 * x);
  const errors = [1e-1, 1e-3, 1e-4].map((radius) =>
    differenceError(difference(g, radius), difference(g, radius / 2)),
  );
  assert.ok(errors[0]! < 2e-3 && errors[2]! > 0.05 && errors[1]! < errors[2]!, errors.join(' '));
});

test('a narrow difference of zero is no agreement unless both are zero', () => {
  const zero = Float32Array.of(0, 0);
  assert.equal(differenceError(zero, zero), 0);
  assert.equal(differenceError(Float32Array.of(0, 1), zero), Number.POSITIVE_INFINITY);
});
