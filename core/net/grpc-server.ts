// A gRPC server with what every one of ours has: the token check, an observer of calls for metrics, the health service
// and reflection. Leaves the services themselves to whoever adds them, and the metrics' names to the observer.

import { fileURLToPath } from 'node:url';
import {
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  type ServiceDefinition,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { load } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation, type ServingStatus } from 'grpc-health-check';
import { FleetError } from '../errors.ts';
import { refusalOf } from './grpc-auth.ts';
import { createDrain, type Drain } from './grpc-drain.ts';
import { toStatus } from './grpc-status.ts';

/** What the metrics see of a call; the type is one of gRPC's four. */
export interface CallObserver {
  started(call: CallLabels): void;
  handled(call: CallLabels & { readonly code: number; readonly seconds: number }): void;
}
export interface CallLabels {
  readonly type: 'unary' | 'client_stream' | 'server_stream' | 'bidi_stream';
  readonly service: string;
  readonly method: string;
}

export interface GrpcServer {
  /** host:port that it listens on, with the port that was taken when 0 was asked for. */
  readonly endpoint: string;
  /** Probes' answers; a service that was never set is unknown. */
  setHealth(service: string, serving: boolean): void;
  /** Ends streams at once and other calls after `graceMs`, all with UNAVAILABLE, so that their callers try again. */
  close(graceMs: number): Promise<void>;
}

/** A connection that says nothing for this long is asked whether it is there; a vanished machine is noticed by that. */
const KEEPALIVE = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.http2.min_ping_interval_without_data_ms': 5_000,
  'grpc.max_receive_message_length': 16 << 20,
};

export async function startGrpcServer(options: {
  listen: string;
  token: string;
  services: readonly { definition: ServiceDefinition; implementation: UntypedServiceImplementation }[];
  /** Services that `grpc.health.v1` answers for, besides the empty name. */
  healthOf: readonly string[];
  observer?: CallObserver;
}): Promise<GrpcServer> {
  const interceptors: ServerInterceptor[] = [];
  if (options.observer) interceptors.push(observing(options.observer));
  interceptors.push(authenticating(options.token));
  const drain = createDrain('the server is stopping');
  interceptors.push(drain.interceptor);
  const server = new Server({ interceptors, ...KEEPALIVE });
  for (const { definition, implementation } of options.services)
    server.addService(definition, implementation);
  const health = new HealthImplementation(
    Object.fromEntries(['', ...options.healthOf].map((name) => [name, 'NOT_SERVING' as ServingStatus])),
  );
  health.addToServer(server);
  (await reflection()).addToServer(server);
  const port = await bind(server, options.listen);
  return {
    endpoint: `${options.listen.slice(0, options.listen.lastIndexOf(':'))}:${port}`,
    setHealth: (service, serving) => health.setStatus(service, serving ? 'SERVING' : 'NOT_SERVING'),
    close: (graceMs) => shutDown(server, drain, graceMs),
  };
}

function bind(server: Server, listen: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(listen, ServerCredentials.createInsecure(), (error, port) => {
      if (error)
        reject(
          new FleetError('failedPrecondition', `cannot listen on ${listen}: ${error.message}`, {
            cause: error,
          }),
        );
      else resolve(port);
    });
  });
}

/** For the last statuses to reach callers that read. */
const FLUSH_MS = 250;

function shutDown(server: Server, drain: Drain, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    let timer = setTimeout(() => {
      drain.endAll();
      timer = setTimeout(() => {
        server.forceShutdown();
        resolve();
      }, FLUSH_MS);
    }, graceMs);
    server.tryShutdown(() => {
      clearTimeout(timer);
      resolve();
    });
    drain.endStreams();
  });
}

/** The proto files of the repository are what reflection serves: the contract itself, with its comments' names. */
async function reflection(): Promise<ReflectionService> {
  const root = fileURLToPath(new URL('../../proto', import.meta.url));
  const description = await load(['pocketfleet/v1/fleet.proto', 'pocketfleet/v1/worker.proto'], {
    includeDirs: [root],
    keepCase: true,
  });
  return new ReflectionService(description);
}

/** Answers UNAUTHENTICATED before a handler sees anything of the call. */
function authenticating(token: string): ServerInterceptor {
  return (method, call) =>
    new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, nextMetadata) {
            const refusal = refusalOf({ token, path: method.path, metadata });
            if (refusal) call.sendStatus(toStatus(refusal));
            else nextMetadata(metadata);
          },
        });
      },
    });
}

function observing(observer: CallObserver): ServerInterceptor {
  return (method, call) => {
    const labels = labelsOf(method);
    const startedAt = performance.now();
    let open = true;
    const end = (code: number) => {
      if (!open) return;
      open = false;
      observer.handled({ ...labels, code, seconds: (performance.now() - startedAt) / 1000 });
    };
    observer.started(labels);
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onCancel: () => end(status.CANCELLED),
        }),
      sendStatus(answer, next) {
        end(answer.code ?? status.UNKNOWN);
        next(answer);
      },
    });
  };
}

function labelsOf(method: { path: string; requestStream: boolean; responseStream: boolean }): CallLabels {
  const [, service = '', name = ''] = method.path.split('/');
  const type = method.requestStream
    ? method.responseStream
      ? 'bidi_stream'
      : 'client_stream'
    : method.responseStream
      ? 'server_stream'
      : 'unary';
  return { type, service, method: name };
}
