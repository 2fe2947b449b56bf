// The client side of gRPC: channels with a token and keep-alive, unary calls as promises with a deadline, server
// streams as async iterables. Decides nothing about what is called; every failure comes out as a FleetError.

import {
  type CallOptions,
  type ChannelCredentials,
  type ClientOptions,
  type ClientReadableStream,
  type ClientUnaryCall,
  credentials,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { FleetServiceClient } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { WorkerServiceClient } from '../../proto/gen/pocketfleet/v1/worker.ts';
import { systemClock } from '../clock.ts';
import { proxyWanted } from '../config.ts';
import { bearerInterceptor } from './grpc-auth.ts';
import { fromServiceError } from './grpc-status.ts';

/** Re-dials within a second, and notices a peer that vanished without closing its connection. */
const CHANNEL_OPTIONS = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  // Clients of one endpoint in one process must not share a connection: closing one would be felt by the other.
  'grpc.use_local_subchannel_pool': 1,
};

export interface Endpoint {
  /** host:port */
  readonly endpoint: string;
  /** Empty: no token is sent. */
  readonly token: string;
}

/** The side that people and scripts use. Close it with `close()`. */
export const createFleetClient = (to: Endpoint): FleetServiceClient => create(FleetServiceClient, to);

/** The side that workers use. Close it with `close()`. */
export const createWorkerClient = (to: Endpoint): WorkerServiceClient => create(WorkerServiceClient, to);

function create<T>(
  Client: new (address: string, credentials: ChannelCredentials, options?: ClientOptions) => T,
  to: Endpoint,
): T {
  return new Client(to.endpoint, credentials.createInsecure(), {
    ...CHANNEL_OPTIONS,
    'grpc.enable_http_proxy': usesProxy(to.endpoint) ? 1 : 0,
    interceptors: [bearerInterceptor(to.token)],
  });
}

/** Whether calls to this host:port go through the proxy of the environment, if there is one. */
export function usesProxy(endpoint: string): boolean {
  return proxyWanted() && !isLoopback(endpoint);
}

/** What runs on this machine is never reached through another. */
function isLoopback(endpoint: string): boolean {
  return /^(localhost|127(\.\d+){3}|\[::1\]):\d+$/i.test(endpoint);
}

type UnaryMethod<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => ClientUnaryCall;

/** One call, one answer: `await unary(client, client.submit, request)`. The deadline counts from now. */
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

/** Messages of a server stream; leaving the loop, or the signal, cancels the call. */
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
    // A cancelled call still reports its end as an error; with nobody listening that would end the process.
    call.on('error', () => undefined);
  }
}
