// A whole fleet for one test: nats-server, coordinator and workers as real processes on loopback, and a client of the
// coordinator. The test kills, stops and starts members at will; `stop` ends everything and proves that nothing is left.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createFleetClient, streamed, unary } from '../../core/net/grpc-client.ts';
import type {
  FleetServiceClient,
  Run,
  Snapshot,
  SubmitResponse,
} from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { startNats, type TestNats } from './nats.ts';
import { assertNothingLeft, freePort, type Program, startProgram } from './processes.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const TOKEN = 'token-of-a-test-fleet';

export interface TestFleet {
  readonly client: FleetServiceClient;
  readonly nats: TestNats;
  /** host:port of the coordinator's gRPC service. */
  readonly endpoint: string;
  readonly token: string;
  /** host:port of the coordinator's /metrics. */
  readonly metricsEndpoint: string;
  startWorker(id: string): Promise<void>;
  /** SIGKILL waits for the end; SIGSTOP and SIGCONT return at once. */
  killWorker(id: string, signal?: NodeJS.Signals): Promise<void>;
  workerMetricsEndpoint(id: string): string;
  startCoordinator(): Promise<void>;
  killCoordinator(signal?: NodeJS.Signals): Promise<void>;
  submit(yaml: string): Promise<SubmitResponse>;
  run(id: string): Promise<Run>;
  /** Resolves with the first snapshot that satisfies the condition; survives restarts of the coordinator. */
  until(condition: (snapshot: Snapshot) => boolean, what: string, deadlineMs?: number): Promise<Snapshot>;
  stop(): Promise<void>;
}

export async function startFleet(options: {
  workers: readonly string[];
  slots?: number;
}): Promise<TestFleet> {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-fleet-'));
  const nats = await startNats({ token: TOKEN });
  const ports = { grpc: await freePort(), metrics: await freePort() };
  const endpoint = `127.0.0.1:${ports.grpc}`;
  const workers = new Map<string, Program>();
  const workerPorts = new Map<string, number>();
  const pids: number[] = [];
  let coordinator: Program | undefined;
  const client = createFleetClient({ endpoint, token: TOKEN });

  function start(file: string, env: Record<string, string>): Program {
    const program = startProgram(process.execPath, ['--import', 'tsx', join(root, file)], {
      cwd: root,
      env: {
        POCKETFLEET_TOKEN: TOKEN,
        POCKETFLEET_NATS_TOKEN: TOKEN,
        POCKETFLEET_NATS_URL: nats.url,
        TF_CPP_MIN_LOG_LEVEL: '2',
        ...env,
      },
    });
    pids.push(program.pid);
    return program;
  }

  const fleet: TestFleet = {
    client,
    nats,
    endpoint,
    token: TOKEN,
    metricsEndpoint: `127.0.0.1:${ports.metrics}`,
    async startWorker(id) {
      const port = workerPorts.get(id) ?? (await freePort());
      workerPorts.set(id, port);
      workers.set(
        id,
        start('worker/main.ts', {
          POCKETFLEET_ID: id,
          POCKETFLEET_COORDINATOR: endpoint,
          POCKETFLEET_METRICS_LISTEN: `127.0.0.1:${port}`,
          POCKETFLEET_CACHE_DIR: join(folder, 'cache'),
          ...(options.slots === undefined ? {} : { POCKETFLEET_SLOTS: String(options.slots) }),
        }),
      );
      await fleet.until(
        (s) => s.workers.some((w) => w.id === id && (w.state === 'idle' || w.state === 'busy')),
        `worker ${id} attached`,
      );
    },
    async killWorker(id, signal = 'SIGKILL') {
      const program = workers.get(id);
      if (program === undefined) throw new Error(`no worker ${id} was started`);
      if (signal === 'SIGSTOP' || signal === 'SIGCONT') program.child.kill(signal);
      else await program.stop(signal);
    },
    workerMetricsEndpoint: (id) => `127.0.0.1:${workerPorts.get(id)}`,
    async startCoordinator() {
      coordinator = start('coordinator/main.ts', {
        POCKETFLEET_FLEET: 'test',
        POCKETFLEET_LISTEN: endpoint,
        POCKETFLEET_METRICS_LISTEN: `127.0.0.1:${ports.metrics}`,
      });
      await fleet.until(() => true, 'coordinator answers');
    },
    async killCoordinator(signal = 'SIGKILL') {
      await coordinator?.stop(signal);
    },
    submit: (yaml) =>
      unary(
        client,
        client.submit,
        { yaml, baseDir: root, dryRun: false, overrides: {} },
        { deadlineMs: 60_000 },
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
          // The coordinator is away; the test that killed it starts it again, and the deadline bounds our patience.
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      }
      throw new Error(
        `not within ${deadlineMs} ms: ${what}; last seen: ${describe(last)}; last failure: ${failure}\n${tails()}`,
      );
    },
    async stop() {
      client.close();
      await Promise.all([...workers.values()].map((worker) => worker.stop('SIGTERM')));
      await coordinator?.stop('SIGTERM');
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

  function tails(): string {
    const tail = (name: string, program: Program | undefined) =>
      `--- ${name}\n${program?.output().split('\n').slice(-12).join('\n') ?? ''}`;
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
