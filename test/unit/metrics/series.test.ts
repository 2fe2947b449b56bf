// How many series a fleet of 1,000 runs and 200 workers has: a bound that a Prometheus of usual size takes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Gauged } from '../../../coordinator/metrics/gauges.ts';
import { servingCoordinatorMetrics, workerMetrics } from '../../support/metrics.ts';
import { createSweepFleet } from '../../support/sweep-fleet.ts';

const seriesIn = (text: string) => text.split('\n').filter((line) => line !== '' && line[0] !== '#').length;

test('1,000 runs on 200 workers are at most 140,000 series, of which the coordinator has 6,000', async () => {
  const worker = workerMetrics({ keepMs: 60_000 });
  for (let n = 1; n <= 5; n++) {
    const run = `run-${n}`;
    worker.beginRun(run);
    for (const gauge of [worker.loss, worker.epoch, worker.globalStep, worker.worldSize])
      gauge.set({ run }, 1);
    for (const gauge of [worker.learningRate, worker.gradientNorm, worker.ownSpeed, worker.checkpointLast])
      gauge.set({ run }, 1);
    worker.allreduceWait.inc({ run, rank: '0' }, 1);
  }
  const ofWorker = seriesIn(await worker.registry.metrics());
  const fleet = createSweepFleet(200);
  for (let n = 0; n < 1_000; n++) fleet.assign(fleet.propose(), `w${(n % 200) + 1}`);
  const { state } = fleet;
  const gauged: Gauged = {
    time: state.time.fleet,
    ...{ state, natsConnected: true, leads: true, halted: false, streams: [], tokenExpiries: [] },
    waiting: { of: () => undefined, counts: () => new Map() },
    workersDesired: () => 1,
    certificateExpiryMs: undefined,
    store: { kind: 'ok', reason: '', usedBytes: 0, limitBytes: 0, streams: [], place: '', sinceMs: 0 },
    lastSeenMs: () => 1_000,
    progressOf: () => undefined,
  };
  const coordinator = await servingCoordinatorMetrics({ gauged: () => gauged });
  const ofCoordinator = seriesIn(await coordinator.registry.metrics());
  assert(ofCoordinator > 2_200 && ofCoordinator <= 6_000, `${ofCoordinator} of the coordinator`);
  assert(200 * ofWorker + ofCoordinator <= 140_000, `${ofWorker} of a worker`);
});
