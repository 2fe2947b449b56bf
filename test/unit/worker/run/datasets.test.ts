import assert from 'node:assert/strict';
import { test } from 'node:test';
import { usualDataThreads } from '../../../../worker/run/datasets.ts';

test('a CPU worker decodes with one thread, a GPU worker with as many as cores and at most 8', () => {
  assert.deepEqual(
    [
      usualDataThreads('cpu', 64),
      usualDataThreads('cuda', 1),
      usualDataThreads('cuda', 4),
      usualDataThreads('cuda', 64),
    ],
    [1, 1, 4, 8],
  );
});
