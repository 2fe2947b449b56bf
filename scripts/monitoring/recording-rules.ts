// Series that several panels and alerts need, computed once. Their names are `level:metric:operation`.

import type { RecordingRule } from './rule.ts';

const BY_RUN = 'sum by (namespace, fleet, run)';

export const RECORDING_RULES: readonly RecordingRule[] = [
  {
    record: 'run:pocketfleet_train_samples:rate1m',
    expr: `${BY_RUN} (rate(pocketfleet_train_samples_total[1m]))`,
  },
  {
    // Each member counts each step of its gang.
    record: 'run:pocketfleet_train_steps:rate1m',
    expr: 'max by (namespace, fleet, run) (rate(pocketfleet_train_steps_total[1m]))',
  },
  {
    record: 'run_phase:pocketfleet_train_phase_seconds:ratio_rate5m',
    expr: `sum by (namespace, fleet, run, phase) (rate(pocketfleet_train_phase_seconds_total[5m])) / ignoring (phase) group_left () ${BY_RUN} (rate(pocketfleet_train_phase_seconds_total[5m]))`,
  },
  {
    record: 'run:pocketfleet_train_step_duration_seconds:p99_5m',
    expr: 'histogram_quantile(0.99, sum by (namespace, fleet, run, le) (rate(pocketfleet_train_step_duration_seconds_bucket[5m])))',
  },
  {
    // What the gang makes of what its members could compute each for itself.
    record: 'run:pocketfleet_train_scaling_efficiency:ratio',
    expr: `run:pocketfleet_train_samples:rate1m / ${BY_RUN} (pocketfleet_train_own_samples_per_second)`,
  },
  {
    // Share of the time for which workers hold the run that goes into steps.
    record: 'run:pocketfleet_train_goodput:ratio_rate5m',
    expr: 'avg by (namespace, fleet, run) (rate(pocketfleet_train_step_duration_seconds_sum[5m]))',
  },
  {
    record: 'run:pocketfleet_allreduce_bus_bandwidth:bytes_per_second',
    expr: `${BY_RUN} (rate(pocketfleet_allreduce_bytes_total[5m])) / ${BY_RUN} (rate(pocketfleet_allreduce_duration_seconds_sum[5m]))`,
  },
  {
    record: 'run:pocketfleet_allreduce_compression:ratio_rate5m',
    expr: `${BY_RUN} (rate(pocketfleet_allreduce_tensor_bytes_total[5m])) / ${BY_RUN} (rate(pocketfleet_allreduce_bytes_total{direction=~"sent|shared"}[5m]))`,
  },
  {
    // Codes that are the server's fault; a standby refuses with Unavailable, and names the leader.
    record: 'method:grpc_server_handled:error_ratio_rate5m',
    expr: 'sum by (namespace, fleet, grpc_service, grpc_method) (rate(grpc_server_handled_total{grpc_code=~"Unknown|Internal|DataLoss|DeadlineExceeded"}[5m])) / sum by (namespace, fleet, grpc_service, grpc_method) (rate(grpc_server_handled_total[5m]))',
  },
  {
    record: 'fleet:pocketfleet_gpus_allocated:ratio',
    expr: 'sum by (namespace, fleet) (pocketfleet_gpus{state="busy"}) / sum by (namespace, fleet) (pocketfleet_gpus{state!="lost"})',
  },
];
