import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDataWait } from '../../../../worker/training/data-wait.ts';

function waitUnderClock() {
  let now = 1000;
  const wait = createDataWait({ monotonic: () => now });
  const after = (milliseconds: number, event: 'arrived' | 'computed') => {
    now += milliseconds;
    wait[event]();
  };
  return { wait, after };
}

test('a step waits for its first batch, and for a later one only while nothing is being computed', () => {
  const { wait, after } = waitUnderClock();
  after(20, 'arrived');
  after(30, 'arrived'); // Behind the first, which is still being computed.
  after(40, 'computed');
  after(50, 'computed');
  after(60, 'arrived'); // Nothing was left to compute for 60 ms.
  after(70, 'computed');
  assert.equal(wait.seconds(), 0.08);
});

test('batches that are there at once are no wait', () => {
  const { wait, after } = waitUnderClock();
  for (let shard = 0; shard < 8; shard++) after(0, 'arrived');
  for (let shard = 0; shard < 8; shard++) after(100, 'computed');
  assert.equal(wait.seconds(), 0);
});
