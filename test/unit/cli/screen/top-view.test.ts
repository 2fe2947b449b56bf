import assert from 'node:assert/strict';
import { test } from 'node:test';
import { comparisonText } from '../../../../coordinator/cli/screen/compare-view.ts';
import { topLines } from '../../../../coordinator/cli/screen/top-view.ts';
import { run, snapshot, worker } from '../messages.ts';

test('top has runs and workers by pace, the queue with its reasons, and no more rows than there are', () => {
  const picture = snapshot({
    runs: [
      run({ id: 'run-1', imagesPerSecond: 10 }),
      run({ id: 'run-2', imagesPerSecond: 90 }),
      run({ id: 'run-3', state: 'queued', reason: 'waits for 3 workers' }),
      run({ id: 'run-4', state: 'done' }),
    ],
    workers: [worker({ id: 'worker-1' }), worker({ id: 'worker-2', state: 'lost' })],
  });
  const lines = topLines(picture, { rows: 40, columns: 100 });
  assert.equal(lines[1], '100.0 images a second in all');
  const first = lines.map((line) => line.split(' ')[0]);
  assert.deepEqual(first.slice(2), [
    '',
    'RUN',
    'run-2',
    'run-1',
    '',
    'WORKER',
    'worker-1',
    '',
    'QUEUED',
    'run-3',
  ]);
  assert.match(lines.at(-1)!, /waits for 3 workers$/);
  const many = snapshot({ runs: Array.from({ length: 90 }, (_, i) => run({ id: `run-${i}` })) });
  const cut = topLines(many, { rows: 12, columns: 60 });
  assert.equal(cut.length, 12);
  assert.equal(cut.at(-1), 'and 83 more');
  assert.ok(cut.every((line) => line.length <= 60));
});

test('a comparison has what was asked differently, then results with their difference', () => {
  const text = comparisonText({
    kind: 'run',
    ids: ['run-1', 'run-2'],
    specs: [{ field: 'training.seed', a: 1, b: undefined }],
    values: [
      { what: 'accuracy', unit: 'share', a: 0.9, b: 0.925 },
      { what: 'loss', unit: 'number', a: Number.NaN, b: 1 },
      { what: 'state', unit: 'text', a: 'done', b: 'failed' },
      { what: 'worker-seconds', unit: 'seconds', a: 90, b: 30 },
    ],
  });
  const rows = text.split('\n').map((line) => line.trim().split(/ {2,}/));
  assert.deepEqual(rows, [
    ['ASKED', 'RUN-1', 'RUN-2'],
    ['training.seed', '1', '–'],
    [''],
    ['RESULT', 'RUN-1', 'RUN-2', 'DIFFERENCE'],
    ['accuracy', '90.00 %', '92.50 %', '+2.50 points'],
    ['loss', '–', '1.000'],
    ['state', 'done', 'failed'],
    ['worker-seconds', '1 min 30 s', '30 s', '-1 min 00 s'],
  ]);
});
