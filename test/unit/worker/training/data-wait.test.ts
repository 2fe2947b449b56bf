import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTimeline } from '../../../../worker/run/timeline.ts';
import { createDataWait } from '../../../../worker/training/data-wait.ts';

function waitUnderClock() {
  let now = 1000;
  const clock = { monotonic: () => now };
  const timeline = createTimeline(clock);
  const run = timeline.open('run-1');
  run.rest('compute');
  const wait = createDataWait(clock, run.begin);
  const after = (milliseconds: number, event: 'arrived' | 'computed' | 'end') => {
    now += milliseconds;
    wait[event]();
  };
  return { wait, after, spent: () => timeline.peek().entries[0]?.seconds };
}

test('a step waits for its first batch, and for a later one only while nothing is being computed', () => {
  const { wait, after, spent } = waitUnderClock();
  after(20, 'arrived');
  after(30, 'arrived'); // Behind the first, which is still being computed.
  after(40, 'computed');
  after(50, 'computed');
  after(60, 'arrived'); // Nothing was left to compute for 60 ms.
  after(70, 'computed');
  assert.equal(wait.seconds(), 0.08);
  after(0, 'end');
  const { data_wait: waited, compute } = spent()!;
  assert.ok(Math.abs(waited! - 0.08) < 1e-9 && Math.abs(compute! - 0.19) < 1e-9, 'the run says the same');
});

test('batches that are there at once are no wait', () => {
  const { wait, after } = waitUnderClock();
  for (let shard = 0; shard < 8; shard++) after(0, 'arrived');
  for (let shard = 0; shard < 8; shard++) after(100, 'computed');
  assert.equal(wait.seconds(), 0);
});
