// The status view is a function of the snapshot and the size of a screen: these tests read what a person would read.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createStatusChanges } from '../../../../coordinator/cli/screen/status-changes.ts';
import { statusLines } from '../../../../coordinator/cli/screen/status-view.ts';
import { displayWidth } from '../../../../core/report/format.ts';
import { plan, run, snapshot, sweep, worker } from '../messages.ts';

const LARGE = { rows: 200, columns: 200 };

test('work comes first, by plan, then workers, then what has ended, the newest first', () => {
  const lines = statusLines(
    snapshot({
      plans: [plan({ id: 'plan-0', state: 'done', reason: 'all done', endedAtMs: 900_000 }), plan()],
      sweeps: [sweep()],
      runs: [
        run({ id: 'run-0', planId: 'plan-0', state: 'done', step: 100, endedAtMs: 1_030_000 }),
        run(),
        run({ id: 'run-c3', name: 'candidate-3', kind: 'candidate', sweepId: 'sweep-1', step: 10, loss: 2 }),
      ],
      workers: [
        worker({ id: 'worker-10', state: 'idle', runIds: [], imagesPerSecond: 0 }),
        worker({ id: 'worker-2', state: 'idle', runIds: [], imagesPerSecond: 0 }),
        worker(),
      ],
    }),
    LARGE,
  );
  // The first line holds a local time, which depends on the machine's zone.
  assert.match(
    lines[0]!,
    /^fleet at \d\d:\d\d:\d\d: 3 workers \(1 busy\), 2 runs active, 0 queued, journal at 1,234$/,
  );
  assert.deepEqual(lines.slice(1), [
    '',
    'WORK',
    '  plan-1 plan demo  running: searching',
    // 2 trials done and a tenth of a third: (2 + 0.1) / 6 = 35 %; 60 s for that leave 111 s.
    '    sweep-1 search demo-search         ███████░░░░░░░░░░░░░  35 % 2/6 candidates, 120 img/s, 1 min 51 s left, best 76.5 %',
    '      run-c3 candidate-3: step 10/100, loss 2.00 on worker-1, worker-2',
    '    run-1 teacher teacher              ██████████░░░░░░░░░░  50 % step 50/100, 120 img/s, 1 min 05 s left, loss 3.14, 2 workers',
    '',
    'WORKERS',
    '  worker-1  busy  60 img/s  teacher (run-1)',
    '  worker-2  idle',
    '  worker-10  idle',
    '',
    'ENDED, newest first',
    '  run-0 teacher teacher              100 steps, took 30 s (plan-0)',
    '  plan-0 plan demo  done: all done',
  ]);
});

test('a waiting student says which teacher it waits for', () => {
  const student = run({
    id: 'run-2',
    name: 'small',
    kind: 'student',
    state: 'waiting',
    teacherRunId: 'run-1',
    step: 0,
  });
  const lines = statusLines(snapshot({ runs: [run(), student] }), LARGE);
  assert.ok(
    lines.some(
      (line) => line.includes('student small') && line.endsWith('waits for a checkpoint of teacher'),
    ),
  );
});

test('an empty fleet is one line', () => {
  assert.equal(statusLines(snapshot(), LARGE).length, 1);
});

test('after a long past what runs now and who computes it is seen on every screen, and nothing is larger than it', () => {
  const past = Array.from({ length: 60 }, (_, i) =>
    run({ id: `run-${i}`, planId: `plan-${i}`, state: 'done', step: 100, endedAtMs: 1_000_000 + i }),
  );
  const plans = past.map((one) => plan({ id: one.planId, state: 'done', endedAtMs: one.endedAtMs }));
  const now = run({ id: 'run-now', planId: 'plan-now', name: '顔'.repeat(50) });
  const queued = Array.from({ length: 40 }, (_, i) =>
    run({ id: `run-q${i}`, planId: '', state: 'queued', step: 0 }),
  );
  const full = snapshot({
    plans: [...plans, plan({ id: 'plan-now' })],
    runs: [...past, ...queued, now],
    workers: Array.from({ length: 30 }, (_, i) =>
      worker({ id: `worker-${i}`, runIds: i === 29 ? ['run-now'] : [] }),
    ),
    leftOut: { plans: 1_000, sweeps: 0, trials: 0, runs: 20_000, workers: 0 },
  });
  for (const rows of [1, 2, 3, 5, 8, 12, 24, 50, 400])
    for (const columns of [20, 80, 160]) {
      const lines = statusLines(full, { rows, columns });
      assert.ok(lines.length <= rows, `${lines.length} lines on ${rows} rows`);
      for (const line of lines) assert.ok(displayWidth(line) <= columns, line);
      if (rows >= 8) assert.match(lines[4] ?? '', /run-now/, `${rows} rows`);
      if (rows >= 12)
        assert.ok(
          lines.some((line) => line.startsWith('  worker-29')),
          `${rows} rows`,
        );
    }
  const last = statusLines(full, { rows: 400, columns: 160 }).at(-1);
  assert.equal(last, '  and 21,000 more', 'what the coordinator left out is counted');
  const titles = statusLines(full, { rows: 24, columns: 80 }).filter((line) => /^[A-Z]{4,}/.test(line));
  assert.deepEqual(titles, ['WORK', 'WORKERS'], 'the past gives way');
});

test('without pictures a line is printed when a state changes, and for numbers every five seconds', () => {
  const ended = run({ id: 'run-0', state: 'done' });
  const changes = createStatusChanges({ skipEnded: true });
  const at = (seconds: number, ...runs: ReturnType<typeof run>[]) =>
    changes
      .next(snapshot({ runs: [ended, ...runs], workers: [worker()] }), seconds * 1000)
      .map((line) => line.replace(/\d\d:\d\d:\d\d/, 'T'));
  assert.deepEqual(at(0, run({ state: 'queued', step: 0 })), [
    'fleet at T: 1 workers (1 busy), 0 runs active, 1 queued, journal at 1,234',
    'T run-1 teacher teacher              0 %  queued',
    'T worker-1 attached',
  ]);
  assert.deepEqual(at(1, run({ state: 'queued', step: 0 })), []);
  assert.match(at(2, run({ step: 10 }))[0]!, /^T run-1 teacher teacher +10 % +step 10\/100/);
  assert.deepEqual(at(3, run({ step: 11 })), [], 'one step more is no news');
  assert.match(changes.rest()[0]!, /step 11\/100/, 'and is what is left to print at the end');
  assert.match(at(8, run({ step: 12 }))[0]!, /step 12\/100/);
  assert.match(at(8.1, run({ state: 'failed', step: 12, reason: 'NaN' }))[0]!, /failed: NaN$/);
  assert.deepEqual(changes.rest(), []);
});

test('without pictures, too, it is said why nothing is decided or stored, once, and when that is over', () => {
  const changes = createStatusChanges({ skipEnded: true });
  const store = (reason: string, halted = '') =>
    ({ store: { state: 'full', reason, halted } }) as unknown as Parameters<typeof snapshot>[0];
  const at = (now: number, parts: Parameters<typeof snapshot>[0]) =>
    changes.next(snapshot(parts), now).map((line) => line.replace(/^.*?\d\d:\d\d:\d\d:? /, ''));
  const full = (used: string) => `the store is full: ${used} MiB of 83 MiB are used`;
  assert.equal(at(0, store(full('31.5'))).at(-1), full('31.5'));
  assert.deepEqual(at(1, store(full('32.6'))), [], 'more bytes are the same trouble');
  assert.deepEqual(at(2, store('', 'the journal is damaged')), ['the journal is damaged']);
  assert.deepEqual(at(3, store('')), ['decisions are made and stored again']);
  assert.deepEqual(at(4, store('')), []);
  const past = createStatusChanges({ skipEnded: true });
  const lost = snapshot({ workers: [worker({ id: 'w1', state: 'lost', reason: 'gone' })] });
  assert.equal(past.next(lost, 0).length, 1, 'who was lost before anybody looked is no news');
});
