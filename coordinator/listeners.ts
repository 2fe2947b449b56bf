// Where a coordinator listens: calls and health by gRPC, metrics by HTTP. Decides when it counts as ready.

import type { FleetError } from '../core/errors.ts';
import type { Access } from '../core/net/grpc-access.ts';
import { type GrpcServer, startGrpcServer } from '../core/net/grpc-server.ts';
import { type MetricsServer, serveMetrics } from '../core/net/http-server.ts';
import { WorkerServiceService } from '../proto/gen/pocketfleet/v1/worker.ts';
import { fleetServiceDefinition } from './api/shared-encoding.ts';
import type { Core } from './deciding-core.ts';
import { encryptionOf } from './encryption.ts';
import type { ObservedFleet } from './observed-fleet.ts';
import type { Services } from './services.ts';
import type { Releases, StartOptions } from './start-options.ts';

/** How long calls that are under way may take when the coordinator closes, milliseconds. */
const CLOSE_GRACE_MS = 1_000;

/**
 * The gRPC server: alive from now on, and ready while the broker is there and this coordinator has something to
 * show. A standby answers no call; its refusal names the leader.
 */
export async function openCalls(
  { config, log, clock }: StartOptions,
  parts: {
    readonly fleet: ObservedFleet;
    readonly core: Core;
    readonly services: Services;
    readonly access: Access;
  },
  releases: Releases,
): Promise<GrpcServer> {
  const { fleet, core, services, access } = parts;
  const server = await startGrpcServer({
    listen: config.listen,
    access,
    services: [
      { definition: fleetServiceDefinition, implementation: services.fleetService },
      { definition: WorkerServiceService, implementation: services.workerService },
    ],
    healthOf: ['startup', 'readiness', 'following', 'liveness'],
    observer: core.metrics.calls,
    tls: encryptionOf(config, { log, clock }),
    healthListen: config.healthListen,
  });
  releases.push(() => server.close(CLOSE_GRACE_MS), fleet.links.close);
  for (const service of ['startup', 'liveness']) server.setHealth(service, true);
  const { driver, broker } = core;
  let refused: FleetError | undefined;
  const shown = new Map<string, boolean>();
  const setHealth = (name: string, serving: boolean) => {
    if (shown.get(name) === serving) return;
    shown.set(name, serving);
    server.setHealth(name, serving);
    if (name === 'readiness') server.setReady(serving);
  };
  const show = () => {
    const { redirect, follows } = driver;
    if (refused !== redirect) server.refuse(redirect);
    refused = redirect;
    setHealth('readiness', broker.connected && redirect === undefined);
    setHealth('following', broker.connected && follows);
  };
  broker.onChange(show);
  releases.push(driver.onChange(show));
  return server;
}

/** The metrics, and the probe that a supervisor asks. */
export async function openMetrics(
  { config }: StartOptions,
  { metrics, broker, driver }: Core,
  releases: Releases,
): Promise<MetricsServer> {
  const server = await serveMetrics({
    listen: config.metricsListen,
    registry: metrics.registry,
    probes: {
      '/healthz': () => (broker.connected ? driver.redirect?.message : 'the broker is away'),
    },
  });
  releases.push(server.close);
  return server;
}
