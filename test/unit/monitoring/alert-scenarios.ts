// For each alert a fleet in which it fires and one in which it stays quiet, as series of Prometheus: a sample
// each half minute, in promtool's notation ("0+3x120": from 0 on 3 more each time, 120 times).

/** Series by name and labels; `namespace` and `fleet` are added. */
export interface Scenario {
  readonly series: Readonly<Record<string, string>>;
  /** When the alert is looked at, minutes from the start. */
  readonly atMinutes: number;
  /** Of the alert that fires, beside `namespace`, `fleet` and `severity`. */
  readonly labels?: Readonly<Record<string, string>>;
  /** The series and the alert have no namespace and no fleet. */
  readonly isForeign?: boolean;
}

/** A value that stays. */
const still = (value: number) => `${value}x240`;
/** A counter that grows by so much each half minute. */
const grows = (by: number) => `0+${by}x240`;
const HOUR = 60;
const run = { run: 'run-1' };

export const SCENARIOS: Readonly<Record<string, { readonly fires: Scenario; readonly quiet: Scenario }>> = {
  PocketfleetMetricsAbsent: {
    fires: {
      series: { 'pocketfleet_build_info{component="worker"}': still(1) },
      ...{ atMinutes: 6, labels: { component: 'coordinator' }, isForeign: true },
    },
    quiet: { series: { 'pocketfleet_build_info{component="coordinator"}': still(1) }, atMinutes: 6 },
  },
  PocketfleetNoLeader: {
    fires: {
      series: {
        'pocketfleet_coordinator_leader{instance="a"}': still(0),
        'pocketfleet_coordinator_leader{instance="b"}': still(0),
      },
      atMinutes: 2,
    },
    quiet: {
      series: {
        'pocketfleet_coordinator_leader{instance="a"}': still(0),
        'pocketfleet_coordinator_leader{instance="b"}': '0 0 1x240',
      },
      atMinutes: 2,
    },
  },
  PocketfleetMultipleLeaders: {
    fires: {
      series: {
        'pocketfleet_coordinator_leader{instance="a"}': still(1),
        'pocketfleet_coordinator_leader{instance="b"}': still(1),
      },
      atMinutes: 2,
    },
    quiet: {
      series: {
        'pocketfleet_coordinator_leader{instance="a"}': '1 1 0x240',
        'pocketfleet_coordinator_leader{instance="b"}': '0 1 1x240',
      },
      atMinutes: 2,
    },
  },
  PocketfleetLeaderFlapping: {
    fires: { series: { 'pocketfleet_coordinator_epoch{instance="a"}': '3x10 4 5 6 7x240' }, atMinutes: 10 },
    quiet: {
      series: {
        'pocketfleet_coordinator_epoch{instance="a"}': '3x10 4x240',
        'pocketfleet_coordinator_epoch{instance="b"}': '3x12 4x240',
      },
      atMinutes: 10,
    },
  },
  PocketfleetFencedWrites: {
    fires: { series: { pocketfleet_coordinator_fenced_writes_total: '0x10 1x240' }, atMinutes: 10 },
    quiet: { series: { pocketfleet_coordinator_fenced_writes_total: still(1) }, atMinutes: 10 },
  },
  PocketfleetJournalHalted: {
    fires: { series: { pocketfleet_journal_halted: '0 1x240' }, atMinutes: 1 },
    quiet: { series: { pocketfleet_journal_halted: still(0) }, atMinutes: 1 },
  },
  PocketfleetInputsRefused: {
    fires: {
      series: { 'pocketfleet_coordinator_inputs_refused_total{input="submit"}': '0x10 1x240' },
      ...{ atMinutes: 10, labels: { input: 'submit' } },
    },
    quiet: {
      series: { 'pocketfleet_coordinator_inputs_refused_total{input="submit"}': '0x10 1x240' },
      atMinutes: 30,
    },
  },
  PocketfleetLeaseSlow: {
    fires: {
      series: {
        'pocketfleet_coordinator_lease_renew_duration_seconds_bucket{le="1"}': grows(1),
        'pocketfleet_coordinator_lease_renew_duration_seconds_bucket{le="2.5"}': grows(30),
        'pocketfleet_coordinator_lease_renew_duration_seconds_bucket{le="+Inf"}': grows(30),
      },
      atMinutes: 12,
    },
    quiet: {
      series: {
        'pocketfleet_coordinator_lease_renew_duration_seconds_bucket{le="1"}': grows(30),
        'pocketfleet_coordinator_lease_renew_duration_seconds_bucket{le="2.5"}': grows(30),
        'pocketfleet_coordinator_lease_renew_duration_seconds_bucket{le="+Inf"}': grows(30),
      },
      atMinutes: 12,
    },
  },
  PocketfleetGrpcErrorsHigh: {
    fires: {
      series: {
        'grpc_server_handled_total{grpc_service="S",grpc_method="M",grpc_code="OK"}': grows(90),
        'grpc_server_handled_total{grpc_service="S",grpc_method="M",grpc_code="Internal"}': grows(10),
      },
      ...{ atMinutes: 20, labels: { grpc_service: 'S', grpc_method: 'M' } },
    },
    quiet: {
      series: {
        'grpc_server_handled_total{grpc_service="S",grpc_method="M",grpc_code="OK"}': grows(90),
        'grpc_server_handled_total{grpc_service="S",grpc_method="M",grpc_code="Unavailable"}': grows(10),
      },
      atMinutes: 20,
    },
  },
  PocketfleetGrpcSlow: {
    fires: {
      series: {
        'grpc_server_handling_seconds_bucket{grpc_method="Submit",le="1"}': grows(90),
        'grpc_server_handling_seconds_bucket{grpc_method="Submit",le="2.5"}': grows(100),
        'grpc_server_handling_seconds_bucket{grpc_method="Submit",le="+Inf"}': grows(100),
      },
      ...{ atMinutes: 20, labels: { grpc_method: 'Submit' } },
    },
    quiet: {
      series: {
        'grpc_server_handling_seconds_bucket{grpc_method="Submit",le="1"}': grows(100),
        'grpc_server_handling_seconds_bucket{grpc_method="Submit",le="2.5"}': grows(100),
        'grpc_server_handling_seconds_bucket{grpc_method="Submit",le="+Inf"}': grows(100),
      },
      atMinutes: 20,
    },
  },
  PocketfleetCallsRefused: {
    fires: {
      series: { 'pocketfleet_calls_refused_total{role="none",reason="unknown"}': grows(60) },
      ...{ atMinutes: 12, labels: { reason: 'unknown' } },
    },
    quiet: {
      series: { 'pocketfleet_calls_refused_total{role="none",reason="unknown"}': grows(1) },
      atMinutes: 12,
    },
  },
  PocketfleetTokenExpiring: {
    fires: {
      series: { 'pocketfleet_token_expiry_timestamp_seconds{token="ci",role="submit"}': still(500_000) },
      ...{ atMinutes: 1, labels: { token: 'ci' } },
    },
    quiet: {
      series: { 'pocketfleet_token_expiry_timestamp_seconds{token="ci",role="submit"}': still(700_000) },
      atMinutes: 1,
    },
  },
  PocketfleetCertificateExpiring: {
    fires: {
      series: {
        'pocketfleet_certificate_expiry_timestamp_seconds{component="worker",instance="w"}': still(1_000_000),
      },
      ...{ atMinutes: 1, labels: { component: 'worker', instance: 'w' } },
    },
    quiet: {
      series: {
        'pocketfleet_certificate_expiry_timestamp_seconds{component="worker",instance="w"}': still(1_300_000),
      },
      atMinutes: 1,
    },
  },
  PocketfleetEventLoopBlocked: {
    fires: {
      series: { 'nodejs_eventloop_lag_p99_seconds{job="pocketfleet-worker",instance="w"}': still(0.7) },
      ...{ atMinutes: 6, labels: { job: 'pocketfleet-worker', instance: 'w' } },
    },
    quiet: {
      series: {
        'nodejs_eventloop_lag_p99_seconds{job="pocketfleet-worker",instance="w"}': still(0.1),
        'nodejs_eventloop_lag_p99_seconds{job="another",instance="x"}': still(9),
      },
      atMinutes: 6,
    },
  },

  PocketfleetQueueWaitHigh: {
    fires: {
      series: {
        'pocketfleet_run_queue_wait_seconds_bucket{priority="50",le="1800"}': grows(8),
        'pocketfleet_run_queue_wait_seconds_bucket{priority="50",le="3600"}': grows(10),
        'pocketfleet_run_queue_wait_seconds_bucket{priority="50",le="+Inf"}': grows(10),
      },
      ...{ atMinutes: HOUR, labels: { priority: '50' } },
    },
    quiet: {
      series: {
        'pocketfleet_run_queue_wait_seconds_bucket{priority="50",le="1800"}': grows(10),
        'pocketfleet_run_queue_wait_seconds_bucket{priority="50",le="3600"}': grows(10),
        'pocketfleet_run_queue_wait_seconds_bucket{priority="50",le="+Inf"}': grows(10),
      },
      atMinutes: HOUR,
    },
  },
  PocketfleetRunsUnschedulable: {
    fires: {
      series: {
        'pocketfleet_scheduler_unschedulable_runs{reason="model_mismatch"}': still(2),
        'pocketfleet_workers{state="idle"}': still(3),
      },
      ...{ atMinutes: 35, labels: { reason: 'model_mismatch' } },
    },
    quiet: {
      series: {
        'pocketfleet_scheduler_unschedulable_runs{reason="insufficient_workers"}': still(2),
        'pocketfleet_scheduler_unschedulable_runs{reason="teacher_not_started"}': still(9),
        'pocketfleet_workers{state="idle"}': still(0),
      },
      atMinutes: 35,
    },
  },
  PocketfleetTrialFailureRateHigh: {
    fires: {
      series: {
        'pocketfleet_trials_finished_total{outcome="done",reason="none"}': grows(6),
        'pocketfleet_trials_finished_total{outcome="failed",reason="numeric"}': grows(2),
        'pocketfleet_trials_finished_total{outcome="failed",reason="crash"}': grows(2),
      },
      atMinutes: HOUR,
    },
    quiet: {
      series: {
        'pocketfleet_trials_finished_total{outcome="done",reason="none"}': grows(9),
        'pocketfleet_trials_finished_total{outcome="failed",reason="numeric"}': grows(1),
      },
      atMinutes: HOUR,
    },
  },
  PocketfleetRunFailed: {
    fires: {
      series: {
        'pocketfleet_runs_finished_total{kind="teacher",outcome="failed",reason="numeric"}': '0x10 1x240',
      },
      ...{ atMinutes: 8, labels: { kind: 'teacher', reason: 'numeric' } },
    },
    quiet: {
      series: {
        'pocketfleet_runs_finished_total{kind="candidate",outcome="failed",reason="numeric"}': '0x10 1x240',
        'pocketfleet_runs_finished_total{kind="teacher",outcome="done",reason="none"}': '0x10 1x240',
      },
      atMinutes: 8,
    },
  },
  PocketfleetTrialRestartLoop: {
    fires: {
      series: { 'pocketfleet_trial_restarts_total{reason="infrastructure"}': grows(1) },
      ...{ atMinutes: 20, labels: { reason: 'infrastructure' } },
    },
    quiet: { series: { 'pocketfleet_trial_restarts_total{reason="failed"}': '0x20 3x240' }, atMinutes: 20 },
  },
  PocketfleetGangsDissolve: {
    fires: { series: { 'pocketfleet_gang_formations_total{outcome="aborted"}': grows(1) }, atMinutes: 25 },
    quiet: {
      series: {
        'pocketfleet_gang_formations_total{outcome="ok"}': grows(9),
        'pocketfleet_gang_formations_total{outcome="aborted"}': '0x10 4x240',
      },
      atMinutes: 25,
    },
  },

  PocketfleetWorkerHeartbeatStale: {
    fires: {
      series: { 'pocketfleet_worker_last_heartbeat_timestamp_seconds{worker="w1"}': '0+30x4 120x240' },
      ...{ atMinutes: 6, labels: { worker: 'w1' } },
    },
    quiet: {
      series: { 'pocketfleet_worker_last_heartbeat_timestamp_seconds{worker="w1"}': '0+30x240' },
      atMinutes: 6,
    },
  },
  PocketfleetWorkersLost: {
    fires: {
      series: { 'pocketfleet_worker_lost_timestamp_seconds{worker="w1",reason="pod_ended"}': still(60) },
      ...{ atMinutes: 10, labels: { worker: 'w1', reason: 'pod_ended' } },
    },
    quiet: {
      series: {
        'pocketfleet_worker_lost_timestamp_seconds{worker="w1",reason="drained"}': still(60),
        'pocketfleet_worker_lost_timestamp_seconds{worker="w2",reason="silent"}': '_ _ 60x4 _x240',
      },
      atMinutes: 10,
    },
  },
  PocketfleetWorkerDown: {
    fires: {
      series: { 'up{job="pocketfleet-worker",instance="w1:7072"}': '1 1 0x240' },
      ...{ atMinutes: 8, labels: { job: 'pocketfleet-worker', instance: 'w1:7072' } },
    },
    quiet: {
      series: {
        'up{job="pocketfleet-worker",instance="w1:7072"}': '1 1 0 0 1x240',
        'up{job="another",instance="x"}': still(0),
      },
      atMinutes: 8,
    },
  },
  PocketfleetWorkersBelowDesired: {
    fires: {
      series: {
        'pocketfleet_workers_desired{instance="a"}': still(8),
        'pocketfleet_workers_desired{instance="b"}': still(0),
        'pocketfleet_workers{state="busy"}': still(4),
        'pocketfleet_workers{state="idle"}': still(0),
      },
      atMinutes: 25,
    },
    quiet: {
      series: {
        'pocketfleet_workers_desired{instance="a"}': still(4),
        'pocketfleet_workers{state="busy"}': still(4),
        'pocketfleet_workers{state="idle"}': still(1),
      },
      atMinutes: 25,
    },
  },
  PocketfleetTensorLeak: {
    fires: {
      series: { 'pocketfleet_tfjs_tensors{instance="w1"}': '100+3x240' },
      ...{ atMinutes: 50, labels: { instance: 'w1' } },
    },
    quiet: { series: { 'pocketfleet_tfjs_tensors{instance="w1"}': '100x40 180x240' }, atMinutes: 50 },
  },

  PocketfleetTrainingStalled: {
    fires: {
      series: {
        'pocketfleet_run_last_progress_timestamp_seconds{run="run-1"}': '0+30x10 300x240',
        'pocketfleet_run_last_progress_timestamp_seconds{run="run-2"}': '0+30x240',
      },
      ...{ atMinutes: 20, labels: run },
    },
    quiet: {
      series: { 'pocketfleet_run_last_progress_timestamp_seconds{run="run-1"}': '0+30x10 300x10 _x240' },
      atMinutes: 20,
    },
  },
  PocketfleetThroughputDropped: {
    fires: {
      series: { 'pocketfleet_train_samples_total{run="run-1"}': '0+900x120 108000+300x120' },
      ...{ atMinutes: 82, labels: run },
    },
    quiet: { series: { 'pocketfleet_train_samples_total{run="run-1"}': grows(900) }, atMinutes: 82 },
  },
  PocketfleetScalingEfficiencyLow: {
    fires: {
      series: {
        'pocketfleet_train_samples_total{run="run-1",instance="a"}': grows(300),
        'pocketfleet_train_samples_total{run="run-1",instance="b"}': grows(300),
        'pocketfleet_train_own_samples_per_second{run="run-1",instance="a"}': still(20),
        'pocketfleet_train_own_samples_per_second{run="run-1",instance="b"}': still(20),
        'pocketfleet_allreduce_world_size{run="run-1"}': still(2),
      },
      ...{ atMinutes: 20, labels: run },
    },
    quiet: {
      series: {
        'pocketfleet_train_samples_total{run="run-1",instance="a"}': grows(510),
        'pocketfleet_train_samples_total{run="run-1",instance="b"}': grows(510),
        'pocketfleet_train_own_samples_per_second{run="run-1",instance="a"}': still(20),
        'pocketfleet_train_own_samples_per_second{run="run-1",instance="b"}': still(20),
        'pocketfleet_allreduce_world_size{run="run-1"}': still(2),
      },
      atMinutes: 20,
    },
  },
  PocketfleetInputBound: {
    fires: {
      series: {
        'pocketfleet_train_phase_seconds_total{run="run-1",phase="data"}': grows(15),
        'pocketfleet_train_phase_seconds_total{run="run-1",phase="compute"}': grows(15),
      },
      ...{ atMinutes: 25, labels: { ...run, phase: 'data' } },
    },
    quiet: {
      series: {
        'pocketfleet_train_phase_seconds_total{run="run-1",phase="data"}': grows(1),
        'pocketfleet_train_phase_seconds_total{run="run-1",phase="compute"}': grows(29),
      },
      atMinutes: 25,
    },
  },
  PocketfleetTeacherBehind: {
    fires: {
      series: { 'pocketfleet_distillation_wait_seconds_total{run="run-1"}': grows(20) },
      ...{ atMinutes: HOUR, labels: run },
    },
    quiet: {
      series: { 'pocketfleet_distillation_wait_seconds_total{run="run-1"}': grows(2) },
      atMinutes: HOUR,
    },
  },
  PocketfleetLossNotFinite: {
    fires: {
      series: { 'pocketfleet_train_nonfinite_total{run="run-1"}': '0x10 1x240' },
      ...{ atMinutes: 7, labels: run },
    },
    quiet: { series: { 'pocketfleet_train_nonfinite_total{run="run-1"}': still(0) }, atMinutes: 7 },
  },
  PocketfleetCheckpointStale: {
    fires: {
      series: {
        'pocketfleet_checkpoint_last_success_timestamp_seconds{run="run-1"}': still(60),
        'pocketfleet_run_info{run="run-1",kind="teacher"}': still(1),
      },
      ...{ atMinutes: 80, labels: run },
    },
    quiet: {
      series: {
        'pocketfleet_checkpoint_last_success_timestamp_seconds{run="run-1"}': '0+30x240',
        'pocketfleet_run_info{run="run-1",kind="teacher"}': still(1),
        'pocketfleet_checkpoint_last_success_timestamp_seconds{run="run-2"}': still(60),
      },
      atMinutes: 80,
    },
  },
  PocketfleetAllreduceRetransmits: {
    fires: {
      series: {
        'pocketfleet_allreduce_retransmits_total{run="run-1",kind="sent"}': grows(20),
        'pocketfleet_allreduce_rounds_total{run="run-1"}': grows(60),
      },
      ...{ atMinutes: 20, labels: run },
    },
    quiet: {
      series: {
        'pocketfleet_allreduce_retransmits_total{run="run-1",kind="sent"}': grows(1),
        'pocketfleet_allreduce_retransmits_total{run="run-1",kind="asked"}': grows(60),
        'pocketfleet_allreduce_rounds_total{run="run-1"}': grows(60),
      },
      atMinutes: 20,
    },
  },
  PocketfleetStraggler: {
    fires: {
      series: {
        'pocketfleet_allreduce_wait_seconds_total{run="run-1",rank="0"}': grows(15),
        'pocketfleet_allreduce_wait_seconds_total{run="run-1",rank="1"}': grows(1),
      },
      ...{ atMinutes: 30, labels: run },
    },
    quiet: {
      series: {
        'pocketfleet_allreduce_wait_seconds_total{run="run-1",rank="0"}': grows(15),
        'pocketfleet_allreduce_wait_seconds_total{run="run-1",rank="1"}': grows(14),
      },
      atMinutes: 30,
    },
  },
  PocketfleetGangUnstable: {
    fires: {
      series: { 'pocketfleet_allreduce_reformations_total{run="run-1"}': grows(1) },
      ...{ atMinutes: 10, labels: run },
    },
    quiet: {
      series: { 'pocketfleet_allreduce_reformations_total{run="run-1"}': '1x10 3x240' },
      atMinutes: 10,
    },
  },

  PocketfleetStoreFull: {
    fires: { series: { 'pocketfleet_store_blocked{state="full"}': '0 1x240' }, atMinutes: 1 },
    quiet: {
      series: {
        'pocketfleet_store_blocked{state="full"}': still(0),
        'pocketfleet_store_blocked{state="silent"}': still(1),
      },
      atMinutes: 1,
    },
  },
  PocketfleetStoreSilent: {
    fires: { series: { 'pocketfleet_store_blocked{state="silent"}': '0 1x240' }, atMinutes: 2 },
    quiet: { series: { 'pocketfleet_store_blocked{state="silent"}': '0 1 0x240' }, atMinutes: 2 },
  },
  PocketfleetStoreNearlyFull: {
    fires: {
      series: {
        'pocketfleet_store_bytes{kind="used"}': still(90),
        'pocketfleet_store_bytes{kind="limit"}': still(100),
      },
      atMinutes: 12,
    },
    quiet: { series: { 'pocketfleet_store_bytes{kind="used"}': still(90) }, atMinutes: 12 },
  },
  PocketfleetStreamNearlyFull: {
    fires: {
      series: {
        'pocketfleet_jetstream_stream_bytes{stream="logs"}': still(95),
        'pocketfleet_jetstream_stream_bytes_limit{stream="logs"}': still(100),
      },
      ...{ atMinutes: 12, labels: { stream: 'logs' } },
    },
    quiet: {
      series: {
        'pocketfleet_jetstream_stream_bytes{stream="logs"}': still(50),
        'pocketfleet_jetstream_stream_bytes_limit{stream="logs"}': still(100),
        'pocketfleet_jetstream_stream_bytes{stream="journal"}': still(95),
      },
      atMinutes: 12,
    },
  },
  PocketfleetJetStreamSlow: {
    fires: {
      series: {
        'pocketfleet_jetstream_publish_duration_seconds_bucket{stream="journal",le="1"}': grows(9),
        'pocketfleet_jetstream_publish_duration_seconds_bucket{stream="journal",le="2.5"}': grows(10),
        'pocketfleet_jetstream_publish_duration_seconds_bucket{stream="journal",le="+Inf"}': grows(10),
      },
      ...{ atMinutes: 20, labels: { stream: 'journal' } },
    },
    quiet: {
      series: {
        'pocketfleet_jetstream_publish_duration_seconds_bucket{stream="journal",le="1"}': grows(10),
        'pocketfleet_jetstream_publish_duration_seconds_bucket{stream="journal",le="2.5"}': grows(10),
        'pocketfleet_jetstream_publish_duration_seconds_bucket{stream="journal",le="+Inf"}': grows(10),
      },
      atMinutes: 20,
    },
  },
  PocketfleetNatsDisconnected: {
    fires: {
      series: { 'pocketfleet_nats_connected{component="worker",instance="w1"}': '1 0x240' },
      ...{ atMinutes: 3, labels: { component: 'worker', instance: 'w1' } },
    },
    quiet: {
      series: { 'pocketfleet_nats_connected{component="worker",instance="w1"}': '1 0 1x240' },
      atMinutes: 3,
    },
  },
  PocketfleetNatsSlowConsumers: {
    fires: {
      series: { 'nats_varz_slow_consumers{namespace="ns"}': '0x10 1x240' },
      ...{ atMinutes: 7, labels: { namespace: 'ns' }, isForeign: true },
    },
    quiet: {
      series: { 'nats_varz_slow_consumers{namespace="ns"}': still(1) },
      atMinutes: 7,
      isForeign: true,
    },
  },

  PocketfleetGpuIdleWhileAllocated: {
    fires: {
      series: {
        'DCGM_FI_DEV_GPU_UTIL{Hostname="h",gpu="0"}': still(1),
        'pocketfleet_gpus{state="busy"}': still(4),
      },
      ...{ atMinutes: 35, labels: { Hostname: 'h', gpu: '0' }, isForeign: true },
    },
    quiet: {
      series: {
        'DCGM_FI_DEV_GPU_UTIL{Hostname="h",gpu="0"}': still(1),
        'pocketfleet_gpus{state="busy"}': still(0),
      },
      ...{ atMinutes: 35, isForeign: true },
    },
  },
  PocketfleetGpuXid: {
    fires: {
      series: { 'DCGM_FI_DEV_XID_ERRORS{Hostname="h",gpu="0"}': '0 79x240' },
      ...{ atMinutes: 3, labels: { Hostname: 'h', gpu: '0' }, isForeign: true },
    },
    quiet: { series: { 'DCGM_FI_DEV_XID_ERRORS{Hostname="h",gpu="0"}': still(0) }, atMinutes: 3 },
  },
  PocketfleetGpuMemoryNearlyFull: {
    fires: {
      series: {
        'DCGM_FI_DEV_FB_USED{Hostname="h",gpu="0"}': still(99),
        'DCGM_FI_DEV_FB_FREE{Hostname="h",gpu="0"}': still(1),
      },
      ...{ atMinutes: 12, labels: { Hostname: 'h', gpu: '0' }, isForeign: true },
    },
    quiet: {
      series: {
        'DCGM_FI_DEV_FB_USED{Hostname="h",gpu="0"}': still(90),
        'DCGM_FI_DEV_FB_FREE{Hostname="h",gpu="0"}': still(10),
      },
      atMinutes: 12,
    },
  },
  PocketfleetGpuHot: {
    fires: {
      series: { 'DCGM_FI_DEV_GPU_TEMP{Hostname="h",gpu="0"}': still(91) },
      ...{ atMinutes: 12, labels: { Hostname: 'h', gpu: '0' }, isForeign: true },
    },
    quiet: { series: { 'DCGM_FI_DEV_GPU_TEMP{Hostname="h",gpu="0"}': still(70) }, atMinutes: 12 },
  },
};
