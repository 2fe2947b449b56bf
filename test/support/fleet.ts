// A whole fleet for one test: nats-server, coordinator and workers as real processes on loopback, and a
// client of the coordinator. The test kills, stops and starts members at will; `stop` ends everything and
// proves that nothing is left.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFleetClient, streamed, unary } from '../../core/net/grpc-client.ts';
import { PACKAGE_ROOT } from '../../core/system/places.ts';
import { scriptArguments } from '../../core/system/script-arguments.ts';
import type {
  FleetServiceClient,
  Run,
  Snapshot,
  SubmitResponse,
} from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { startNats, type TestNats } from './nats.ts';
import { createNatsFaults, type NatsFaults } from './nats-faults.ts';
import {
  assertNothingLeft,
  deliver,
  type Ending,
  freePort,
  type Program,
  startProgram,
} from './processes.ts';
import { startTcpProxy, type TcpProxy } from './tcp-proxy.ts';

const COORDINATOR = new URL('../../coordinator/main.ts', import.meta.url);
const WORKER = new URL('../../worker/main.ts', import.meta.url);
const TOKEN = 'token-of-a-test-fleet';

/** For a program to start and for a call to be answered: seconds, and minutes where many others share the cores. */
const ANSWER_MS = 180_000;

export interface TestFleet {
  readonly client: FleetServiceClient;
  readonly nats: TestNats;
  /** host:port of the coordinator's gRPC service. */
  readonly endpoint: string;
  readonly token: string;
  /** What its workers keep, which all of them share. */
  readonly cacheDir: string;
  /** host:port of the coordinator's /metrics. */
  readonly metricsEndpoint: string;
  /** Resolves once the worker is attached. */
  /** `environment`: of this worker alone, over that of all. */
  startWorker(id: string, deadlineMs?: number, environment?: Readonly<Record<string, string>>): Promise<void>;
  /** As `deliver`. */
  killWorker(id: string, signal?: NodeJS.Signals, deadlineMs?: number): Promise<Ending | undefined>;
  workerPid(id: string): number;
  coordinatorPid(): number;
  /** The wires of a worker, in a fleet that was started with `damageable`. */
  wire(id: string): Wire;
  workerMetricsEndpoint(id: string): string;
  startCoordinator(): Promise<void>;
  killCoordinator(signal?: NodeJS.Signals): Promise<Ending | undefined>;
  /** Everything is computed, unless results of runs that computed the same may be taken. */
  submit(yaml: string, options?: { readonly mayReuse?: boolean }): Promise<SubmitResponse>;
  run(id: string): Promise<Run>;
  /** Resolves with the first snapshot that satisfies the condition; survives restarts of the coordinator. */
  until(condition: (snapshot: Snapshot) => boolean, what: string, deadlineMs?: number): Promise<Snapshot>;
  /**
   * The run when it has ended: done, with all its steps and a digest; any other end fails the test with its
   * reason.
   */
  finished(id: string, deadlineMs?: number): Promise<Run>;
  /** The last lines of every program, for a failure that has to be understood. */
  tails(lines?: number): string;
  stop(): Promise<void>;
}

export const runIn = (snapshot: Snapshot, id: string): Run | undefined =>
  snapshot.runs.find((run) => run.id === id);

/** What lies between one worker and the rest. */
export interface Wire {
  readonly broker: TcpProxy;
  readonly coordinator: TcpProxy;
  readonly messages: NatsFaults;
}

export async function startFleet(options: {
  workers: readonly string[];
  slots?: number;
  /** Puts a proxy into every connection of a worker. */
  damageable?: boolean;
  /** Environment of the coordinator. */
  coordinator?: Readonly<Record<string, string>>;
  /** Environment of each worker. */
  worker?: Readonly<Record<string, string>>;
}): Promise<TestFleet> {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-fleet-'));
  const cacheDir = join(folder, 'cache');
  const nats = await startNats({ identities: true });
  const { coordinatorFile, workersFile } = nats.keys!;
  const ports = { grpc: await freePort(), metrics: await freePort() };
  const endpoint = `127.0.0.1:${ports.grpc}`;
  const workers = new Map<string, Program>();
  const workerPorts = new Map<string, number>();
  const wires = new Map<string, Wire>();
  const pids: number[] = [];
  let coordinator: Program | undefined;
  const client = createFleetClient({ endpoint, token: TOKEN });

  function start(file: URL, env: Record<string, string>): Program {
    const program = startProgram(process.execPath, scriptArguments(file), {
      cwd: PACKAGE_ROOT,
      env: {
        POCKETFLEET_TOKEN: TOKEN,
        POCKETFLEET_NATS_URL: nats.url,
        TF_CPP_MIN_LOG_LEVEL: '2',
        ...env,
      },
    });
    pids.push(program.pid);
    return program;
  }

  async function wireFor(id: string): Promise<Wire | undefined> {
    if (!options.damageable) return undefined;
    const known = wires.get(id);
    if (known !== undefined) return known;
    const messages = createNatsFaults();
    const wire = {
      messages,
      broker: await startTcpProxy({ to: nats.port, filter: messages.filter }),
      coordinator: await startTcpProxy({ to: ports.grpc }),
    };
    wires.set(id, wire);
    return wire;
  }

  const fleet: TestFleet = {
    client,
    nats,
    endpoint,
    token: TOKEN,
    cacheDir,
    metricsEndpoint: `127.0.0.1:${ports.metrics}`,
    async startWorker(id, deadlineMs = ANSWER_MS, environment = {}) {
      const port = workerPorts.get(id) ?? (await freePort());
      workerPorts.set(id, port);
      const wire = await wireFor(id);
      workers.set(
        id,
        start(WORKER, {
          POCKETFLEET_ID: id,
          POCKETFLEET_COORDINATOR: wire ? `127.0.0.1:${wire.coordinator.port}` : endpoint,
          ...(wire ? { POCKETFLEET_NATS_URL: `nats://127.0.0.1:${wire.broker.port}` } : {}),
          POCKETFLEET_METRICS_LISTEN: `127.0.0.1:${port}`,
          POCKETFLEET_CACHE_DIR: cacheDir,
          ...(options.slots === undefined ? {} : { POCKETFLEET_SLOTS: String(options.slots) }),
          ...options.worker,
          ...environment,
        }),
      );
      await fleet.until(
        (s) => s.workers.some((w) => w.id === id && (w.state === 'idle' || w.state === 'busy')),
        `worker ${id} attached`,
        deadlineMs,
      );
    },
    async killWorker(id, signal = 'SIGKILL', deadlineMs) {
      const program = workers.get(id);
      if (program === undefined) throw new Error(`no worker ${id} was started`);
      return deliver(program, signal, deadlineMs);
    },
    workerPid: (id) => workers.get(id)?.pid ?? -1,
    coordinatorPid: () => coordinator?.pid ?? -1,
    wire(id) {
      const wire = wires.get(id);
      if (wire === undefined) throw new Error(`the wires of ${id} cannot be damaged`);
      return wire;
    },
    workerMetricsEndpoint: (id) => `127.0.0.1:${workerPorts.get(id)}`,
    async startCoordinator() {
      coordinator = start(COORDINATOR, {
        POCKETFLEET_NATS_CREDENTIALS_FILE: coordinatorFile,
        POCKETFLEET_NATS_WORKERS_SEED_FILE: workersFile,
        POCKETFLEET_FLEET: 'test',
        POCKETFLEET_LISTEN: endpoint,
        POCKETFLEET_METRICS_LISTEN: `127.0.0.1:${ports.metrics}`,
        ...options.coordinator,
      });
      await fleet.until(() => true, 'coordinator answers', ANSWER_MS);
    },
    async killCoordinator(signal = 'SIGKILL') {
      return coordinator?.stop(signal);
    },
    submit: (yaml, { mayReuse = false } = {}) =>
      unary(
        client,
        client.submit,
        { yaml, baseDir: PACKAGE_ROOT, dryRun: false, overrides: {}, fresh: !mayReuse },
        { deadlineMs: ANSWER_MS },
      ),
    async run(id) {
      const { runs } = await unary(client, client.listRuns, { planId: '', sweepId: '' });
      const run = runs.find((r) => r.id === id);
      if (run === undefined) throw new Error(`no run ${id}`);
      return run;
    },
    async until(condition, what, deadlineMs = 30_000) {
      const signal = AbortSignal.timeout(deadlineMs);
      let last: Snapshot | undefined;
      let failure: unknown;
      while (!signal.aborted) {
        try {
          const call = client.watch({ planId: '', sweepId: '', runId: '', rateHz: 50, untilFinished: false });
          for await (const snapshot of streamed(call, signal)) {
            last = snapshot;
            if (condition(snapshot)) return snapshot;
          }
        } catch (caught) {
          failure = caught;
          // The coordinator is away; the test that killed it starts it again, and the deadline bounds our
          // patience.
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      }
      throw new Error(
        `not within ${deadlineMs} ms: ${what}; last seen: ${describe(last)}; last failure: ${failure}\n${tails()}`,
      );
    },
    async finished(id, deadlineMs = 180_000) {
      const ends = ['done', 'failed', 'cancelled'];
      const snapshot = await fleet.until(
        (seen) => ends.includes(runIn(seen, id)?.state ?? ''),
        `run ${id} ends`,
        deadlineMs,
      );
      const run = runIn(snapshot, id)!;
      assert.equal(run.state, 'done', run.reason);
      assert.equal(run.step, run.stepsTotal);
      assert.match(run.weightsDigest, /^[0-9a-f]{16}$/);
      return run;
    },
    tails,
    async stop() {
      client.close();
      await Promise.all([...workers.values()].map((worker) => worker.stop('SIGTERM')));
      await coordinator?.stop('SIGTERM');
      for (const wire of wires.values()) await Promise.all([wire.broker.close(), wire.coordinator.close()]);
      const natsPort = nats.port;
      pids.push(nats.pid);
      await nats.stop();
      rmSync(folder, { recursive: true, force: true });
      await assertNothingLeft(pids, [ports.grpc, ports.metrics, natsPort, ...workerPorts.values()]);
    },
  };

  function describe(snapshot: Snapshot | undefined): string {
    if (snapshot === undefined) return 'nothing';
    return JSON.stringify({
      runs: snapshot.runs.map((r) => [r.name, r.state, r.reason, r.generation, r.step]),
      workers: snapshot.workers.map((w) => [w.id, w.state, w.reason]),
    });
  }

  function tails(lines = 12): string {
    const tail = (name: string, program: Program | undefined) =>
      `--- ${name}\n${program?.output().split('\n').slice(-lines).join('\n') ?? ''}`;
    return [tail('coordinator', coordinator), ...[...workers].map(([id, w]) => tail(id, w))].join('\n');
  }

  try {
    await fleet.startCoordinator();
    await Promise.all(options.workers.map((id) => fleet.startWorker(id)));
  } catch (caught) {
    await fleet.stop().catch(() => undefined);
    throw caught;
  }
  return fleet;
}
