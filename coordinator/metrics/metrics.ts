// The coordinator's metrics: what is counted when, and what the gauges read when they are scraped. Names and
// labels are those of the catalogue.

import {
  COORDINATOR_METRICS,
  type KubernetesRequest,
  type ScalerStep,
} from '../../core/metrics/coordinator-catalogue.ts';
import { createProgramMetrics } from '../../core/metrics/families.ts';
import { createRetention } from '../../core/metrics/retention.ts';
import { type RefusedCall, roleLabel } from '../../core/net/grpc-access.ts';
import type { CallObserver } from '../../core/net/grpc-server.ts';
import type { Event } from '../model/events.ts';
import type { State } from '../model/state.ts';
import { observeCalls } from './calls.ts';
import { createDeviceTime } from './device-time.ts';
import { countEvent } from './events.ts';
import { createGauges, type Gauged } from './gauges.ts';
import type { Registered } from './registered.ts';
import { createWorkerSeconds } from './worker-seconds.ts';

/** What the rest of the coordinator reports to be counted. */
export interface Metrics {
  readonly registry: Registered['registry'];
  readonly calls: CallObserver;
  /** `after`: the state with everything that was decided together with the event. */
  event(event: Event, after: State): void;
  /** Decisions begin, or go on, with this state. */
  begin(state: State): void;
  /** Nothing is decided here any more. */
  leave(): void;
  submission(outcome: 'ok' | 'refused'): void;
  appended(outcome: 'ok' | 'error', seconds: number): void;
  leaseRenewed(outcome: 'ok' | 'error', seconds: number): void;
  fencedWrite(): void;
  refusedCall(refused: RefusedCall): void;
  reconnected(): void;
  /** A request to the Kubernetes API has ended. */
  kubernetesRequest(request: KubernetesRequest): void;
  scalerStep(step: ScalerStep): void;
}

/** Ended sweeps whose series stay at most. */
const SWEEPS_KEPT_MAX = 100;

/** A registry of its own, so that several coordinators in one process do not share counts. */
export function createMetrics(options: {
  readonly version: string;
  readonly revision: string;
  /** How long the series of a sweep stay after its end, milliseconds. */
  readonly keepMs: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** What is there now; undefined before there is anything. */
  readonly gauged: () => Gauged | undefined;
}): Metrics {
  const { now } = options;
  const metrics: Registered = createProgramMetrics(COORDINATOR_METRICS, () => {
    sweeps.collect();
    const gauged = options.gauged();
    if (gauged === undefined) return;
    deviceTime.collect(now());
    if (gauged.leads && gauged.time !== undefined) workerSeconds.collect(gauged.time);
    gauges.fill(gauged, { nowMs: now(), endedSweepIds: sweeps.kept() });
  });
  const { registry, families } = metrics;
  const sweeps = createRetention({
    keepMs: options.keepMs,
    keptMax: SWEEPS_KEPT_MAX,
    now,
    remove: (id) => metrics.remove('sweep', id),
  });
  const deviceTime = createDeviceTime((labels, seconds) => {
    if (labels.sweep !== '') sweeps.begin(labels.sweep);
    families.deviceSeconds.inc(labels, seconds);
  });
  const workerSeconds = createWorkerSeconds((phase, seconds) => {
    if (phase === 'repeated') families.repeatedSeconds.inc(seconds);
    else families.workerSeconds.inc({ phase }, seconds);
  });
  const gauges = createGauges(families);
  families.buildInfo.set(
    {
      component: 'coordinator',
      version: options.version,
      revision: options.revision,
      node_version: process.version,
    },
    1,
  );
  return {
    registry,
    calls: observeCalls(metrics),
    event(event, after) {
      countEvent(metrics, event, after);
      if ('runId' in event && event.runId !== undefined) deviceTime.changed(after, event.runId, event.atMs);
      if (event.kind === 'sweep.ended') sweeps.end(event.sweepId);
    },
    begin(state) {
      deviceTime.begin(state, now());
      workerSeconds.begin(state.time.fleet);
    },
    leave: deviceTime.leave,
    submission: (outcome) => families.submissions.inc({ outcome }),
    appended: (outcome, seconds) => families.publishDuration.observe({ stream: 'journal', outcome }, seconds),
    leaseRenewed: (outcome, seconds) => families.leaseRenewal.observe({ outcome }, seconds),
    fencedWrite: () => families.fenced.inc(),
    refusedCall: (refused) => families.callsRefused.inc({ role: roleLabel(refused), reason: refused.reason }),
    kubernetesRequest: (request) => families.kubernetesRequests.inc({ ...request }),
    scalerStep: (step) => families.scalerSteps.inc({ step }),
    reconnected: () => families.natsReconnects.inc({ component: 'coordinator' }),
  };
}
