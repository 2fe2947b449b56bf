// What callers of a gRPC server may take of it before they have shown a token. Decides how long a connection
// may take to begin, how many connections there may be, how many calls one may have open, and how many health
// streams all callers without a token may have together. A caller with the token is bound by its connection's
// calls alone.

import { createServer, type Socket, type Server as SocketServer } from 'node:net';
import { type ConnectionInjector, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { after } from '../clock.ts';
import { FleetError } from '../errors.ts';
import type { Access } from './grpc-access.ts';
import { HEALTH_PREFIX } from './grpc-auth.ts';
import { toStatus } from './grpc-status.ts';

/** Bounds on what callers may take of one server. */
export interface GrpcLimits {
  /**
   * How long a connection may take to send the preface of HTTP/2, and a call without a token its request,
   * milliseconds.
   */
  readonly handshakeMs: number;
  /** Connections at once; a worker has one, a command one. */
  readonly connectionsMax: number;
  /** Calls that one connection may have open; more of them wait at the client. */
  readonly callsPerConnectionMax: number;
  /** Health streams without a token, of all connections together. */
  readonly anonymousWatchesMax: number;
}

/** What both programs use; tests make them smaller. */
export const GRPC_LIMITS: GrpcLimits = {
  handshakeMs: 5_000,
  connectionsMax: 8_192,
  callsPerConnectionMax: 256,
  anonymousWatchesMax: 128,
};

/** The first bytes of a client of HTTP/2 (RFC 9113, 3.4). */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/**
 * Makes the server of sockets. `onUnheard` is called for a socket that was closed by its client before it sent
 * anything.
 */
export type OpenServer = (begin: (socket: Socket, onUnheard?: () => void) => void) => SocketServer;

/** The listening socket in front of a gRPC server. */
export interface Gate {
  readonly server: SocketServer;
  /** Drops the connections that have not begun. */
  close(): void;
}

/**
 * A server of sockets that hands each one to gRPC when the preface of HTTP/2 has arrived. A connection that
 * is silent costs a socket and a timer until its time is over; one with other bytes ends at once. Later
 * silence is noticed by the pings of gRPC.
 */
export function createGate(
  injector: ConnectionInjector,
  limits: GrpcLimits,
  open: OpenServer = (begin) => createServer({ noDelay: true }, (socket) => begin(socket)),
): Gate {
  const waiting = new Set<Socket>();
  const server = open((socket, onUnheard) => {
    waiting.add(socket);
    const ignore = () => undefined;
    const stopWaiting = whenOverdue(limits.handshakeMs, () => socket.destroy());
    const end = () => {
      stopWaiting();
      waiting.delete(socket);
    };
    const endUnheard = () => {
      end();
      if (begun.length === 0) onUnheard?.();
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
      socket.removeListener('readable', look).removeListener('close', endUnheard);
      socket.removeListener('error', ignore);
      end();
      socket.unshift(begun);
      injector.injectConnection(socket);
    };
    socket.on('error', ignore).on('close', endUnheard).on('readable', look);
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
 * Calls `action` after `ms` unless the returned function is called before. A process that was busy for that
 * long first reads what has arrived meanwhile: its own delay must not be counted against the caller.
 */
export function whenOverdue(ms: number, action: () => void): () => void {
  let immediate: NodeJS.Immediate | undefined;
  const stopTimer = after(ms, () => {
    immediate = setImmediate(action);
  });
  return () => {
    stopTimer();
    clearImmediate(immediate);
  };
}

/**
 * Bounds what the health service costs, which anybody may call: streams, calls whose request never comes, and
 * names that no service has.
 */
export function boundingHealth(options: {
  readonly access: Access | undefined;
  readonly limits: GrpcLimits;
  readonly isKnown: (service: string) => boolean;
}): ServerInterceptor {
  const { access, limits, isKnown } = options;
  let watches = 0;
  return (method, call) => {
    if (!method.path.startsWith(HEALTH_PREFIX)) return new ServerInterceptingCall(call);
    const isWatch = method.path === `${HEALTH_PREFIX}Watch`;
    let counted = false;
    let stopWaiting: () => void = () => undefined;
    const end = () => {
      stopWaiting();
      if (counted) watches -= 1;
      counted = false;
    };
    const refuse = (error: FleetError) => intercepting.sendStatus(toStatus(error));
    const intercepting = new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata(metadata, nextMetadata) {
            if (access?.isKnown(metadata)) return nextMetadata(metadata);
            stopWaiting = whenOverdue(limits.handshakeMs, () =>
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
            stopWaiting();
            // The library keeps an entry for every name that was ever watched.
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
