// Does a run learn, and how fast?

import { type DashboardSpec, panel } from '../panel.ts';

const quantile = (q: number, metric: string) =>
  `histogram_quantile(${q}, sum by (run, le) (rate(${metric}_bucket[$__rate_interval])))`;
const newest = (metric: string) => ({ expr: `max by (run) (${metric})`, legend: '{{run}}' });

export const RUN: DashboardSpec = {
  uid: 'pocketfleet-run',
  title: 'Run',
  question: 'Does a run learn, how fast, and what would be lost if all died now?',
  variables: { run: 'pocketfleet_train_steps_total' },
  rows: [
    {
      title: 'Does it learn?',
      panels: [
        panel('Loss', { ...newest('pocketfleet_train_loss'), reading: 'Of the last step.' }),
        panel('Learning rate', {
          ...{ ...newest('pocketfleet_train_learning_rate'), reading: 'By the schedule of the spec.' },
        }),
        panel('Gradient norm', {
          ...{
            ...newest('pocketfleet_train_gradient_norm'),
            reading: 'Before clipping. Peaks come before NaN.',
          },
        }),
        panel('Error of the finite difference', {
          ...newest('pocketfleet_search_difference_error'),
          reading:
            'Of searches with probeEvery. Far above 0.01: rounding of float32; more images a shard make it smaller.',
        }),
        panel('Epoch', { ...newest('pocketfleet_train_epoch'), reading: 'How far it is.' }),
        panel('Steps', { ...newest('pocketfleet_train_global_step'), reading: 'Committed steps.' }),
        panel('NaN or infinite', {
          expr: 'sum by (run) (increase(pocketfleet_train_nonfinite_total[$__range]))',
          ...{ legend: '{{run}}', reading: 'Above 0: the run fails with the step.' },
        }),
      ],
    },
    {
      title: 'Does it get further?',
      panels: [
        panel('Since the last step', {
          ...{ unit: 's', legend: '{{run}}' },
          expr: 'time() - max by (run) (pocketfleet_run_last_progress_timestamp_seconds)',
          reading: 'As the coordinator sees it. Waits for a teacher or the store are not counted.',
        }),
        panel('Steps a second', {
          ...{ expr: 'run:pocketfleet_train_steps:rate1m', legend: '{{run}}', unit: 'ops' },
          reading: '0: it stands.',
        }),
        panel('Passes of the teacher', {
          ...{ unit: 'ops', legend: '{{source}}' },
          expr: 'sum by (source) (rate(pocketfleet_teacher_images_total[$__rate_interval]))',
          reading:
            'Images a second: embedded on this worker, shared with a student of the same order here, or fetched from the stream.',
        }),
        panel('Blocks of embeddings in the stream', {
          ...{ unit: 'ops', legend: '{{run}} {{event}}' },
          expr: 'sum by (run, event) (rate(pocketfleet_teacher_blocks_total[$__rate_interval]))',
          reading:
            'Published once for all students of an order. Taken over: whoever had claimed it did not finish in time.',
        }),
        panel('Waiting for the teacher', {
          ...{ unit: 'percentunit', legend: '{{run}}' },
          expr: 'max by (run) (rate(pocketfleet_distillation_wait_seconds_total[$__rate_interval]))',
          reading: 'Share of the time; a student can be no faster than its teacher.',
        }),
      ],
    },
    {
      title: 'How fast is it, and what slows it down?',
      panels: [
        panel('Throughput', {
          ...{ expr: 'run:pocketfleet_train_samples:rate1m', legend: '{{run}}' },
          reading: 'Images a second of the whole gang.',
        }),
        {
          ...panel('Step time p50 and p99', {
            ...{ expr: quantile(0.5, 'pocketfleet_train_step_duration_seconds'), unit: 's' },
            reading: 'p99 far above p50: a straggler, or a garbage collection.',
          }),
          queries: [
            { expr: quantile(0.5, 'pocketfleet_train_step_duration_seconds'), legend: '{{run}} p50' },
            { expr: 'run:pocketfleet_train_step_duration_seconds:p99_5m', legend: '{{run}} p99' },
          ],
        },
        panel('Where a step goes', {
          expr: 'run_phase:pocketfleet_train_phase_seconds:ratio_rate5m',
          ...{
            legend: '{{run}} {{phase}}',
            unit: 'percentunit',
            reading: 'Shares of the phases; they overlap.',
          },
        }),
        panel('Scaling efficiency', {
          ...{
            expr: 'run:pocketfleet_train_scaling_efficiency:ratio',
            legend: '{{run}}',
            unit: 'percentunit',
          },
          reading: 'What the gang makes of what its members could compute alone.',
        }),
        panel('Goodput', {
          ...{ expr: 'run:pocketfleet_train_goodput:ratio_rate5m', legend: '{{run}}', unit: 'percentunit' },
          reading: 'Share of the time of its workers that goes into steps.',
        }),
        panel('Waiting for data', {
          ...{ unit: 'percentunit', legend: '{{run}}' },
          expr: 'max by (run) (rate(pocketfleet_data_wait_seconds_total[$__rate_interval]))',
          reading: 'Above 0.1 data is the limit.',
        }),
        panel('Speed of each worker', {
          expr: 'max by (run, instance) (pocketfleet_train_own_samples_per_second)',
          ...{ legend: '{{run}} {{instance}}', reading: 'Images a second without waits for others.' },
        }),
        panel('Compute thread', {
          ...{ unit: 'percentunit', legend: '{{kind}}' },
          expr: 'sum by (kind) (rate(pocketfleet_compute_busy_seconds_total[$__rate_interval]))',
          reading: 'What it is busy with, over all workers.',
        }),
        panel('Verification p90', {
          unit: 's',
          expr: 'histogram_quantile(0.9, sum by (le) (increase(pocketfleet_evaluation_duration_seconds_bucket[$__range])))',
          reading: 'Time of one verification of a network.',
        }),
      ],
    },
    {
      title: 'How much would be lost if all died now?',
      panels: [
        panel('Since the last checkpoint', {
          ...{ unit: 's', legend: '{{run}}' },
          expr: 'time() - max by (run) (pocketfleet_checkpoint_last_success_timestamp_seconds)',
          reading: 'So much would be computed again.',
        }),
        panel('Checkpoint time p95', {
          ...{ unit: 's', legend: '{{op}} {{outcome}}' },
          expr: 'histogram_quantile(0.95, sum by (op, outcome, le) (increase(pocketfleet_checkpoint_duration_seconds_bucket[$__range])))',
          reading: 'Storing and loading.',
        }),
        panel('Checkpoint bytes', {
          ...{ unit: 'Bps', legend: '{{op}}' },
          expr: 'sum by (op) (rate(pocketfleet_checkpoint_bytes_total[$__rate_interval]))',
          reading: 'Between workers and the store.',
        }),
      ],
    },
    {
      title: 'Is a worker healthy?',
      panels: [
        panel('Tensors', {
          ...{ expr: 'max by (instance) (pocketfleet_tfjs_tensors)', legend: '{{instance}}' },
          reading: 'Must be flat: a slope is a leak.',
        }),
        panel('Bytes of tensors', {
          ...{ expr: 'sum by (instance) (pocketfleet_tfjs_bytes)', legend: '{{instance}}', unit: 'bytes' },
          reading: 'Memory of the compute thread.',
        }),
        {
          ...panel('Runs, graphs and jobs', {
            ...{ expr: 'sum(pocketfleet_worker_runs)', legend: 'runs' },
            reading: 'Held runs, compiled graphs, and jobs that wait for the compute thread.',
          }),
          queries: [
            { expr: 'sum(pocketfleet_worker_runs)', legend: 'runs' },
            { expr: 'sum(pocketfleet_compiled_graphs)', legend: 'graphs' },
            { expr: 'sum(pocketfleet_compute_queue_jobs)', legend: 'jobs' },
          ],
        },
      ],
    },
  ],
};
