import assert from 'node:assert/strict';
import { test } from 'node:test';
import { workerTargets } from '../../../../coordinator/cli/local/scrape-targets.ts';

test('workers that are there are scraped where they listen, or by their machine where they listen everywhere', () => {
  const worker = (metricsEndpoint: string, connected = true) => ({
    metricsEndpoint,
    connected,
    host: 'gpu-7',
  });
  assert.deepEqual(
    workerTargets([
      worker('127.0.0.1:7072'),
      worker('[::]:7073'),
      worker('0.0.0.0:7074'),
      worker('127.0.0.1:7075', false),
      worker(''),
    ]),
    ['127.0.0.1:7072', 'gpu-7:7073', 'gpu-7:7074'],
  );
});
