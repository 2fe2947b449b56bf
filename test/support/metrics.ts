// Both programs' registries as tests make them: nothing has happened yet, and gauges read what is given.

import { createMetrics as createCoordinatorMetrics } from '../../coordinator/metrics/metrics.ts';
import { startGrpcServer } from '../../core/net/grpc-server.ts';
import { FleetServiceService } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { WorkerServiceService } from '../../proto/gen/pocketfleet/v1/worker.ts';
import { createMetrics as createWorkerMetrics, type MetricsSources } from '../../worker/metrics.ts';

type CoordinatorOptions = Parameters<typeof createCoordinatorMetrics>[0];

/** Of a worker without runs. */
export const workerMetrics = (sources: Partial<MetricsSources> = {}) =>
  createWorkerMetrics({
    version: 'test',
    revision: 'test',
    keepMs: 0,
    now: () => 0,
    queuedJobs: () => 0,
    threadGauges: () => ({ tensors: 0, bytes: 0, graphs: 0 }),
    heldRuns: () => 0,
    certificateExpiryMs: () => undefined,
    connections: () => ({ nats: true, coordinator: true }),
    ...sources,
  });

/** Of a coordinator that has read nothing yet. */
export const coordinatorMetrics = (options: Partial<CoordinatorOptions> = {}) =>
  createCoordinatorMetrics({
    version: 'test',
    revision: 'test',
    keepMs: 0,
    now: () => 0,
    gauged: () => undefined,
    ...options,
  });

/** As above, with the methods that the coordinator's server has. */
export async function servingCoordinatorMetrics(options: Partial<CoordinatorOptions> = {}) {
  const metrics = coordinatorMetrics(options);
  const server = await startGrpcServer({
    listen: '127.0.0.1:0',
    services: [FleetServiceService, WorkerServiceService].map((definition) => ({
      definition,
      implementation: Object.fromEntries(Object.keys(definition).map((name) => [name, () => undefined])),
    })),
    healthOf: [],
    observer: metrics.calls,
  });
  await server.close(0);
  return metrics;
}
