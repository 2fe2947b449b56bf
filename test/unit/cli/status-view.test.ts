// The status view is a function of the snapshot: these tests read what a person would read.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { statusLines } from '../../../coordinator/cli/status-view.ts';
import { plan, run, snapshot, sweep, worker } from './messages.ts';

test('a snapshot becomes plans, sweeps, work with bars, and workers, in that order', () => {
  const lines = statusLines(
    snapshot({
      plans: [plan()],
      sweeps: [sweep()],
      runs: [
        run(),
        run({ id: 'run-c3', name: 'candidate-3', kind: 'candidate', sweepId: 'sweep-1', step: 10, loss: 2 }),
      ],
      workers: [worker(), worker({ id: 'worker-2', state: 'idle', runIds: [], imagesPerSecond: 0 })],
    }),
    200,
  );
  // The first line holds a local time, which depends on the machine's zone.
  assert.match(
    lines[0]!,
    /^fleet at \d\d:\d\d:\d\d: 2 workers \(1 busy\), 2 runs active, 0 queued, journal at 1,234$/,
  );
  assert.deepEqual(lines.slice(1), [
    '',
    'PLANS',
    '  plan-1  demo  running: searching',
    '',
    'SWEEPS',
    '  sweep-1  demo-search  running: 2/6 trials, best 76.5 % (trial-2)',
    '',
    'WORK',
    // 2 trials done and a tenth of a third: (2 + 0.1) / 6 = 35 %; 60 s for that leave 111 s.
    '  search demo-search         ███████░░░░░░░░░░░░░  35 % 2/6 candidates, 120 img/s, 1 min 51 s left, best 76.5 %',
    '  teacher teacher            ██████████░░░░░░░░░░  50 % step 50/100, 120 img/s, 1 min 05 s left, loss 3.14, 2 workers',
    '    candidate-3: step 10/100, loss 2.00 on worker-1, worker-2',
    '',
    'WORKERS',
    '  worker-1  busy  60 img/s  teacher',
    '  worker-2  idle',
  ]);
});

test('a waiting student says which teacher it waits for', () => {
  const lines = statusLines(
    snapshot({
      runs: [
        run(),
        run({
          id: 'run-2',
          name: 'small',
          kind: 'student',
          state: 'waiting',
          teacherRunId: 'run-1',
          step: 0,
        }),
      ],
    }),
    200,
  );
  assert.ok(
    lines.some(
      (line) => line.includes('student small') && line.endsWith('waits for a checkpoint of teacher'),
    ),
  );
});

test('an empty fleet is one line', () => {
  assert.equal(statusLines(snapshot()).length, 1);
});

test('no line is wider than asked', () => {
  const lines = statusLines(snapshot({ plans: [plan({ reason: 'x'.repeat(500) })], runs: [run()] }), 60);
  assert.ok(lines.every((line) => line.length <= 60));
});
