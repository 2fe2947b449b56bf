import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createWorkerSeconds } from '../../../../coordinator/metrics/worker-seconds.ts';

test('counters have what came since the lead began, and never fall while a report is between board and journal', () => {
  const counts: Record<string, number> = {};
  const seconds = createWorkerSeconds((phase, more) => {
    assert.ok(more >= 0);
    counts[phase] = (counts[phase] ?? 0) + more;
  });
  seconds.begin({ seconds: { compute: 100, idle: 5 }, repeated: 3 });
  seconds.collect({ seconds: { compute: 110, idle: 5 }, repeated: 3 });
  seconds.collect({ seconds: { compute: 104, idle: 5 }, repeated: 7 });
  seconds.collect({ seconds: { compute: 112, idle: 6 }, repeated: 7 });
  assert.deepEqual([counts.compute, counts.idle, counts.repeated, counts.lost], [12, 1, 4, 0]);
});
