// Alerts on runs: do they get further, at their pace, and with what to fall back on?

import type { AlertGroup } from '../rule.ts';

export const TRAINING_ALERTS: AlertGroup = {
  name: 'training',
  alerts: [
    {
      name: 'PocketfleetTrainingStalled',
      expr: 'time() - max by (namespace, fleet, run) (pocketfleet_run_last_progress_timestamp_seconds) > 600',
      for: '1m',
      severity: 'critical',
      summary: '{{ $labels.run }} holds workers and has made no step for ten minutes.',
    },
    {
      name: 'PocketfleetThroughputDropped',
      expr: 'run:pocketfleet_train_samples:rate1m < 0.6 * avg_over_time(run:pocketfleet_train_samples:rate1m[1h] offset 5m)',
      for: '15m',
      severity: 'warning',
      summary: '{{ $labels.run }} trains at less than 60 % of its own pace of the last hour.',
    },
    {
      name: 'PocketfleetScalingEfficiencyLow',
      expr: 'run:pocketfleet_train_scaling_efficiency:ratio < 0.6 and on (namespace, fleet, run) max by (namespace, fleet, run) (pocketfleet_allreduce_world_size) > 1',
      for: '15m',
      severity: 'warning',
      summary: 'The gang of {{ $labels.run }} makes less than 60 % of what its members could compute alone.',
    },
    {
      name: 'PocketfleetInputBound',
      expr: 'run_phase:pocketfleet_train_phase_seconds:ratio_rate5m{phase="data"} > 0.3',
      for: '15m',
      severity: 'info',
      summary: '{{ $labels.run }} waits for data for more than 30 % of its time.',
    },
    {
      name: 'PocketfleetTeacherBehind',
      expr: 'max by (namespace, fleet, run) (rate(pocketfleet_distillation_wait_seconds_total[10m])) > 0.5',
      for: '30m',
      severity: 'info',
      summary: '{{ $labels.run }} waits for its teacher for more than half of its time.',
    },
    {
      name: 'PocketfleetLossNotFinite',
      expr: 'sum by (namespace, fleet, run) (increase(pocketfleet_train_nonfinite_total[5m])) > 0',
      for: '0m',
      severity: 'warning',
      summary: 'A loss or gradient of {{ $labels.run }} is not finite.',
    },
    {
      name: 'PocketfleetCheckpointStale',
      expr: 'time() - max by (namespace, fleet, run) (pocketfleet_checkpoint_last_success_timestamp_seconds) > 3600 and on (namespace, fleet, run) max by (namespace, fleet, run) (pocketfleet_run_info)',
      for: '10m',
      severity: 'warning',
      summary: 'More than an hour of work of {{ $labels.run }} would be lost if all its workers died.',
    },
    {
      name: 'PocketfleetAllreduceRetransmits',
      expr: 'sum by (namespace, fleet, run) (rate(pocketfleet_allreduce_retransmits_total{kind="sent"}[5m])) / sum by (namespace, fleet, run) (rate(pocketfleet_allreduce_rounds_total[5m])) > 0.1',
      for: '10m',
      severity: 'warning',
      summary: 'One of ten sums of {{ $labels.run }} needs a message again.',
    },
    {
      name: 'PocketfleetStraggler',
      expr: 'max by (namespace, fleet, run) (sum by (namespace, fleet, run, rank) (rate(pocketfleet_allreduce_wait_seconds_total[10m]))) - min by (namespace, fleet, run) (sum by (namespace, fleet, run, rank) (rate(pocketfleet_allreduce_wait_seconds_total[10m]))) > 0.2',
      for: '15m',
      severity: 'warning',
      summary: 'One member of {{ $labels.run }} makes another wait for more than 20 % of the time.',
    },
    {
      name: 'PocketfleetGangUnstable',
      expr: 'max by (namespace, fleet, run) (increase(pocketfleet_allreduce_reformations_total[30m])) > 5',
      for: '0m',
      severity: 'warning',
      summary: 'The gang of {{ $labels.run }} has changed more than five times in half an hour.',
    },
  ],
};
