import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetrics } from '../../../worker/metrics.ts';

const create = () =>
  createMetrics({
    version: '1.2.3',
    queuedJobs: () => 2,
    threadGauges: () => ({ tensors: 3, bytes: 4, graphs: 5 }),
    heldRuns: () => 1,
    connections: () => ({ nats: true, coordinator: false }),
  });

test('gauges are read when they are scraped, in the text format', async () => {
  const text = await create().registry.metrics();
  assert.match(text, /^pocketfleet_build_info\{component="worker",version="1\.2\.3",.*\} 1$/m);
  assert.match(text, /^pocketfleet_compute_queue_jobs 2$/m);
  assert.match(text, /^pocketfleet_nats_connected\{component="worker"\} 1$/m);
  assert.match(text, /^pocketfleet_worker_attached 0$/m);
});

test('a run that was released is in no series any more, and others stay', async () => {
  const metrics = create();
  for (const run of ['run-1', 'run-2']) {
    metrics.steps.inc({ run });
    metrics.stepDuration.observe({ run }, 0.1);
    metrics.phase.inc({ run, phase: 'data' }, 1);
    metrics.loss.set({ run }, 2);
  }
  metrics.endRun('run-1');
  const text = await metrics.registry.metrics();
  assert.doesNotMatch(text, /run-1/);
  assert.match(text, /pocketfleet_train_step_duration_seconds_count\{run="run-2"\} 1/);
  assert.match(text, /pocketfleet_train_phase_seconds_total\{run="run-2",phase="data"\} 1/);
});
