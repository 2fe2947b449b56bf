// What callers of a gRPC server may take of it before they have shown a token. Decides how long a connection may take to begin,
// how many there may be, how many calls one may have open, and how many health streams the callers without a token have between
// them; a caller with the token is only bound by its connection's calls.

import { createServer, type Socket, type Server as SocketServer } from 'node:net';
import { type ConnectionInjector, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { after } from '../clock.ts';
import { FleetError } from '../errors.ts';
import { HEALTH_PREFIX, isAuthentic } from './grpc-auth.ts';
import { toStatus } from './grpc-status.ts';

export interface GrpcLimits {
  /** How long a connection may take to say that it speaks HTTP/2, and a call without a token to send its request, milliseconds. */
  readonly handshakeMs: number;
  /** Connections at once; a worker has one, a command one. */
  readonly connectionsMax: number;
  /** Calls that one connection may have open; more of them wait at the client. */
  readonly callsPerConnectionMax: number;
  /** Health streams without a token, of all connections together. */
  readonly anonymousWatchesMax: number;
}

export const GRPC_LIMITS: GrpcLimits = {
  handshakeMs: 5_000,
  connectionsMax: 8_192,
  callsPerConnectionMax: 256,
  anonymousWatchesMax: 128,
};

/** RFC 9113, 3.4: what a client sends first. */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

export interface Gate {
  readonly server: SocketServer;
  /** Drops the connections that have not begun. */
  close(): void;
}

/**
 * A server of sockets that hands each to gRPC once it has said that it speaks HTTP/2. One that is silent or says something else
 * costs a socket and a timer until its time is over; what follows is up to gRPC's own pings.
 */
export function createGate(injector: ConnectionInjector, limits: GrpcLimits): Gate {
  const waiting = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    waiting.add(socket);
    const ignore = () => undefined;
    const forgive = whenOverdue(limits.handshakeMs, () => socket.destroy());
    const end = () => {
      forgive();
      waiting.delete(socket);
    };
    let begun = Buffer.alloc(0);
    const look = () => {
      begun = Buffer.concat([begun, (socket.read() as Buffer | null) ?? Buffer.alloc(0)]);
      const compared = Math.min(begun.length, PREFACE.length);
      if (!begun.subarray(0, compared).equals(PREFACE.subarray(0, compared))) {
        socket.destroy();
        return;
      }
      if (compared < PREFACE.length) return;
      socket.removeListener('readable', look).removeListener('close', end).removeListener('error', ignore);
      end();
      socket.unshift(begun);
      injector.injectConnection(socket);
    };
    socket.on('error', ignore).on('close', end).on('readable', look);
  });
  server.maxConnections = limits.connectionsMax;
  return {
    server,
    close: () => {
      for (const socket of waiting) socket.destroy();
    },
  };
}

/**
 * Calls `action` after `ms` unless the result is called before. A process that was busy for that long reads first what has
 * arrived meanwhile, so that nobody pays for its lateness.
 */
function whenOverdue(ms: number, action: () => void): () => void {
  let immediate: NodeJS.Immediate | undefined;
  const stopTimer = after(ms, () => {
    immediate = setImmediate(action);
  });
  return () => {
    stopTimer();
    clearImmediate(immediate);
  };
}

/** Bounds what the health service, which everybody may call, costs: streams, calls that never ask, and names that nobody has. */
export function boundingHealth(options: {
  readonly token: string;
  readonly limits: GrpcLimits;
  readonly isKnown: (service: string) => boolean;
}): ServerInterceptor {
  const { token, limits, isKnown } = options;
  let watches = 0;
  return (method, call) => {
    if (!method.path.startsWith(HEALTH_PREFIX)) return new ServerInterceptingCall(call);
    const isWatch = method.path === `${HEALTH_PREFIX}Watch`;
    let counted = false;
    let forgive: () => void = () => undefined;
    const end = () => {
      forgive();
      if (counted) watches -= 1;
      counted = false;
    };
    const refuse = (error: FleetError) => intercepting.sendStatus(toStatus(error));
    const intercepting = new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata(metadata, nextMetadata) {
            if (token !== '' && isAuthentic(token, metadata)) return nextMetadata(metadata);
            forgive = whenOverdue(limits.handshakeMs, () =>
              refuse(new FleetError('deadlineExceeded', 'the call was begun and its request did not come')),
            );
            if (!isWatch) return nextMetadata(metadata);
            if (watches >= limits.anonymousWatchesMax)
              return refuse(
                new FleetError(
                  'resourceExhausted',
                  `${limits.anonymousWatchesMax} health streams without a token are open, and there may be no more; ask with Check, or send the token`,
                ),
              );
            watches += 1;
            counted = true;
            nextMetadata(metadata);
          },
          onReceiveMessage(message: { readonly service: string }, nextMessage) {
            forgive();
            // The library keeps every name that was ever watched.
            nextMessage(isWatch && !isKnown(message.service) ? { ...message, service: UNKNOWN } : message);
          },
          onCancel: end,
        }),
      sendStatus(status, next) {
        end();
        next(status);
      },
    });
    return intercepting;
  };
}

/** Stands for all names that no service has. */
const UNKNOWN = '(unknown)';
