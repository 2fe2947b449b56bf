import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ATTACH, delayMs } from '../../../../core/retry.ts';
import { acknowledge, emptyQueue, enqueue, type ReportQueue } from '../../../../worker/fleet/reports.ts';

const three = (): ReportQueue =>
  [1, 2, 3].reduce((queue) => enqueue(queue, { $case: 'draining', value: {} }).queue, emptyQueue);

test('reports are numbered from 1 and stay open until they are acknowledged', () => {
  const queue = three();
  assert.deepEqual(
    queue.open.map((report) => report.sequence),
    [1, 2, 3],
  );
  assert.equal(enqueue(queue, { $case: 'draining', value: {} }).report.sequence, 4);
});

test('an acknowledgement covers one report and no other, and one that is repeated changes nothing', () => {
  const queue = acknowledge(three(), 2);
  assert.deepEqual(
    queue.open.map((report) => report.sequence),
    [1, 3],
  );
  assert.deepEqual(acknowledge(queue, 2), queue);
});

test('numbers are never given twice, also after everything was acknowledged', () => {
  assert.equal(
    enqueue([1, 2, 3].reduce(acknowledge, three()), { $case: 'draining', value: {} }).report.sequence,
    4,
  );
});

test('dialling again begins far below the second after which a worker counts as lost, and never takes longer than one', () => {
  const longest = (failures: number) => delayMs(ATTACH, failures, () => 0);
  assert.equal(longest(1), 50);
  const delays = Array.from({ length: 50 }, (_, i) => longest(i + 1));
  assert.ok(delays.every((delay, i) => delay <= 1000 && delay >= (delays[i - 1] ?? 0)));
});
