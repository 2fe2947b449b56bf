// A gRPC server with what every one of ours has: the token check, limits, an observer of calls for metrics, the health service
// and reflection. Leaves the services themselves to whoever adds them, and the metrics' names to the observer.

import { join } from 'node:path';
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
import {
  HealthImplementation,
  service as healthDefinition,
  protoPath as healthProtoPath,
  type ServingStatus,
} from 'grpc-health-check';
import { after, systemClock } from '../clock.ts';
import { PROGRAMS } from '../system/places.ts';
import { refusalOf } from './grpc-auth.ts';
import { createDrain, type Drain } from './grpc-drain.ts';
import { boundingHealth, createGate, GRPC_LIMITS, type GrpcLimits } from './grpc-limits.ts';
import { toStatus } from './grpc-status.ts';
import { listenOn } from './listening.ts';

/** What the metrics see of a call; the type is one of gRPC's four. */
export interface CallObserver {
  /** A method that the server has; said of each when it starts. */
  offered?(call: CallLabels): void;
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
  /** The answer for a name of `healthOf`. */
  setHealth(name: string, serving: boolean): void;
  /** The answer for the server as a whole, the empty name, and for each of its services by its full name. */
  setReady(serving: boolean): void;
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
  /** Names that `grpc.health.v1` answers for, besides the empty one and those of the services. */
  healthOf: readonly string[];
  observer?: CallObserver;
  limits?: GrpcLimits;
}): Promise<GrpcServer> {
  const { limits = GRPC_LIMITS } = options;
  const interceptors: ServerInterceptor[] = [];
  if (options.observer) interceptors.push(observing(options.observer));
  interceptors.push(authenticating(options.token));
  const drain = createDrain('the server is stopping');
  interceptors.push(drain.interceptor);
  const names = [
    '',
    ...options.healthOf,
    ...options.services.flatMap(({ definition }) => namesOf(definition)),
  ];
  interceptors.push(
    boundingHealth({ token: options.token, limits, isKnown: (name) => names.includes(name) }),
  );
  const server = new Server({
    interceptors,
    ...KEEPALIVE,
    'grpc.max_concurrent_streams': limits.callsPerConnectionMax,
  });
  for (const { definition, implementation } of options.services)
    server.addService(definition, implementation);
  const health = new HealthImplementation(
    Object.fromEntries(names.map((name) => [name, 'NOT_SERVING' as ServingStatus])),
  );
  health.addToServer(server);
  (await reflection()).addToServer(server);
  for (const call of [
    ...options.services.flatMap(callsOf),
    ...callsOf({ definition: healthDefinition }),
    ...REFLECTION,
  ])
    options.observer?.offered?.(call);
  const gate = createGate(server.createConnectionInjector(ServerCredentials.createInsecure()), limits);
  const endpoint = await listenOn(gate.server, options.listen);
  return {
    endpoint,
    setHealth: (service, serving) => health.setStatus(service, serving ? 'SERVING' : 'NOT_SERVING'),
    setReady(serving) {
      for (const name of names)
        if (!options.healthOf.includes(name)) health.setStatus(name, serving ? 'SERVING' : 'NOT_SERVING');
    },
    async close(graceMs) {
      const closed = new Promise<void>((resolve) => gate.server.close(() => resolve()));
      gate.close();
      await shutDown(server, { drain, graceMs, closed });
      await closed;
    },
  };
}

/** For the last statuses to reach callers that read. */
const FLUSH_MS = 250;

/**
 * `closed`: that the last connection has ended. On Node 24 the library says that it has shut down while calls are still open, since
 * that Node closes the sessions of a server itself; so both have to hold.
 */
function shutDown(
  server: Server,
  options: { readonly drain: Drain; readonly graceMs: number; readonly closed: Promise<void> },
): Promise<void> {
  const { drain, graceMs, closed } = options;
  return new Promise((resolve) => {
    let stopTimer = after(graceMs, () => {
      drain.endAll();
      stopTimer = after(FLUSH_MS, () => {
        server.forceShutdown();
        resolve();
      });
    });
    const shut = new Promise<void>((done) => server.tryShutdown(() => done()));
    drain.endStreams();
    void Promise.all([shut, closed]).then(() => {
      stopTimer();
      resolve();
    });
  });
}

/** What the library of reflection adds to a server. */
const REFLECTION = ['v1', 'v1alpha'].map(
  (version): CallLabels => ({
    type: 'bidi_stream',
    service: `grpc.reflection.${version}.ServerReflection`,
    method: 'ServerReflectionInfo',
  }),
);

const callsOf = ({ definition }: { definition: ServiceDefinition }): CallLabels[] =>
  Object.values(definition).map(labelsOf);

/** Full names of services, as a path of a method begins. */
function namesOf(definition: ServiceDefinition): string[] {
  return [...new Set(Object.values(definition).map(({ path }) => path.split('/')[1]!))];
}

/** The proto files of the repository are what reflection serves, the contract itself with its comments' names, and the health service's. */
async function reflection(): Promise<ReflectionService> {
  const root = join(PROGRAMS, 'proto');
  const description = await load(
    ['pocketfleet/v1/fleet.proto', 'pocketfleet/v1/worker.proto', healthProtoPath],
    { includeDirs: [root], keepCase: true },
  );
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
    const startedAt = systemClock.monotonic();
    let open = true;
    const end = (code: number) => {
      if (!open) return;
      open = false;
      observer.handled({ ...labels, code, seconds: (systemClock.monotonic() - startedAt) / 1000 });
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
