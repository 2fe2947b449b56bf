// Claims about which step points a member publishes, and which again in the next generation.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STATS } from '../../../../core/allreduce/wire.ts';
import { systemClock } from '../../../../core/clock.ts';
import { scheduleOf } from '../../../../core/spec/schedule.ts';
import type { StepPoint } from '../../../../proto/gen/pocketfleet/v1/fleet.ts';
import type { Services } from '../../../../worker/run/services.ts';
import { createTelemetry } from '../../../../worker/run/telemetry.ts';
import { workerMetrics } from '../../../support/metrics.ts';
import { tinyRun } from '../../../support/tiny-run.ts';

const zeros = Object.fromEntries(STATS.map((name) => [name, 0])) as Parameters<
  ReturnType<typeof createTelemetry>['recordUnit']
>[0]['stats'];
const times = {
  data: 0,
  teacher: 0,
  teacherPass: 0,
  compute: 0.1,
  allreduce: 0,
  optimizer: 0,
  steps: 1,
  images: 16,
  vectorBytes: 4,
  total: 0.1,
};

function member() {
  let at = 0;
  const metrics = workerMetrics({ heldRuns: () => 1 });
  const published: number[] = [];
  const records = {
    publishPoint: (_runId: string, { step }: StepPoint) => void published.push(step),
    publishLine: () => undefined,
    flush: async () => true,
    close: () => undefined,
  };
  const services = { metrics, clock: { ...systemClock, monotonic: () => at }, reportLatest: () => undefined };
  const telemetry = createTelemetry(services as unknown as Services, 'run-1');
  const schedule = scheduleOf({ ...tinyRun().training, epochs: 1000, batch: 16 }, 160);
  return {
    published,
    /** Begins to wait for a stage of the teacher, or ends that, at this time. */
    wait(stage: number | undefined, atMs: number) {
      at = atMs;
      telemetry.recordWait(stage, 1, 0);
    },
    passTo(atMs: number) {
      at = atMs;
    },
    waited: async () =>
      Number(
        /^pocketfleet_distillation_wait_seconds_total\{run="run-1"\} (\S+)$/m.exec(
          await metrics.registry.metrics(),
        )?.[1],
      ),
    differenceError: async () =>
      /^pocketfleet_search_difference_error\{run="run-1"\} (\S+)$/m.exec(
        await metrics.registry.metrics(),
      )?.[1],
    step(step: number, rank: number, atMs: number, differenceError?: number) {
      at = atMs;
      const point = { step, epoch: 0, loss: 1, lossArcface: 1, lossKd: 0, learningRate: 1, gradientNorm: 1 };
      telemetry.recordUnit({
        point: { ...point, imagesPerSecond: 1, atMs },
        times,
        differenceError,
        generation: 1,
        rank,
        shards: 1,
        schedule,
        stats: zeros,
        records,
      });
    },
    join: () => telemetry.joined({ rank: 0, members: 2, records }),
  };
}

test('rank 0 alone publishes, each member the newest again in a new generation', () => {
  // 10,000 steps: every fifth has a point.
  const [first, second] = [member(), member()];
  for (let step = 1; step <= 20; step++) {
    first.step(step, 0, step);
    second.step(step, 1, step);
  }
  assert.deepEqual(first.published, [5, 10, 15, 20]);
  assert.deepEqual(second.published, []);
  second.join();
  assert.deepEqual(second.published, [5, 10, 15, 20], 'the first may have died before it sent them');
});

test('points that a rank 0 had time to send are not published again', () => {
  const second = member();
  for (let step = 1; step <= 60; step++) second.step(step, 1, step * 1000);
  second.join();
  assert.deepEqual(second.published, [30, 35, 40, 45, 50, 55, 60]);
});

test('a wait for the teacher is counted while it lasts', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const student = member();
  student.wait(2, 1_000);
  student.passTo(61_000);
  t.mock.timers.tick(1_000);
  assert.equal(await student.waited(), 60);
  student.wait(undefined, 62_500);
  assert.equal(await student.waited(), 61.5);
});

test('the error of a finite difference stays that of the newest probed step, and there is none before one', async () => {
  const searching = member();
  searching.step(1, 1, 1);
  assert.equal(await searching.differenceError(), undefined);
  searching.step(2, 1, 2, 0.25);
  searching.step(3, 1, 3);
  assert.equal(await searching.differenceError(), '0.25');
});
