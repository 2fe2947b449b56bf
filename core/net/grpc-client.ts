// The client side of gRPC: channels with a token and keep-alive, unary calls as promises with a deadline,
// server streams as async iterables. Decides how long a channel waits for a silent peer, whether it goes
// through a proxy, and that every failure is a FleetError.

import { isIP } from 'node:net';
import { checkServerIdentity, createSecureContext } from 'node:tls';
import {
  type CallOptions,
  type ChannelCredentials,
  type Client,
  type ClientOptions,
  type ClientReadableStream,
  type ClientUnaryCall,
  connectivityState,
  credentials,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { FleetServiceClient } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { WorkerServiceClient } from '../../proto/gen/pocketfleet/v1/worker.ts';
import { systemClock } from '../clock.ts';
import { proxyWanted } from '../config.ts';
import type { FleetError } from '../errors.ts';
import { type ClientTls, nameFor } from './client-tls.ts';
import { bearerInterceptor } from './grpc-auth.ts';
import { fromServiceError } from './grpc-status.ts';
import { handshakeFailure } from './handshake.ts';
import type { TlsMaterial } from './tls-files.ts';
import type { TokenSource } from './token-source.ts';

/**
 * Dials again within a second, and pings, so that a peer which vanished without closing its connection shows.
 */
const CHANNEL_OPTIONS = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  // Clients of one endpoint in one process do not share a connection: closing one must not disturb the other.
  'grpc.use_local_subchannel_pool': 1,
};

/** A server and the token for it. */
export interface Endpoint {
  /** host:port */
  readonly endpoint: string;
  /** A token, or what gives one for each call; empty: no token is sent. */
  readonly token: string | TokenSource;
  /** Encrypts; without it calls are in the clear. */
  readonly tls?: ClientTls | undefined;
}

/** A client of the service for people and scripts. The caller ends it with `close()`. */
export const createFleetClient = (to: Endpoint): FleetServiceClient => create(FleetServiceClient, to);

/** A client of the service for workers. The caller ends it with `close()`. */
export const createWorkerClient = (to: Endpoint): WorkerServiceClient => create(WorkerServiceClient, to);

function create<T>(
  Client: new (address: string, credentials: ChannelCredentials, options?: ClientOptions) => T,
  to: Endpoint,
): T {
  return new Client(to.endpoint, credentialsFor(to), {
    ...CHANNEL_OPTIONS,
    ...nameOptions(to),
    'grpc.enable_http_proxy': usesProxy(to.endpoint) ? 1 : 0,
    interceptors: [bearerInterceptor(to.token)],
  });
}

function credentialsFor(to: Endpoint): ChannelCredentials {
  const { tls } = to;
  if (tls === undefined) return credentials.createInsecure();
  return credentials.createFromSecureContext(
    createSecureContext({ ...tls.source.current(), minVersion: 'TLSv1.2' }),
    // The host that the library gives is the one of `nameOptions`.
    { checkServerIdentity: (_host, certificate) => checkServerIdentity(nameFor(to), certificate) },
  );
}

/** An IP address is no server name (RFC 6066, 3), so the library is given a name that nobody looks at. */
function nameOptions(to: Endpoint): ClientOptions {
  if (to.tls === undefined) return {};
  const name = nameFor(to);
  return { 'grpc.ssl_target_name_override': isIP(name) === 0 ? name : 'pocketfleet' };
}

/** Whether calls to this host:port go through the proxy of the environment, if there is one. */
export function usesProxy(endpoint: string): boolean {
  return proxyWanted() && !isLoopback(endpoint);
}

/** Whether the endpoint is on this machine, which no proxy can reach. */
function isLoopback(endpoint: string): boolean {
  return /^(localhost|127(\.\d+){3}|\[::1\]):\d+$/i.test(endpoint);
}

/** Clients of one service at any address, made when they are first needed. */
export interface Dialler<C> {
  to(endpoint: string): C;
  /**
   * The error of a call to `endpoint`; where there is no connection because of encryption or a certificate, the
   * reason for that in its place.
   */
  explained(endpoint: string, error: FleetError): Promise<FleetError>;
  /** Closes all of them. */
  close(): void;
}

/**
 * Calls to one address share a client, so that moving to another disturbs none of them. When the files of its
 * certificate have changed, the next calls get a client with the new ones; calls that are under way stay.
 */
export function createDialler<C extends Client>(
  create: (to: Endpoint) => C,
  credentials: Omit<Endpoint, 'endpoint'>,
): Dialler<C> {
  const { source } = credentials.tls ?? {};
  const clients = new Map<string, { readonly client: C; readonly material: TlsMaterial | undefined }>();
  const replaced: C[] = [];
  return {
    to(endpoint) {
      const material = source?.current();
      const known = clients.get(endpoint);
      if (known !== undefined && known.material === material) return known.client;
      if (known !== undefined) replaced.push(known.client);
      const client = create({ endpoint, ...credentials });
      clients.set(endpoint, { client, material });
      return client;
    },
    async explained(endpoint, error) {
      const { client } = clients.get(endpoint) ?? {};
      const isAnswer = error.code !== 'unavailable' || Object.keys(error.details).length > 0;
      if (isAnswer || (client !== undefined && isConnected(client))) return error;
      return (await handshakeFailure(endpoint, credentials.tls)) ?? error;
    },
    close() {
      for (const { client } of clients.values()) client.close();
      for (const client of replaced) client.close();
    },
  };
}

/** Whether the channel of this client has a connection now. */
export function isConnected(client: Client): boolean {
  return client.getChannel().getConnectivityState(false) === connectivityState.READY;
}

type UnaryMethod<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => ClientUnaryCall;

/** One call with one answer: `await unary(client, client.submit, request)`. `deadlineMs` counts from now. */
export function unary<Request, Response>(
  client: object,
  method: UnaryMethod<Request, Response>,
  request: Request,
  options: { deadlineMs?: number; signal?: AbortSignal } = {},
): Promise<Response> {
  const { deadlineMs = 30_000, signal } = options;
  return new Promise((resolve, reject) => {
    const cancel = () => call.cancel();
    const call = method.call(
      client,
      request,
      new Metadata(),
      { deadline: systemClock.now() + deadlineMs },
      (error, response) => {
        signal?.removeEventListener('abort', cancel);
        if (error) reject(fromServiceError(error));
        else resolve(response);
      },
    );
    if (signal?.aborted) call.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
  });
}

/** The messages of a server stream. Leaving the loop, or the signal, cancels the call. */
export async function* streamed<T>(call: ClientReadableStream<T>, signal?: AbortSignal): AsyncGenerator<T> {
  const cancel = () => call.cancel();
  if (signal?.aborted) call.cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    for await (const message of call) yield message as T;
  } catch (caught) {
    throw fromServiceError(caught);
  } finally {
    signal?.removeEventListener('abort', cancel);
    call.cancel();
    // A cancelled call reports its end as an error event, which without a listener would end the process.
    call.on('error', () => undefined);
  }
}
