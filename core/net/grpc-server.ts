// A gRPC server with everything but its services: the token check, limits, an observer of calls for metrics,
// the health service and reflection. Decides in which order a call passes them. The observer comes first, so
// that it counts refused calls too; then the certificate, then the token, then the drain, then the bounds of the health service.

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
import type { FleetError } from '../errors.ts';
import { PROGRAMS } from '../system/places.ts';
import type { Access } from './grpc-access.ts';
import { createDrain, type Drain } from './grpc-drain.ts';
import { boundingHealth, createGate, GRPC_LIMITS, type GrpcLimits } from './grpc-limits.ts';
import { createSecureSockets, type GrpcTls } from './grpc-tls.ts';
import { listenOn } from './listening.ts';

/** Receives the calls of a server, for metrics. */
export interface CallObserver {
  /** Called for each method of the server when it starts, so that a counter can begin at 0. */
  offered?(call: CallLabels): void;
  started(call: CallLabels): void;
  /**
   * Called once for each started call. `code`: its status; `seconds`: from its start to its status or its
   * cancel.
   */
  handled(call: CallLabels & { readonly code: number; readonly seconds: number }): void;
}

/** Which method a call is of, as the metrics of gRPC label it. */
export interface CallLabels {
  readonly type: 'unary' | 'client_stream' | 'server_stream' | 'bidi_stream';
  readonly service: string;
  readonly method: string;
}

/** A server that listens. */
export interface GrpcServer {
  /** host:port where it listens; the port is the one that was taken when 0 was asked for. */
  readonly endpoint: string;
  /** host:port of the server for probes, where there is one. */
  readonly healthEndpoint: string | undefined;
  /** Sets the health of a name of `healthOf`. */
  setHealth(name: string, serving: boolean): void;
  /**
   * Sets the health of the server as a whole (the empty name) and of each of its services by its full name.
   */
  setReady(serving: boolean): void;
  /**
   * With an error: every call of its services ends with it, and open streams too; health and reflection are
   * answered. Undefined: calls are taken again.
   */
  refuse(error: FleetError | undefined): void;
  /**
   * Ends streams at once and other calls after `graceMs`, all with UNAVAILABLE, so that their callers try
   * again.
   */
  close(graceMs: number): Promise<void>;
}

/** A silent connection is pinged, so that a machine which vanished is noticed. */
const KEEPALIVE = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.http2.min_ping_interval_without_data_ms': 5_000,
  'grpc.max_receive_message_length': 16 << 20,
};

/** Starts the server; it listens and answers when the promise resolves, with every health NOT_SERVING. */
export async function startGrpcServer(options: {
  listen: string;
  /** Whose calls are taken; absent: everybody's. */
  access?: Access | undefined;
  services: readonly { definition: ServiceDefinition; implementation: UntypedServiceImplementation }[];
  /** Names that `grpc.health.v1` answers for, besides the empty one and those of the services. */
  healthOf: readonly string[];
  observer?: CallObserver;
  limits?: GrpcLimits;
  /** Encrypts; without it calls are in the clear. */
  tls?: GrpcTls | undefined;
  /** host:port of a second server that never encrypts and has the health service alone, for probes. */
  healthListen?: string | undefined;
}): Promise<GrpcServer> {
  const { limits = GRPC_LIMITS } = options;
  const interceptors: ServerInterceptor[] = [];
  if (options.observer) interceptors.push(observing(options.observer));
  const secure = options.tls && createSecureSockets(options.tls, limits);
  if (secure) interceptors.push(secure.interceptor);
  if (options.access) interceptors.push(options.access.interceptor);
  const serviceNames = options.services.flatMap(({ definition }) => namesOf(definition));
  const drain = createDrain('the server is stopping', serviceNames);
  interceptors.push(drain.interceptor);
  const names = ['', ...options.healthOf, ...serviceNames];
  const bounding = boundingHealth({
    access: options.access,
    limits,
    isKnown: (name) => names.includes(name),
  });
  interceptors.push(bounding);
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
  const probed = options.healthListen
    ? await openHealth({ listen: options.healthListen, health, bounding, limits })
    : undefined;
  const gate = createGate(server.createConnectionInjector(INJECTED), limits, secure?.open);
  const endpoint = await listenOn(gate.server, options.listen).catch(async (caught: unknown) => {
    secure?.close();
    await probed?.close();
    throw caught;
  });
  return {
    endpoint,
    healthEndpoint: probed?.endpoint,
    setHealth: (service, serving) => health.setStatus(service, serving ? 'SERVING' : 'NOT_SERVING'),
    setReady(serving) {
      for (const name of names)
        if (!options.healthOf.includes(name)) health.setStatus(name, serving ? 'SERVING' : 'NOT_SERVING');
    },
    refuse: drain.refuse,
    async close(graceMs) {
      const closed = new Promise<void>((resolve) => gate.server.close(() => resolve()));
      gate.close();
      secure?.close();
      await shutDown(server, { drain, graceMs, closed });
      await closed;
      await probed?.close();
    },
  };
}

/** Sockets reach the library as they are to be read: encryption is the gate's. */
const INJECTED = ServerCredentials.createInsecure();

/** A server with the health service alone: a kubelet's probe neither encrypts nor sends a token. */
async function openHealth(options: {
  readonly listen: string;
  readonly health: HealthImplementation;
  readonly bounding: ServerInterceptor;
  readonly limits: GrpcLimits;
}): Promise<{ readonly endpoint: string; close(): Promise<void> }> {
  const { listen, health, bounding, limits } = options;
  const calls = { 'grpc.max_concurrent_streams': limits.callsPerConnectionMax };
  const server = new Server({ interceptors: [bounding], ...KEEPALIVE, ...calls });
  health.addToServer(server);
  const gate = createGate(server.createConnectionInjector(INJECTED), limits);
  const endpoint = await listenOn(gate.server, listen);
  return {
    endpoint,
    async close() {
      const closed = new Promise<void>((resolve) => gate.server.close(() => resolve()));
      gate.close();
      server.forceShutdown();
      await closed;
    },
  };
}

/** Milliseconds for the last statuses to reach callers that read. */
const FLUSH_MS = 250;

/**
 * `closed`: that the last connection has ended. On Node 24 the library says that it has shut down while calls
 * are still open, since that Node closes the sessions of a server itself; so both have to hold.
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

/** The methods that the library of reflection adds to a server. */
const REFLECTION = ['v1', 'v1alpha'].map(
  (version): CallLabels => ({
    type: 'bidi_stream',
    service: `grpc.reflection.${version}.ServerReflection`,
    method: 'ServerReflectionInfo',
  }),
);

const callsOf = ({ definition }: { definition: ServiceDefinition }): CallLabels[] =>
  Object.values(definition).map(labelsOf);

/** The full names of a definition's services: the first part of each method's path. */
function namesOf(definition: ServiceDefinition): string[] {
  return [...new Set(Object.values(definition).map(({ path }) => path.split('/')[1]!))];
}

/** Serves the proto files of the repository and that of the health service. */
async function reflection(): Promise<ReflectionService> {
  const root = join(PROGRAMS, 'proto');
  const description = await load(
    ['pocketfleet/v1/fleet.proto', 'pocketfleet/v1/worker.proto', healthProtoPath],
    { includeDirs: [root], keepCase: true },
  );
  return new ReflectionService(description);
}

/** Reports each call once, whether it ends by a status or by a cancel of its caller. */
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
