import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '../../../../core/clock.ts';
import { historyStride } from '../../../../worker/run/history.ts';
import { createRate, createThrottle } from '../../../../worker/training/rate.ts';

const clockAt = (times: number[]): Clock => ({
  now: () => 0,
  monotonic: () => times.shift() ?? Number.NaN,
  sleep: () => Promise.resolve(),
});

test('progress is due at once, then at most once an interval, and always when forced', () => {
  const due = createThrottle(clockAt([0, 249, 250, 260, 499, 510, 600]), 250);
  assert.deepEqual(
    [due(), due(), due(), due(true), due(), due(), due()],
    [true, false, true, true, false, true, false],
  );
});

test('a steady run shows its exact rate, a change shows within seconds', () => {
  const rate = createRate();
  for (let i = 0; i < 10; i++) assert.ok(Math.abs(rate.add(32, 0.5) - 64) < 1e-9);
  // Twice as fast for 10 s, two time constants: at least 80 % of the way from 64 to 128.
  let last = 0;
  for (let i = 0; i < 40; i++) last = rate.add(32, 0.25);
  assert.ok(last > 64 + 0.8 * 64, `${last}`);
});

test('short runs keep every point of their history, long ones about two thousand', () => {
  assert.equal(historyStride(1), 1);
  assert.equal(historyStride(2000), 1);
  assert.equal(historyStride(2001), 2);
  assert.ok(1_000_000 / historyStride(1_000_000) <= 2000);
});
