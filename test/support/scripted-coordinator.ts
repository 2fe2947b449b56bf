// A coordinator played by a test: a real gRPC server with the worker service, which sends exactly the
// commands that the test gives it and keeps the reports of workers. It acknowledges reports by itself unless
// that is switched off.

import { type ServerDuplexStream, status } from '@grpc/grpc-js';
import { type GrpcServer, startGrpcServer } from '../../core/net/grpc-server.ts';
import {
  type WorkerCommand,
  type WorkerReport,
  WorkerServiceService,
} from '../../proto/gen/pocketfleet/v1/worker.ts';
import type { ReportKind } from '../../worker/run/services.ts';
import { accessWith } from './access.ts';
import { NAMES } from './names.ts';
import { until } from './processes.ts';

export interface Heard {
  readonly workerId: string;
  /** Streams of this worker so far, from 1. */
  readonly stream: number;
  readonly sequence: number;
  readonly kind: ReportKind;
  /** Monotonic milliseconds. */
  readonly at: number;
}

type Command = NonNullable<WorkerCommand['kind']>;
type Of<K extends ReportKind['$case']> = Extract<ReportKind, { $case: K }>['value'];

export interface ScriptedCoordinator {
  readonly endpoint: string;
  /** Everything reported so far, oldest first. */
  readonly heard: readonly Heard[];
  /** false: reports stay unacknowledged. */
  acknowledges: boolean;
  send(workerId: string, command: Command): void;
  attached(workerId: string): boolean;
  /** Cuts a worker's stream, as a crashing coordinator does. */
  cut(workerId: string): void;
  /** The first report of a kind that satisfies the condition, past or to come. */
  report<K extends ReportKind['$case']>(
    kind: K,
    condition?: (value: Of<K>, heard: Heard) => boolean,
    deadlineMs?: number,
  ): Promise<Of<K>>;
  stop(): Promise<void>;
}

export async function startScriptedCoordinator(options: {
  readonly natsUrl: string;
  readonly token: string;
  readonly heartbeatIntervalMs?: number;
}): Promise<ScriptedCoordinator> {
  const heard: Heard[] = [];
  const streams = new Map<string, ServerDuplexStream<WorkerReport, WorkerCommand>>();
  const counts = new Map<string, number>();

  const attach = (stream: ServerDuplexStream<WorkerReport, WorkerCommand>) => {
    let workerId = '';
    stream.on('error', () => undefined);
    stream.on('end', () => stream.end());
    stream.on('close', () => {
      if (streams.get(workerId) === stream) streams.delete(workerId);
    });
    stream.on('data', ({ sequence, kind }: WorkerReport) => {
      if (kind === undefined) return;
      if (kind.$case === 'hello') {
        workerId = kind.value.workerId;
        streams.set(workerId, stream);
        counts.set(workerId, (counts.get(workerId) ?? 0) + 1);
        const { natsUrl, heartbeatIntervalMs = 100 } = options;
        stream.write({
          kind: {
            $case: 'welcome',
            value: { fleet: 'scripted', heartbeatIntervalMs, natsUrl, names: { ...NAMES.prefixes } },
          },
        });
      }
      heard.push({ workerId, stream: counts.get(workerId) ?? 0, sequence, kind, at: performance.now() });
      if (sequence > 0 && coordinator.acknowledges)
        stream.write({ kind: { $case: 'acknowledge', value: { sequence } } });
    });
  };

  const server: GrpcServer = await startGrpcServer({
    listen: '127.0.0.1:0',
    access: accessWith(options.token),
    services: [{ definition: WorkerServiceService, implementation: { attach } }],
    healthOf: [],
  });
  const coordinator: ScriptedCoordinator = {
    endpoint: server.endpoint,
    heard,
    acknowledges: true,
    send(workerId, kind) {
      const stream = streams.get(workerId);
      if (!stream) throw new Error(`${workerId} is not attached`);
      stream.write({ kind });
    },
    attached: (workerId) => streams.has(workerId),
    cut(workerId) {
      // The server library turns an error event into the status that ends the call.
      streams
        .get(workerId)
        ?.emit('error', Object.assign(new Error('cut by the test'), { code: status.UNAVAILABLE }));
      streams.delete(workerId);
    },
    async report(kind, condition = () => true, deadlineMs = 60_000) {
      type Value = Of<typeof kind>;
      const found = await until(
        `report ${kind}; heard ${[...new Set(heard.map((one) => one.kind.$case))].join(', ')}`,
        () => heard.find((one) => one.kind.$case === kind && condition(one.kind.value as Value, one)),
        deadlineMs,
      );
      return found.kind.value as Value;
    },
    stop: () => server.close(200),
  };
  return coordinator;
}
