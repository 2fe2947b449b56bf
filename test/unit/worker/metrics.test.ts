import assert from 'node:assert/strict';
import { test } from 'node:test';
import { workerMetrics } from '../../support/metrics.ts';

test('gauges are read when they are scraped, in the text format', async () => {
  const metrics = workerMetrics({
    version: '1.2.3',
    revision: 'abc',
    queuedJobs: () => 2,
    connections: () => ({ nats: true, coordinator: false }),
  });
  const text = await metrics.registry.metrics();
  assert.match(text, /^pocketfleet_build_info\{component="worker",version="1\.2\.3",revision="abc",.*\} 1$/m);
  assert.match(text, /^pocketfleet_compute_queue_jobs 2$/m);
  assert.match(text, /^pocketfleet_nats_connected\{component="worker"\} 1$/m);
  assert.match(text, /^pocketfleet_worker_attached 0$/m);
});

test('series of a run that was released can be scraped twice more, then they are gone, and others stay', async () => {
  let nowMs = 0;
  const metrics = workerMetrics({ keepMs: 60_000, now: () => nowMs });
  for (const run of ['run-1', 'run-2']) {
    metrics.beginRun(run);
    metrics.steps.inc({ run });
    metrics.stepDuration.observe({ run }, 0.1);
    metrics.phase.inc({ run, phase: 'data' }, 1);
    metrics.loss.set({ run }, 2);
    metrics.allreduceWait.inc({ run, rank: '0' }, 1);
  }
  metrics.endRun('run-1');
  for (nowMs of [29_000, 59_000])
    assert.match(await metrics.registry.metrics(), /pocketfleet_train_steps_total\{run="run-1"\} 1/);
  nowMs = 61_000;
  const text = await metrics.registry.metrics();
  assert.doesNotMatch(text, /run-1/);
  assert.match(text, /pocketfleet_train_step_duration_seconds_count\{run="run-2"\} 1/);
  assert.match(text, /pocketfleet_train_phase_seconds_total\{run="run-2",phase="data"\} 1/);
});

test('a run that comes back before its series are gone goes on counting', async () => {
  let nowMs = 0;
  const metrics = workerMetrics({ keepMs: 60_000, now: () => nowMs });
  metrics.beginRun('run-1');
  metrics.steps.inc({ run: 'run-1' }, 5);
  metrics.endRun('run-1');
  nowMs = 50_000;
  metrics.beginRun('run-1');
  nowMs = 200_000;
  metrics.steps.inc({ run: 'run-1' }, 2);
  assert.match(await metrics.registry.metrics(), /pocketfleet_train_steps_total\{run="run-1"\} 7/);
});
