// The metrics of a coordinator. No trial is a label here. A run is one while it is running, a sweep while it is
// open, a worker while it is remembered.

import { REFUSALS, ROLES } from '../net/roles.ts';
import { TIME_PHASES } from '../worker-time.ts';
import { counter, gauge, geometric, histogram } from './description.ts';
import { sharedMetrics } from './shared-catalogue.ts';

const RPC_BUCKETS = geometric(0.001, 2.5, 11);
/** One second to one day. */
const LONG_BUCKETS = [1, 2, 5, 15, 60, 180, 600, 1800, 3600, 10_800, 21_600, 43_200, 86_400];

/** How things end. */
const OUTCOMES = ['done', 'failed', 'cancelled'] as const;
/** States of what is submitted. */
export const WORK_STATES = ['queued', 'running', 'paused', ...OUTCOMES] as const;
/** States of runs; `pausing`: its gang stores where it stands. */
export const RUN_STATES = ['queued', 'running', 'pausing', 'paused', ...OUTCOMES] as const;
/** States of what consists of trials or runs. */
export const WHOLE_STATES = ['running', 'paused', ...OUTCOMES] as const;
/** Kinds of runs: what a run is to its plan or sweep. */
export const RUN_KINDS = ['candidate', 'teacher', 'student', 'embedding', 'search'] as const;
/** Why runs fail; `none`: it did not. */
export const FAILURE_REASONS = [
  'none',
  'infrastructure',
  'out_of_memory',
  'numeric',
  'user',
  'crash',
  'teacher',
  'budget',
  'other',
] as const;
/** What queued runs wait for. */
export const WAIT_REASONS = [
  'twin',
  'teacher_not_started',
  'teacher_paused',
  'teacher_stage',
  'stage_damaged',
  'model_mismatch',
  'quota',
  'reserved',
  'insufficient_workers',
] as const;
/** What running runs wait for, while they hold workers. */
export const HELD_UP_BY = ['teacher_stage', 'store'] as const;
/** States of a worker. */
export const WORKER_STATES = ['idle', 'busy', 'draining', 'lost'] as const;
/** Why workers are lost; `unknown`: another release has written it. */
export const LOSS_REASONS = [
  'silent',
  'stream_ended',
  'drained',
  'not_back',
  'restarted',
  'pod_ended',
  'held_up',
  'unknown',
] as const;
/** Inputs of decisions. */
export const INPUT_KINDS = [
  ...(['started', 'submit', 'cancel', 'resume', 'keep', 'drop', 'remove'] as const),
  ...(['pause', 'prioritise', 'drain', 'import', 'imported'] as const),
  ...([
    'attached',
    'reported',
    'lost',
    'leaving',
    'staying',
    'mended',
    'scored',
    'collected',
    'tick',
  ] as const),
  ...(['exported', 'tokens', 'configured', 'refusals'] as const),
] as const;
/** The streams of the broker by what they hold. */
export const STREAM_KINDS = ['journal', 'lead', 'manifests', 'artefacts', 'history', 'logs'] as const;

/** What the Kubernetes API is asked to do. */
const REQUEST_VERBS = ['get', 'list', 'create', 'update', 'patch'] as const;
/** With what. */
const REQUEST_RESOURCES = ['pods', 'leases', 'statefulsets'] as const;
/**
 * How that ends. `missing`: it is not there; `conflict`: somebody else has changed it; `refused`: a right is
 * missing; `failed`: the server answers with an error, or not at all.
 */
const REQUEST_OUTCOMES = ['ok', 'missing', 'conflict', 'refused', 'failed'] as const;
/** A request to the Kubernetes API that was answered, or not. */
export interface KubernetesRequest {
  readonly verb: (typeof REQUEST_VERBS)[number];
  readonly resource: (typeof REQUEST_RESOURCES)[number];
  readonly outcome: (typeof REQUEST_OUTCOMES)[number];
}

/** What the scaler does: it asks for more pods, drains the workers that are to go, takes them back, and asks for fewer. */
const SCALER_STEPS = ['up', 'drain', 'keep', 'down'] as const;
export type ScalerStep = (typeof SCALER_STEPS)[number];

const METHOD_LABELS = { grpc_type: 'open', grpc_service: 'open', grpc_method: 'open' } as const;

const LEAD_METRICS = {
  leader: gauge('pocketfleet_coordinator_leader', {
    help: '1 when this replica leads.',
    unit: 'flag',
    subject: 'lead',
  }),
  epoch: gauge('pocketfleet_coordinator_epoch', {
    help: 'Times that a coordinator of this fleet took the lead, as far as this replica knows.',
    unit: 'number',
    subject: 'lead',
  }),
  halted: gauge('pocketfleet_journal_halted', {
    help: '1 while the journal cannot be read as it is, so that nothing is decided.',
    unit: 'flag',
    subject: 'lead',
  }),
  fenced: counter('pocketfleet_coordinator_fenced_writes_total', {
    help: 'Times that this replica lost the lead because another coordinator has written.',
    unit: 'count',
    subject: 'lead',
  }),
  leaseRenewal: histogram('pocketfleet_coordinator_lease_renew_duration_seconds', {
    help: 'Renewing the lease of the lead.',
    buckets: RPC_BUCKETS,
    subject: 'lead',
    labels: { outcome: ['ok', 'error'] },
  }),
  kubernetesRequests: counter('pocketfleet_kubernetes_requests_total', {
    help: 'Requests to the Kubernetes API about pods, the Lease and the StatefulSet of the workers, by how they ended; watches are not among them.',
    unit: 'count',
    subject: 'lead',
    labels: {
      verb: REQUEST_VERBS,
      resource: REQUEST_RESOURCES,
      outcome: REQUEST_OUTCOMES,
    },
  }),
  scalerSteps: counter('pocketfleet_scaler_decisions_total', {
    help: 'Decisions of the scaler: more pods of workers, workers drained because their pods are to go, taken back because they are wanted again, fewer pods.',
    unit: 'count',
    subject: 'lead',
    labels: { step: SCALER_STEPS },
  }),
  refusedInputs: counter('pocketfleet_coordinator_inputs_refused_total', {
    help: 'Inputs that were refused because deciding them failed: each is a fault of this program.',
    unit: 'count',
    subject: 'lead',
    labels: { input: INPUT_KINDS },
  }),
} as const;

const CALL_METRICS = {
  callsStarted: counter('grpc_server_started_total', {
    help: 'Calls started.',
    unit: 'count',
    subject: 'calls',
    labels: METHOD_LABELS,
  }),
  callsHandled: counter('grpc_server_handled_total', {
    help: 'Calls completed.',
    unit: 'count',
    subject: 'calls',
    labels: { ...METHOD_LABELS, grpc_code: 'open' },
  }),
  callDuration: histogram('grpc_server_handling_seconds', {
    help: 'Handling of unary calls; how long a stream lasts is how long a caller watched.',
    buckets: RPC_BUCKETS,
    subject: 'calls',
    labels: METHOD_LABELS,
  }),
  tokenExpiry: gauge('pocketfleet_token_expiry_timestamp_seconds', {
    help: 'When a token of the file of tokens expires, by its name; absent for one that does not, or that is revoked.',
    unit: 'timestamp',
    subject: 'calls',
    labels: { token: 'open', role: ROLES },
  }),
  callsRefused: counter('pocketfleet_calls_refused_total', {
    help: 'Calls refused for want of a right, by the role of their token and the reason.',
    unit: 'count',
    subject: 'calls',
    labels: { role: [...ROLES, 'none'], reason: REFUSALS },
  }),
} as const;

const WORK_METRICS = {
  submissions: counter('pocketfleet_submissions_total', {
    help: 'Calls of submit: each is one text with one or more plans, sweeps and runs.',
    unit: 'count',
    subject: 'work',
    labels: { outcome: ['ok', 'refused'] },
  }),
  plans: gauge('pocketfleet_plans', {
    help: 'Plans by state.',
    unit: 'count',
    subject: 'work',
    labels: { state: WHOLE_STATES },
  }),
  sweeps: gauge('pocketfleet_sweeps', {
    help: 'Sweeps by state.',
    unit: 'count',
    subject: 'work',
    labels: { state: WHOLE_STATES },
  }),
  trials: gauge('pocketfleet_trials', {
    help: 'Trials by state.',
    unit: 'count',
    subject: 'work',
    labels: { state: WORK_STATES },
  }),
  runs: gauge('pocketfleet_runs', {
    help: 'Runs by kind and state.',
    unit: 'count',
    subject: 'work',
    labels: { kind: RUN_KINDS, state: RUN_STATES },
  }),
  transitions: counter('pocketfleet_trial_transitions_total', {
    help: 'Changes of state of trials.',
    unit: 'count',
    subject: 'work',
    labels: { from: ['none', 'queued', 'running', ...OUTCOMES], to: WORK_STATES },
  }),
  trialsFinished: counter('pocketfleet_trials_finished_total', {
    help: 'Trials that ended, by how and why.',
    unit: 'count',
    subject: 'work',
    labels: { outcome: OUTCOMES, reason: FAILURE_REASONS },
  }),
  runsFinished: counter('pocketfleet_runs_finished_total', {
    help: 'Runs that ended, by kind, by how and why.',
    unit: 'count',
    subject: 'work',
    labels: { kind: RUN_KINDS, outcome: OUTCOMES, reason: FAILURE_REASONS },
  }),
  resultsReused: counter('pocketfleet_results_reused_total', {
    help: 'Runs that took the result of another one that computed the same, by kind.',
    unit: 'count',
    subject: 'work',
    labels: { kind: RUN_KINDS },
  }),
  resultsConflicting: counter('pocketfleet_results_conflicting_total', {
    help: 'Pairs of runs that computed the same on one device class and ended with other bits.',
    unit: 'count',
    subject: 'work',
  }),
  restarts: counter('pocketfleet_trial_restarts_total', {
    help: 'Further attempts of trials (failed), and runs that a worker gave back (the other reasons).',
    unit: 'count',
    subject: 'work',
    labels: { reason: ['failed', 'infrastructure', 'out_of_memory'] },
  }),
  trialDuration: histogram('pocketfleet_trial_duration_seconds', {
    help: 'Wall time of trials, from proposal to end.',
    buckets: LONG_BUCKETS,
    subject: 'work',
    labels: { outcome: OUTCOMES },
  }),
  bestObjective: gauge('pocketfleet_sweep_best_objective', {
    help: 'Best so far in a running sweep.',
    unit: 'number',
    subject: 'work',
    labels: { sweep: 'open', objective: ['accuracy'] },
  }),
  budgetUsed: gauge('pocketfleet_sweep_budget_used_ratio', {
    help: 'Share of the trials of a running sweep that have ended.',
    unit: 'ratio',
    subject: 'work',
    labels: { sweep: 'open' },
  }),
  runInfo: gauge('pocketfleet_run_info', {
    help: 'What a running run is, always 1; sweep is empty for a run that belongs to none.',
    unit: 'info',
    subject: 'work',
    labels: { run: 'open', kind: RUN_KINDS, sweep: 'open' },
  }),
  runProgressAt: gauge('pocketfleet_run_last_progress_timestamp_seconds', {
    help: 'When a running run last made a step or changed its gang, as far as scrapes see it; absent while it waits for its teacher or the store, and after its last step.',
    unit: 'timestamp',
    subject: 'training',
    labels: { run: 'open' },
  }),
} as const;

const QUEUE_METRICS = {
  unschedulable: gauge('pocketfleet_scheduler_unschedulable_runs', {
    help: 'Queued runs by what they wait for.',
    unit: 'count',
    subject: 'queue',
    labels: { reason: WAIT_REASONS },
  }),
  waitingRuns: gauge('pocketfleet_runs_waiting', {
    help: 'Running runs that hold workers and wait, by what for: a stage of the teacher, or the store.',
    unit: 'count',
    subject: 'queue',
    labels: { reason: HELD_UP_BY },
  }),
  queueWait: histogram('pocketfleet_run_queue_wait_seconds', {
    help: 'From the creation of a run to its first gang.',
    buckets: LONG_BUCKETS,
    subject: 'queue',
    labels: { priority: 'open' },
  }),
  gangs: counter('pocketfleet_gang_formations_total', {
    help: 'Gangs formed (ok) or dissolved (aborted).',
    unit: 'count',
    subject: 'queue',
    labels: { outcome: ['ok', 'aborted'] },
  }),
} as const;

const WORKER_METRICS = {
  workers: gauge('pocketfleet_workers', {
    help: 'Workers by state. Lost ones are remembered until a thousand others were lost.',
    unit: 'count',
    subject: 'workers',
    labels: { state: WORKER_STATES },
  }),
  gpus: gauge('pocketfleet_gpus', {
    help: 'GPUs by state of their worker.',
    unit: 'count',
    subject: 'workers',
    labels: { state: WORKER_STATES, gpu_model: 'open' },
  }),
  heartbeatAt: gauge('pocketfleet_worker_last_heartbeat_timestamp_seconds', {
    help: 'Last report of a worker that is there.',
    unit: 'timestamp',
    subject: 'workers',
    labels: { worker: 'open' },
  }),
  lostAt: gauge('pocketfleet_worker_lost_timestamp_seconds', {
    help: 'When a worker was taken for lost, and why; the latest hundred.',
    unit: 'timestamp',
    subject: 'workers',
    labels: { worker: 'open', reason: LOSS_REASONS },
  }),
  workersLost: counter('pocketfleet_workers_lost_total', {
    help: 'Workers taken for lost.',
    unit: 'count',
    subject: 'workers',
    labels: { reason: LOSS_REASONS },
  }),
  workersDesired: gauge('pocketfleet_workers_desired', {
    help: 'Workers that the open runs could use now, each as many as it may have at most; students whose teacher has not started are not counted.',
    unit: 'count',
    subject: 'workers',
  }),
  deviceSeconds: counter('pocketfleet_device_seconds_total', {
    help: 'Time for which runs held devices; a run on one of n slots of a worker counts for one n-th of each of its devices. sweep is empty for runs that belong to none.',
    unit: 'seconds',
    subject: 'cost',
    labels: { sweep: 'open', role: RUN_KINDS, device: ['cpu', 'gpu'] },
  }),
  workerSeconds: counter('pocketfleet_worker_seconds_total', {
    help: 'Time of all workers by what it went into, as they report it; each second in exactly one phase.',
    unit: 'seconds',
    subject: 'cost',
    labels: { phase: TIME_PHASES },
  }),
  repeatedSeconds: counter('pocketfleet_worker_repeated_seconds_total', {
    help: 'Of phase compute: steps that had to be computed again, because a gang was lost before they were stored.',
    unit: 'seconds',
    subject: 'cost',
  }),
} as const;

const STORE_METRICS = {
  publishDuration: histogram('pocketfleet_jetstream_publish_duration_seconds', {
    help: 'From an append to the journal to its acknowledgement.',
    buckets: RPC_BUCKETS,
    subject: 'store',
    labels: { stream: ['journal'], outcome: ['ok', 'error'] },
  }),
  streamBytes: gauge('pocketfleet_jetstream_stream_bytes', {
    help: 'Stored bytes by stream.',
    unit: 'bytes',
    subject: 'store',
    labels: { stream: STREAM_KINDS },
  }),
  streamLimit: gauge('pocketfleet_jetstream_stream_bytes_limit', {
    help: 'What a stream may hold; absent where it has no limit of its own.',
    unit: 'bytes',
    subject: 'store',
    labels: { stream: STREAM_KINDS },
  }),
  storeBytes: gauge('pocketfleet_store_bytes', {
    help: 'Bytes of all streams: used, and the limit, which is absent where it is not known.',
    unit: 'bytes',
    subject: 'store',
    labels: { kind: ['used', 'limit'] },
  }),
  storeBlocked: gauge('pocketfleet_store_blocked', {
    help: '1 while the store does not take what is written: it is full, or it confirms nothing.',
    unit: 'flag',
    subject: 'store',
    labels: { state: ['full', 'silent'] },
  }),
  collectedBytes: counter('pocketfleet_store_collected_bytes_total', {
    help: 'Bytes that retention and removal took out of the store.',
    unit: 'bytes',
    subject: 'store',
  }),
} as const;

/** All metrics of a coordinator. */
export const COORDINATOR_METRICS = {
  ...sharedMetrics('coordinator'),
  ...LEAD_METRICS,
  ...CALL_METRICS,
  ...WORK_METRICS,
  ...QUEUE_METRICS,
  ...WORKER_METRICS,
  ...STORE_METRICS,
} as const;
