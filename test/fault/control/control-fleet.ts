// A fleet of real processes for faults of the control plane: a nats-server, coordinators that reach it
// through a wire that can be held, and processes of workers that compute nothing. Everything can be killed,
// stopped and started again; a supervisor does not stand by, so that the test decides when.

import { startWorkerFleet, type WorkerFleet } from '../../../bench/control/worker-fleet.ts';
import { toFleetError } from '../../../core/errors.ts';
import { createFleetClient, unary } from '../../../core/net/grpc-client.ts';
import { PACKAGE_ROOT } from '../../../core/system/places.ts';
import { scriptArguments } from '../../../core/system/script-arguments.ts';
import type { FleetServiceClient } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { type NatsOptions, startNats, type TestNats } from '../../support/nats.ts';
import { assertNothingLeft, freePort, type Program, startProgram, until } from '../../support/processes.ts';
import { startTcpProxy, type TcpProxy } from '../../support/tcp-proxy.ts';

const COORDINATOR = new URL('../../../coordinator/main.ts', import.meta.url);
/** How long a fleet may be without a leader before the run has failed. */
const LEADER_MS = 180_000;

/** One place for a coordinator: its address stays, its processes come and go. */
export interface Place {
  readonly name: string;
  readonly endpoint: string;
  readonly broker: TcpProxy;
  /** Of the newest process. */
  program: Program;
  start(): void;
}

/** A running fleet. */
export interface ControlFleet {
  readonly nats: TestNats;
  readonly places: readonly Place[];
  readonly workers: readonly WorkerFleet[];
  /** The place whose coordinator answers calls; waits until there is one. */
  leader(): Promise<Place>;
  /** As `leader`, once each other coordinator stands by for it: only then can one of them take over. */
  leaderWithStandbys(): Promise<Place>;
  /** A call to whoever leads, repeated while nobody does. */
  ask<T>(call: (client: FleetServiceClient) => Promise<T>): Promise<T>;
  /** Starts the process of these workers anew. */
  restartWorkers(index: number): Promise<void>;
  /** What each coordinator has logged last. */
  tails(): string;
  stop(): Promise<void>;
}

/** Starts everything; resolves when a coordinator leads. */
export async function startControlFleet(options: {
  readonly coordinators: number;
  /** Workers of each process. */
  readonly workers: readonly number[];
  readonly paceMs: readonly [number, number];
  readonly nats?: NatsOptions;
}): Promise<ControlFleet> {
  const nats = await startNats(options.nats);
  const pids: number[] = [];
  const ports: number[] = [nats.port];
  const places: Place[] = [];
  for (let i = 1; i <= options.coordinators; i++) {
    const [port, metricsPort] = [await freePort(), await freePort()];
    ports.push(port, metricsPort);
    const broker = await startTcpProxy({ to: nats.port });
    const begin = () => {
      const program = startProgram(process.execPath, scriptArguments(COORDINATOR), {
        cwd: PACKAGE_ROOT,
        env: {
          POCKETFLEET_FLEET: 'faults',
          POCKETFLEET_LISTEN: `127.0.0.1:${port}`,
          POCKETFLEET_METRICS_LISTEN: `127.0.0.1:${metricsPort}`,
          POCKETFLEET_NATS_URL: `nats://127.0.0.1:${broker.port}`,
          POCKETFLEET_LOG_LEVEL: 'warn',
        },
      });
      pids.push(program.pid);
      return program;
    };
    const place: Place = {
      ...{ name: `coordinator ${i}`, endpoint: `127.0.0.1:${port}`, broker, program: begin() },
      start() {
        place.program = begin();
      },
    };
    places.push(place);
  }
  const endpoints = places.map(({ endpoint }) => endpoint).join(',');
  const clients = new Map(
    places.map((place) => [place, createFleetClient({ endpoint: place.endpoint, token: '' })]),
  );

  /** What a place is now: the one that leads, a standby that knows who does, or neither. */
  async function roleOf(place: Place): Promise<'leader' | 'standby' | undefined> {
    const client = clients.get(place)!;
    try {
      await unary(client, client.listWorkers, {}, { deadlineMs: 1_000 });
      return 'leader';
    } catch (caught) {
      return toFleetError(caught).details.leader === undefined ? undefined : 'standby';
    }
  }

  function startWorkers(index: number): WorkerFleet {
    const prefix = `w${index}-`;
    const fleet = startWorkerFleet({ endpoints, token: '', workers: options.workers[index]!, prefix });
    pids.push(fleet.pid);
    fleet.pace(...options.paceMs);
    return fleet;
  }

  const fleet: ControlFleet = {
    ...{ nats, places, workers: [] },
    leader: () =>
      until(
        'a coordinator leads',
        async () => places[(await Promise.all(places.map(roleOf))).indexOf('leader')],
        LEADER_MS,
      ),
    leaderWithStandbys: () =>
      until(
        'one coordinator leads and the others stand by',
        async () => {
          const roles = await Promise.all(places.map(roleOf));
          // One that was stopped and goes on answers as the leader that it was until it has looked at the journal.
          const isSettled =
            !roles.includes(undefined) && roles.indexOf('leader') === roles.lastIndexOf('leader');
          return isSettled ? places[roles.indexOf('leader')] : undefined;
        },
        LEADER_MS,
      ),
    async ask(call) {
      for (;;) {
        const place = await fleet.leader();
        try {
          return await call(clients.get(place)!);
        } catch (caught) {
          if (!toFleetError(caught).retryable) throw caught;
        }
      }
    },
    async restartWorkers(index) {
      await workers[index]!.stop();
      workers[index] = startWorkers(index);
    },
    tails: () =>
      places
        .map(({ name, program }) => `--- ${name}\n${program.output().split('\n').slice(-12).join('\n')}`)
        .join('\n'),
    async stop() {
      for (const client of clients.values()) client.close();
      await Promise.all(workers.map((each) => each.stop()));
      await Promise.all(places.map(({ program }) => program.stop('SIGKILL')));
      await Promise.all(places.map(({ broker }) => broker.close()));
      pids.push(nats.pid);
      await nats.stop();
      await assertNothingLeft(pids, ports);
    },
  };
  const workers: WorkerFleet[] = options.workers.map((_, index) => startWorkers(index));
  Object.assign(fleet, { workers });
  try {
    await fleet.leader();
    return fleet;
  } catch (caught) {
    const said = fleet.tails();
    await fleet.stop();
    throw new Error(`${(caught as Error).message}\n${said}`, { cause: caught });
  }
}
