// A coordinator in the process of the test, on a real nats-server: for claims about its behaviour that do not
// depend on its process. Ports are free ones of the loopback interface, and authentication is off unless a token is given.

import { startCoordinator } from '../../coordinator/coordinator.ts';
import { systemClock } from '../../core/clock.ts';
import { type CoordinatorConfig, coordinatorConfigSchema } from '../../core/config.ts';
import type { FleetError } from '../../core/errors.ts';
import { createLogger } from '../../core/log.ts';
import { createFleetClient, streamed, unary } from '../../core/net/grpc-client.ts';
import type { FleetServiceClient, Snapshot } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { until } from './processes.ts';

export interface LocalCoordinator {
  readonly client: FleetServiceClient;
  readonly endpoint: string;
  readonly metricsEndpoint: string;
  /** It answers calls now. */
  ready(): boolean;
  /** Undefined while it goes on. */
  failure(): FleetError | undefined;
  submit(yaml: string): Promise<string[]>;
  /** The first snapshot that satisfies the condition. */
  until(condition: (snapshot: Snapshot) => boolean, what: string, deadlineMs?: number): Promise<Snapshot>;
  close(): Promise<void>;
}

/** Resolves once it answers calls, or with `standby` once it knows that another coordinator does. */
export async function startLocalCoordinator(
  config: Partial<CoordinatorConfig> & { natsUrl: string },
  options: { readonly standby?: boolean; readonly snapshotEvents?: number } = {},
): Promise<LocalCoordinator> {
  const coordinator = await startCoordinator({
    config: coordinatorConfigSchema.parse({
      listen: '127.0.0.1:0',
      metricsListen: '127.0.0.1:0',
      ...config,
    }),
    version: 'test',
    revision: 'test',
    log: createLogger({ program: 'coordinator', level: 'silent' }),
    clock: systemClock,
    ...(options.snapshotEvents === undefined ? {} : { snapshotEvents: options.snapshotEvents }),
  });
  if (options.standby !== true) await until('the coordinator answers', () => coordinator.ready);
  const client = createFleetClient({ endpoint: coordinator.endpoint, token: config.token ?? '' });
  let closing: Promise<void> | undefined;
  let failure: FleetError | undefined;
  void coordinator.failed.then((error) => {
    failure = error;
  });
  return {
    client,
    endpoint: coordinator.endpoint,
    metricsEndpoint: coordinator.metricsEndpoint,
    ready: () => coordinator.ready,
    failure: () => failure,
    async submit(yaml) {
      const request = { yaml, baseDir: '', dryRun: false, overrides: {} };
      return (await unary(client, client.submit, request)).runIds;
    },
    async until(condition, what, deadlineMs = 10_000) {
      const signal = AbortSignal.timeout(deadlineMs);
      let last: Snapshot | undefined;
      const request = { planId: '', sweepId: '', runId: '', rateHz: 20, untilFinished: false };
      try {
        for await (const snapshot of streamed(client.watch(request), signal)) {
          last = snapshot;
          if (condition(snapshot)) return snapshot;
        }
      } catch (caught) {
        if (!signal.aborted) throw caught;
      }
      const seen = last && {
        store: last.store,
        runs: last.runs.map(({ id, state, reason }) => ({ id, state, reason })),
      };
      throw new Error(`not within ${deadlineMs} ms: ${what}; last seen: ${JSON.stringify(seen)}`);
    },
    close() {
      client.close();
      closing ??= coordinator.close();
      return closing;
    },
  };
}

/** A run of 12 identities that a scripted worker takes with `trainingImages: 64`. */
export const runText = (name: string, epochs = 2): string => `
kind: teacher
name: ${name}
network: { kind: pocketnet, channels: 2, layers: 4, embedding: 16 }
data: { kind: synthetic, identities: 12, images: 8, holdout: 4 }
training: { epochs: ${epochs}, batch: 16 }
verification: { pairs: 40 }
workers: { min: 1, max: 1 }
`;
