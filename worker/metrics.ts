// Metrics of a worker. Decides names, labels and buckets, in one place, so that dashboards and tests can be
// checked against it. A run is a label only while the worker holds it.

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import {
  type ClosedCounter,
  closedCounter,
  closedHistogram,
  type LabelValues,
  labelSets,
} from '../core/metric-families.ts';
import { JOB_KINDS } from './compute/job-kind.ts';

const geometric = (first: number, factor: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => first * factor ** i);
const STEP_BUCKETS = geometric(0.002, 2, 14);
const ALLREDUCE_BUCKETS = geometric(0.0005, 2, 15);
const LONG_BUCKETS = geometric(1, 2, 13);

/** Parts of a step, in their order. */
export const STEP_PHASES = ['data', 'teacher', 'compute', 'allreduce', 'optimizer'] as const;
const CHECKPOINT_OPERATIONS = ['save', 'load'] as const;

export type WorkerMetrics = ReturnType<typeof createMetrics>;

/** What gauges read when they are scraped. */
export interface MetricsSources {
  readonly version: string;
  readonly queuedJobs: () => number;
  readonly threadGauges: () => { readonly tensors: number; readonly bytes: number; readonly graphs: number };
  readonly heldRuns: () => number;
  readonly connections: () => { readonly nats: boolean; readonly coordinator: boolean };
}

export function createMetrics(sources: MetricsSources) {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const makers = createMakers(registry);
  const { counter, histogram, labels } = makers;
  collected([registry], sources);
  const perRun = runFamilies(makers);
  return {
    registry,
    ...perRun,
    checkpointDuration: closedHistogram({
      name: 'pocketfleet_checkpoint_duration_seconds',
      help: 'Checkpoint save or load.',
      values: { op: CHECKPOINT_OPERATIONS, outcome: ['ok', 'error'] },
      buckets: STEP_BUCKETS,
      registry,
    }),
    checkpointBytes: closedCounter({
      name: 'pocketfleet_checkpoint_bytes_total',
      help: 'Checkpoint bytes.',
      values: { op: CHECKPOINT_OPERATIONS },
      registry,
    }),
    evaluationDuration: histogram(
      'pocketfleet_evaluation_duration_seconds',
      'One verification of a network.',
      [],
      LONG_BUCKETS,
    ),
    computeBusy: closedCounter({
      name: 'pocketfleet_compute_busy_seconds_total',
      help: 'Time of the compute thread by kind of job.',
      values: { kind: JOB_KINDS },
      registry,
    }),
    drainDuration: closedHistogram({
      name: 'pocketfleet_worker_drain_duration_seconds',
      help: 'SIGTERM to exit.',
      values: { outcome: ['ok'] },
      buckets: LONG_BUCKETS,
      registry,
    }),
    coordinatorReconnects: counter(
      'pocketfleet_worker_attach_total',
      'Streams opened to the coordinator.',
      [],
    ),
    natsReconnects: closedCounter({
      name: 'pocketfleet_nats_reconnects_total',
      help: 'Reconnects.',
      values: { component: ['worker'] },
      registry,
    }),
    /** The series of a run that begins, as 0; they go with `endRun`. */
    beginRun(runId: string) {
      for (const metric of Object.values(perRun)) {
        if (metric instanceof Histogram) metric.zero({ run: runId });
        if (!(metric instanceof Counter)) continue;
        for (const values of labelSets(labels.get(metric) ?? {}))
          (metric as Counter<string>).inc({ run: runId, ...values }, 0);
      }
    },
    /** Takes a released run out of all series, so that labels stay few. */
    endRun(runId: string) {
      for (const metric of Object.values(perRun)) removeRun(metric, runId);
    },
  };
}

/** Makes families of one registry, and keeps which label values a run's counters have. */
function createMakers(registry: Registry) {
  const registers = [registry];
  /** Values of the labels of a run's counter besides the run. */
  const labels = new Map<object, LabelValues>();
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter<L>({ name, help, labelNames: [...labelNames], registers });
  return {
    labels,
    counter,
    gauge: <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
      new Gauge<L>({ name, help, labelNames: [...labelNames], registers }),
    histogram: <L extends string>(name: string, help: string, labelNames: readonly L[], buckets: number[]) =>
      new Histogram<L>({ name, help, labelNames: [...labelNames], buckets, registers }),
    /** By run and by labels whose values are known. */
    runCounter: <const V extends LabelValues>(name: string, help: string, values: V) => {
      const family = counter<string>(name, help, ['run', ...Object.keys(values)]);
      labels.set(family, values);
      return family as unknown as ClosedCounter<V & { readonly run: readonly string[] }>;
    },
  };
}

/** Families with a series for each run that the worker holds. */
function runFamilies({ counter, gauge, histogram, runCounter }: ReturnType<typeof createMakers>) {
  const run = ['run'] as const;
  return {
    steps: counter('pocketfleet_train_steps_total', 'Optimiser steps.', run),
    samples: counter('pocketfleet_train_samples_total', 'Images consumed by this worker.', run),
    stepDuration: histogram('pocketfleet_train_step_duration_seconds', 'Whole step.', run, STEP_BUCKETS),
    phase: runCounter('pocketfleet_train_phase_seconds_total', 'Time in each phase of a step.', {
      phase: STEP_PHASES,
    }),
    globalStep: gauge('pocketfleet_train_global_step', 'Committed steps.', run),
    epoch: gauge('pocketfleet_train_epoch', 'Epoch, fractional.', run),
    loss: gauge('pocketfleet_train_loss', 'Loss of the last step.', run),
    learningRate: gauge('pocketfleet_train_learning_rate', 'Learning rate.', run),
    gradientNorm: gauge('pocketfleet_train_gradient_norm', 'Global gradient norm before clipping.', run),
    nonfinite: counter('pocketfleet_train_nonfinite_total', 'Losses or gradients that were not finite.', run),
    dataWait: counter('pocketfleet_data_wait_seconds_total', 'Time steps waited for data.', run),
    teacherWait: counter(
      'pocketfleet_distillation_wait_seconds_total',
      'Time steps waited for a teacher checkpoint.',
      run,
    ),
    allreduceDuration: histogram(
      'pocketfleet_allreduce_duration_seconds',
      'One all-reduce round, waiting for peers included.',
      run,
      ALLREDUCE_BUCKETS,
    ),
    allreduceRounds: runCounter('pocketfleet_allreduce_rounds_total', 'Rounds by outcome.', {
      outcome: ['ok'],
    }),
    allreduceBytes: runCounter('pocketfleet_allreduce_bytes_total', 'Bytes on the wire.', {
      direction: ['sent', 'received'],
    }),
    allreduceTensorBytes: counter(
      'pocketfleet_allreduce_tensor_bytes_total',
      'Gradient bytes reduced, before the wire.',
      run,
    ),
    allreduceRetransmits: counter(
      'pocketfleet_allreduce_retransmits_total',
      'Chunks asked for or sent again.',
      run,
    ),
    worldSize: gauge('pocketfleet_allreduce_world_size', 'Workers in the gang.', run),
    reformations: counter('pocketfleet_allreduce_reformations_total', 'Generations joined.', run),
    checkpointLast: gauge(
      'pocketfleet_checkpoint_last_success_timestamp_seconds',
      'Last checkpoint stored by this worker.',
      run,
    ),
  };
}

/** Gauges that are read at the scrape. */
function collected(registers: Registry[], sources: MetricsSources): void {
  const read = (name: string, help: string, value: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value());
      },
    });
  read(
    'pocketfleet_compute_queue_jobs',
    'Jobs asked of the compute thread and not answered.',
    sources.queuedJobs,
  );
  read('pocketfleet_tfjs_tensors', 'Tensors alive.', () => sources.threadGauges().tensors);
  read('pocketfleet_compiled_graphs', 'Compiled graphs kept.', () => sources.threadGauges().graphs);
  read('pocketfleet_worker_runs', 'Runs this worker holds.', sources.heldRuns);
  read('pocketfleet_worker_attached', '1 while the stream to the coordinator is up.', () =>
    Number(sources.connections().coordinator),
  );
  new Gauge({
    name: 'pocketfleet_tfjs_bytes',
    help: 'Bytes of tensors alive.',
    labelNames: ['kind'],
    registers,
    collect() {
      this.set({ kind: 'tensors' }, sources.threadGauges().bytes);
    },
  });
  new Gauge({
    name: 'pocketfleet_nats_connected',
    help: '1 while connected to NATS.',
    labelNames: ['component'],
    registers,
    collect() {
      this.set({ component: 'worker' }, Number(sources.connections().nats));
    },
  });
  new Gauge({
    name: 'pocketfleet_build_info',
    help: 'Build information, always 1.',
    labelNames: ['component', 'version', 'revision', 'node_version'],
    registers,
  }).set({ component: 'worker', version: sources.version, revision: '', node_version: process.version }, 1);
}

/** A histogram's `get` lists one value a bucket; removing the same labels twice is harmless. */
function removeRun(metric: object, runId: string): void {
  const family = metric as Counter<string>;
  const { hashMap } = metric as unknown as { hashMap: Record<string, { labels: Record<string, string> }> };
  for (const { labels } of Object.values(hashMap)) if (labels.run === runId) family.remove(labels);
}
