// A stream of WorkerService that a test writes by hand: a hello with any leases, any reports after it, and
// every command that came back.

import { randomUUID } from 'node:crypto';
import { createWorkerClient } from '../../core/net/grpc-client.ts';
import { fromServiceError } from '../../core/net/grpc-status.ts';
import { PROTOCOL } from '../../core/net/protocol.ts';
import type { Hello, WorkerCommand, WorkerReport } from '../../proto/gen/pocketfleet/v1/worker.ts';

export interface RawWorker {
  /** The kinds of the commands so far, oldest first. */
  readonly received: readonly string[];
  readonly commands: readonly WorkerCommand[];
  /** Why the stream has ended, as "code: sentence"; undefined while it is open. */
  readonly end: string | undefined;
  send(sequence: number, kind: NonNullable<WorkerReport['kind']>): void;
  close(): void;
}

/** Dials and sends the hello. */
export function dialRawWorker(options: {
  readonly endpoint: string;
  readonly token?: string;
  readonly id: string;
  readonly incarnation?: string;
  /** The public key of a user of the broker, whose rights the coordinator signs. */
  readonly brokerKey?: string;
  readonly leases?: readonly { readonly runId: string; readonly generation: number }[];
}): RawWorker {
  const client = createWorkerClient({ endpoint: options.endpoint, token: options.token ?? '' });
  const stream = client.attach();
  const commands: WorkerCommand[] = [];
  let end: string | undefined;
  stream.on('data', (command: WorkerCommand) => commands.push(command));
  stream.on('error', (caught) => {
    const { code, message } = fromServiceError(caught);
    end ??= `${code}: ${message}`;
  });
  stream.on('end', () => {
    end ??= 'ended';
  });
  const value: Hello = {
    ...{ workerId: options.id, incarnation: options.incarnation ?? randomUUID() },
    ...(options.brokerKey === undefined ? {} : { brokerKey: options.brokerKey }),
    ...{
      version: 'raw',
      host: 'test',
      pid: 1,
      slots: 1,
      metricsEndpoint: '',
      podUid: '',
      labels: {},
      fleet: '',
      protocol: PROTOCOL,
    },
    device: {
      ...{ kind: 'cpu', name: 'none', deviceClass: 'scripted', tensorflowVersion: '' },
      ...{ threads: 1, memoryBytes: 0, gpu: undefined, devices: [] },
    },
    leases: (options.leases ?? []).map((lease) => ({
      ...lease,
      step: 0,
      inExchange: false,
      suspects: [],
    })),
  };
  stream.write({ sequence: 0, kind: { $case: 'hello', value } });
  return {
    commands,
    get received() {
      return commands.map(({ kind }) => kind?.$case ?? '');
    },
    get end() {
      return end;
    },
    send: (sequence, kind) => void stream.write({ sequence, kind }),
    close() {
      stream.cancel();
      client.close();
    },
  };
}
