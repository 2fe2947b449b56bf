// Claims about what a worker does with assignments and releases of one run, in the orders in which they can
// arrive.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Holding, onAssign, onRelease } from '../../../../worker/fleet/holdings.ts';

const assignOf = (generation: number) => ({
  runId: 'run-1',
  generation,
  members: [{ workerId: 'a', shardFirst: 0, shardCount: 4 }],
  specJson: '',
  teacherRunId: '',
  teacherStages: 0,
  evaluateStages: [],
});
const held: Holding = { generation: 3, leaving: false, next: undefined };

test('an assignment starts a run that is not held, moves one that is, and an old one changes nothing', () => {
  const started = onAssign(undefined, assignOf(3), 'a');
  assert.deepEqual([started.action, started.holding], ['start', held]);
  const moved = onAssign(held, assignOf(4), 'a');
  assert.deepEqual([moved.action, moved.holding], ['move', { ...held, generation: 4 }]);
  for (const generation of [2, 3]) {
    const ignored = onAssign(held, assignOf(generation), 'a');
    assert.deepEqual([ignored.action, ignored.holding], ['nothing', held]);
  }
  const others = onAssign(undefined, assignOf(3), 'b');
  assert.deepEqual([others.action, others.holding], ['nothing', undefined]);
});

test('an assignment that follows a release waits until the run is over', () => {
  const released = onRelease(held, 3);
  assert.deepEqual([released.action, released.holding], ['end', { ...held, leaving: true }]);
  const again = onAssign(released.holding, assignOf(5), 'a');
  assert.equal(again.action, 'nothing');
  assert.equal(again.verb, 'move');
  assert.equal(again.holding?.next?.generation, 5);
  assert.equal(again.holding?.generation, 3);
});

test('a release takes back a waiting assignment of its own generation or an older one, and no newer one', () => {
  const waiting: Holding = { generation: 3, leaving: true, next: assignOf(5) };
  assert.equal(onRelease(waiting, 4).holding?.next?.generation, 5);
  assert.equal(onRelease(waiting, 5).holding?.next, undefined);
});

test('a release of nothing is confirmed, and one of an older generation changes nothing', () => {
  const none = onRelease(undefined, 7);
  assert.deepEqual([none.action, none.holding], ['confirm', undefined]);
  const old = onRelease(held, 2);
  assert.deepEqual([old.action, old.holding], ['nothing', held]);
});
