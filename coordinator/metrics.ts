// The coordinator's metrics: one registry, and the names and labels of the metric catalogue. Counters follow
// the events as they happen; gauges read the state when they are scraped. Labels have few values: no run and
// no trial is a label here, a worker may be one.

import { status } from '@grpc/grpc-js';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { closedCounter, closedHistogram } from '../core/metric-families.ts';
import { REFUSALS, type RefusedCall, roleLabel } from '../core/net/grpc-access.ts';
import type { CallObserver } from '../core/net/grpc-server.ts';
import { statusName } from '../core/net/grpc-status.ts';
import { ROLES } from '../core/net/roles.ts';
import type { Input } from './decisions/inputs.ts';
import type { Event } from './model/events.ts';
import { valuesOf } from './model/persistent-map.ts';
import {
  type EndState,
  isWhole,
  type NumberSet,
  runWith,
  type State,
  sweepOf,
  trialOf,
} from './model/state.ts';
import { changesBetween, emptyTable, rowAt, rowsOf } from './model/table.ts';
import type { Waits } from './scheduling/waits.ts';
import type { StoreState } from './store/store-state.ts';

/** What the rest of the coordinator reports to be counted. */
export interface Metrics {
  readonly registry: Registry;
  readonly calls: CallObserver;
  /** `after`: the state with everything that was decided together with the event. */
  event(event: Event, after: State): void;
  submission(outcome: 'ok' | 'refused'): void;
  appended(outcome: 'ok' | 'error', seconds: number): void;
  fencedWrite(): void;
  refusedCall(refused: RefusedCall): void;
  reconnected(): void;
}

/** What the gauges read when they are scraped. */
export interface Gauged {
  readonly state: State;
  /** What each queued run waits for. */
  readonly waiting: Waits;
  readonly natsConnected: boolean;
  readonly leads: boolean;
  readonly store: StoreState;
  lastSeenMs(workerId: string): number | undefined;
}

const rpcBuckets = Array.from({ length: 11 }, (_, i) => 0.001 * 2.5 ** i);
/** One second to one day. */
const longBuckets = [1, 2, 5, 15, 60, 180, 600, 1800, 3600, 10_800, 21_600, 43_200, 86_400];

/** A registry of its own, so that several coordinators in one process do not share counts. */
export function createMetrics(options: { version: string; gauged: () => Gauged | undefined }): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  gauges(registry, options);
  const counters = {
    ...lifecycleCounters(registry),
    submissions: closedCounter({
      name: 'pocketfleet_sweep_submissions_total',
      help: 'Texts submitted.',
      values: { outcome: ['ok', 'refused'] },
      registry,
    }),
    fenced: counter(
      registry,
      'pocketfleet_coordinator_fenced_writes_total',
      'Appends refused because another coordinator leads.',
    ),
    refusedCalls: closedCounter({
      name: 'pocketfleet_calls_refused_total',
      help: 'Calls refused for want of a right, by the role of their token and the reason.',
      values: { role: [...ROLES, 'none'], reason: REFUSALS },
      registry,
    }),
    reconnects: closedCounter({
      name: 'pocketfleet_nats_reconnects_total',
      help: 'Reconnects.',
      values: { component: ['coordinator'] },
      registry,
    }),
  };
  const publish = closedHistogram({
    name: 'pocketfleet_jetstream_publish_duration_seconds',
    help: 'Publish to ack.',
    values: { stream: ['journal'], outcome: ['ok', 'error'] },
    buckets: rpcBuckets,
    registry,
  });
  return {
    registry,
    calls: callObserver(registry),
    event: (event, after) => count(counters, event, after),
    submission: (outcome) => counters.submissions.inc({ outcome }),
    appended: (outcome, seconds) => publish.observe({ stream: 'journal', outcome }, seconds),
    fencedWrite: () => counters.fenced.inc(),
    refusedCall: (refused) => counters.refusedCalls.inc({ role: roleLabel(refused), reason: refused.reason }),
    reconnected: () => counters.reconnects.inc({ component: 'coordinator' }),
  };
}

function counter<L extends string = never>(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly L[] = [],
): Counter<L> {
  return new Counter({ name, help, labelNames: [...labelNames], registers: [registry] });
}

const END_STATES = ['done', 'failed', 'cancelled'] as const satisfies readonly EndState[];

function lifecycleCounters(registry: Registry) {
  return {
    transitions: closedCounter({
      name: 'pocketfleet_trial_transitions_total',
      help: 'Trial state changes.',
      values: {
        from: ['none', 'queued', 'running', ...END_STATES],
        to: ['queued', 'running', ...END_STATES],
      },
      registry,
    }),
    finished: closedCounter({
      name: 'pocketfleet_trials_finished_total',
      help: 'Trials finished.',
      values: { outcome: END_STATES },
      registry,
    }),
    restarts: closedCounter({
      name: 'pocketfleet_trial_restarts_total',
      help: 'Trial restarts.',
      values: { reason: ['failed', 'infrastructure'] },
      registry,
    }),
    gangs: closedCounter({
      name: 'pocketfleet_gang_formations_total',
      help: 'Gangs formed or dissolved.',
      values: { outcome: ['ok', 'aborted'] },
      registry,
    }),
    workersLost: counter(registry, 'pocketfleet_workers_lost_total', 'Workers declared lost.'),
    refused: closedCounter({
      name: 'pocketfleet_coordinator_inputs_refused_total',
      help: 'Inputs that were refused because deciding them failed.',
      values: {
        input: INPUT_KINDS,
      },
      registry,
    }),
    // A hundred priorities and nearly always one of them: its series come with the first run of each.
    queueWait: new Histogram({
      name: 'pocketfleet_trial_queue_wait_seconds',
      help: 'Creation of a run to its first gang.',
      labelNames: ['priority'],
      buckets: longBuckets,
      registers: [registry],
    }),
    duration: closedHistogram({
      name: 'pocketfleet_trial_duration_seconds',
      help: 'Wall time of finished trials.',
      values: { outcome: END_STATES },
      buckets: longBuckets,
      registry,
    }),
  };
}

type Counters = ReturnType<typeof lifecycleCounters>;

function count(counters: Counters, event: Event, after: State): void {
  switch (event.kind) {
    case 'trial.proposed':
      counters.transitions.inc({ from: 'none', to: 'queued' });
      return;
    case 'trial.ended': {
      const trial = trialOf(after, event.trialId);
      const ran = trial.runIds.some((id) => (runWith(after, id)?.generation ?? 0) > 0);
      counters.transitions.inc({ from: ran ? 'running' : 'queued', to: event.state });
      counters.finished.inc({ outcome: event.state });
      counters.duration.observe({ outcome: event.state }, (event.atMs - trial.createdAtMs) / 1000);
      return;
    }
    case 'trial.attempted':
      if ((event.attempt ?? 1) > 1) counters.restarts.inc({ reason: 'failed' });
      return;
    case 'run.assigned': {
      counters.gangs.inc({ outcome: 'ok' });
      const run = runWith(after, event.runId);
      if (run === undefined || event.generation > 1) return;
      const { priority } = isWhole(run) ? run.job : sweepOf(after, run.sweepId).spec;
      counters.queueWait.observe({ priority: String(priority) }, (event.atMs - run.createdAtMs) / 1000);
      if (run.trialId !== undefined) counters.transitions.inc({ from: 'queued', to: 'running' });
      return;
    }
    case 'run.requeued':
      counters.gangs.inc({ outcome: 'aborted' });
      return;
    case 'run.troubled':
      counters.restarts.inc({ reason: 'infrastructure' });
      return;
    case 'worker.lost':
      counters.workersLost.inc();
      return;
    case 'input.refused':
      counters.refused.inc({ input: event.input as Input['kind'] });
      return;
    default:
      return;
  }
}

/** Kinds of inputs, as labels. */
const INPUT_KINDS = [
  ...(['started', 'submit', 'cancel', 'resume', 'keep', 'drop', 'remove'] as const),
  ...(['attached', 'reported', 'lost', 'leaving', 'mended', 'collected', 'tick'] as const),
  ...(['exported', 'tokens', 'refusals'] as const),
];

const STATUS_NAMES = Object.values(status)
  .filter((code) => typeof code === 'number')
  .map(statusName);

function callObserver(registry: Registry): CallObserver {
  const labelNames = ['grpc_type', 'grpc_service', 'grpc_method'] as const;
  const started = counter(registry, 'grpc_server_started_total', 'RPCs started.', labelNames);
  const handled = counter(registry, 'grpc_server_handled_total', 'RPCs completed.', [
    ...labelNames,
    'grpc_code',
  ]);
  const seconds = new Histogram({
    name: 'grpc_server_handling_seconds',
    help: 'RPC handling time.',
    labelNames: [...labelNames],
    buckets: rpcBuckets,
    registers: [registry],
  });
  const labels = (call: { type: string; service: string; method: string }) => ({
    grpc_type: call.type,
    grpc_service: call.service,
    grpc_method: call.method,
  });
  return {
    offered(call) {
      started.inc(labels(call), 0);
      for (const code of STATUS_NAMES) handled.inc({ ...labels(call), grpc_code: code }, 0);
      if (call.type === 'unary') seconds.zero(labels(call));
    },
    started: (call) => started.inc(labels(call)),
    handled(call) {
      handled.inc({ ...labels(call), grpc_code: statusName(call.code) });
      // The length of a stream is how long a caller watched, not how long the server took.
      if (call.type === 'unary') seconds.observe(labels(call), call.seconds);
    },
  };
}

function gauges(registry: Registry, options: { version: string; gauged: () => Gauged | undefined }): void {
  const gauge = (
    name: string,
    help: string,
    labelNames: string[],
    fill: (gauge: Gauge, now: Gauged) => void,
  ) =>
    new Gauge({
      name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        this.reset();
        const now = options.gauged();
        if (now) fill(this, now);
      },
    });
  new Gauge({
    name: 'pocketfleet_build_info',
    help: 'Build information, always 1.',
    labelNames: ['component', 'version', 'node_version'],
    registers: [registry],
  }).set({ component: 'coordinator', version: options.version, node_version: process.version }, 1);
  gauge('pocketfleet_coordinator_leader', '1 when this replica leads.', [], (g, now) =>
    g.set(now.leads ? 1 : 0),
  );
  gauge('pocketfleet_coordinator_epoch', 'Times that a coordinator took the lead.', [], (g, now) =>
    g.set(now.state.epoch),
  );
  gauge('pocketfleet_nats_connected', '1 while connected to NATS.', ['component'], (g, now) =>
    g.set({ component: 'coordinator' }, now.natsConnected ? 1 : 0),
  );
  gauge(
    'pocketfleet_store_bytes',
    'Bytes of the streams: used, and the limit (0: not known).',
    ['kind'],
    (g, { store }) => {
      g.set({ kind: 'used' }, store.usedBytes);
      g.set({ kind: 'limit' }, store.limitBytes);
    },
  );
  gauge(
    'pocketfleet_store_blocked',
    '1 while the store does not take what is written, by state.',
    ['state'],
    (g, { store }) => {
      for (const state of ['full', 'silent']) g.set({ state }, store.kind === state ? 1 : 0);
    },
  );
  gauge('pocketfleet_plans', 'Plans by state.', ['state'], (g, { state }) => byState(g, 'plan', state));
  gauge('pocketfleet_sweeps', 'Sweeps by state.', ['state'], (g, { state }) => byState(g, 'sweep', state));
  gauge('pocketfleet_trials', 'Trials by state.', ['state'], (g, { state }) => byState(g, 'trial', state));
  gauge('pocketfleet_runs', 'Runs by kind and state.', ['kind', 'state'], (g, { state }) => {
    for (const [key, count] of Object.entries(state.counts)) {
      const [noun, kind, is] = key.split(' ');
      if (noun === 'run' && kind !== undefined && is !== undefined) g.set({ kind, state: is }, count);
    }
  });
  gauge(
    'pocketfleet_sweep_best_objective',
    'Best so far in a running sweep.',
    ['sweep', 'objective'],
    fillBest,
  );
  gauge('pocketfleet_scheduler_unschedulable_trials', 'Runs that wait for workers.', ['reason'], (g, now) => {
    for (const [kind, count] of now.waiting.counts()) g.set({ reason: kind }, count);
  });
  gauge('pocketfleet_workers', 'Workers by state.', ['state'], fillWorkers);
  gauge('pocketfleet_gpus', 'GPUs by state.', ['state', 'gpu_model'], (g, { state }) => {
    for (const worker of valuesOf(state.workers))
      if (worker.deviceKind !== 'cpu') g.inc({ state: worker.state, gpu_model: worker.deviceName });
  });
  gauge('pocketfleet_worker_last_heartbeat_timestamp_seconds', 'Last report.', ['worker'], (g, now) => {
    for (const worker of valuesOf(now.state.workers)) {
      const seenMs = now.lastSeenMs(worker.id);
      if (worker.state !== 'lost' && seenMs !== undefined) g.set({ worker: worker.id }, seenMs / 1000);
    }
  });
  const desired = workersDesired();
  gauge('pocketfleet_workers_desired', 'Workers the open runs could use.', [], (g, { state }) =>
    g.set(desired(state)),
  );
}

/** How many workers the open runs of a state could use: a sum that follows what has changed since the last one. */
export function workersDesired(): (state: State) => number {
  /** By number of an open run. */
  const wanted = new Map<number, number>();
  let seen: NumberSet = emptyTable();
  let sum = 0;
  return (state) => {
    for (const [number, , isOpen] of changesBetween(seen, state.openRuns)) {
      sum -= wanted.get(number) ?? 0;
      wanted.delete(number);
      const run = isOpen ? rowAt(state.runs, number) : undefined;
      if (run === undefined || !isWhole(run)) continue;
      wanted.set(number, run.job.workers.max);
      sum += run.job.workers.max;
    }
    seen = state.openRuns;
    return sum;
  };
}

/**
 * States that every thing can have. A state without things is 0 and not absent, so that a panel shows a line
 * from the start.
 */
const STATES = ['running', 'done', 'failed', 'cancelled'];

function byState(gauge: Gauge, noun: string, { counts }: State): void {
  for (const state of STATES) gauge.set({ state }, counts[`${noun} ${state}`] ?? 0);
  const queued = counts[`${noun} queued`] ?? 0;
  if (queued > 0) gauge.set({ state: 'queued' }, queued);
}

function fillBest(gauge: Gauge, { state }: Gauged): void {
  for (const [number] of rowsOf(state.openSweeps)) {
    const { id, bestTrialId } = sweepOf(state, `sweep-${number}`);
    const accuracy = bestTrialId === undefined ? undefined : trialOf(state, bestTrialId).objectives?.accuracy;
    if (accuracy !== undefined) gauge.set({ sweep: id, objective: 'accuracy' }, accuracy);
  }
}

function fillWorkers(gauge: Gauge, { state }: Gauged): void {
  for (const worker of ['idle', 'busy', 'draining', 'lost']) gauge.set({ state: worker }, 0);
  for (const worker of valuesOf(state.workers))
    gauge.inc({
      state: worker.state !== 'attached' ? worker.state : worker.runs.length > 0 ? 'busy' : 'idle',
    });
}
