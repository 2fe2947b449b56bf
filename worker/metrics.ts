// Metrics of a worker: what gauges read when they are scraped, and how long the series of a run stay. Names and
// labels are those of the catalogue.

import { createProgramMetrics } from '../core/metrics/families.ts';
import { createRetention } from '../core/metrics/retention.ts';
import { WORKER_METRICS } from '../core/metrics/worker-catalogue.ts';

export type WorkerMetrics = ReturnType<typeof createMetrics>;

/** What gauges read when they are scraped. */
export interface MetricsSources {
  readonly version: string;
  /** Of the sources. */
  readonly revision: string;
  /** How long the series of a run stay after it was released, milliseconds. */
  readonly keepMs: number;
  /** Milliseconds of a clock that never runs backwards. */
  readonly now: () => number;
  readonly queuedJobs: () => number;
  readonly threadGauges: () => { readonly tensors: number; readonly bytes: number; readonly graphs: number };
  readonly heldRuns: () => number;
  readonly connections: () => { readonly nats: boolean; readonly coordinator: boolean };
  /** Milliseconds since the epoch; undefined: it has no certificate. */
  readonly certificateExpiryMs: () => number | undefined;
}

/** Released runs whose series stay at most. */
const RUNS_KEPT_MAX = 16;

/** A registry of its own, so that several workers in one process do not share counts. */
export function createMetrics(sources: MetricsSources) {
  const metrics = createProgramMetrics(WORKER_METRICS, () => {
    released.collect();
    fill();
  });
  const { registry, families } = metrics;
  const released = createRetention({
    keepMs: sources.keepMs,
    keptMax: RUNS_KEPT_MAX,
    now: sources.now,
    remove: (runId) => metrics.remove('run', runId),
  });
  function fill(): void {
    const { tensors, bytes, graphs } = sources.threadGauges();
    const { nats, coordinator } = sources.connections();
    families.queuedJobs.set(sources.queuedJobs());
    families.tensors.set(tensors);
    families.tensorBytes.set({ kind: 'tensors' }, bytes);
    families.compiledGraphs.set(graphs);
    families.heldRuns.set(sources.heldRuns());
    families.attached.set(Number(coordinator));
    families.natsConnected.set({ component: 'worker' }, Number(nats));
    families.certificateExpiry.reset();
    const expiryMs = sources.certificateExpiryMs();
    if (expiryMs !== undefined) families.certificateExpiry.set({ component: 'worker' }, expiryMs / 1000);
  }
  const { version, revision } = sources;
  families.buildInfo.set({ component: 'worker', version, revision, node_version: process.version }, 1);
  return {
    ...families,
    registry,
    /** The series of a run that begins, or comes again, from 0 on where they are new. */
    beginRun(runId: string) {
      released.begin(runId);
      metrics.begin('run', runId);
    },
    /** The run was released: its series stay until they were scraped. */
    endRun: released.end,
  };
}
