// The encrypted side of a gRPC server. Decides that a client may come without a certificate, since people and
// scripts have a token alone; which services take only clients with a certificate of the fleet; and what the log
// shows of clients that did not get that far. Changed files count from the next connection on: those that are
// open stay.

import { constants } from 'node:crypto';
import type { Socket, Server as SocketServer } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import { ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { systemClock } from '../clock.ts';
import { FleetError } from '../errors.ts';
import { HEALTH_PREFIX } from './grpc-auth.ts';
import { type GrpcLimits, whenOverdue } from './grpc-limits.ts';
import { toStatus } from './grpc-status.ts';
import { expiryMs, type TlsIdentity, type TlsSource, watchTls } from './tls-files.ts';
import { refusedClient, serverFailure } from './tls-sentences.ts';

/** How a server encrypts. */
export interface GrpcTls {
  readonly source: TlsSource<TlsIdentity>;
  /** Full names of the services that take only clients with a certificate of the fleet's authority. */
  readonly certified: readonly string[];
  /** Called for a client that got no answer: host, and why, as a sentence. */
  onRefused(host: string, reason: string): void;
  /** Called when changed files have taken effect, and when they cannot be used. */
  onFiles(news: FleetError | undefined): void;
}

/** Sockets that are encrypted before gRPC sees them. */
export interface SecureSockets {
  /** The server behind which `begin` takes each socket after its handshake. */
  open(begin: (socket: Socket, onUnheard: () => void) => void): SocketServer;
  /** Refuses calls without the certificate that their service wants, or with one of another authority. */
  readonly interceptor: ServerInterceptor;
  /** Drops the connections that are in their handshake, and stops looking at the files. */
  close(): void;
}

/** No tickets: a session that goes on would be one whose certificate was compared with earlier files. */
const OPTIONS = {
  requestCert: true,
  // A refusal here would be an alert that most clients show as a broken connection; the interceptor says why.
  rejectUnauthorized: false,
  ALPNProtocols: ['h2'],
  minVersion: 'TLSv1.2',
  secureOptions: constants.SSL_OP_NO_TICKET,
} as const;

export function createSecureSockets(tls: GrpcTls, limits: GrpcLimits): SecureSockets {
  /** Connections in their handshake, and why the certificate of a client is not taken, by its address. */
  const shaking = new Map<string, Shaking>();
  const refusals = new Map<string, string>();
  let stopWatching: () => void = () => undefined;

  const settle = (key: string) => {
    shaking.get(key)?.stop();
    shaking.delete(key);
  };
  const refused = (key: string, reason: string) => tls.onRefused(key.split(' ')[0]!, reason);
  const leaves = (key: string) => refused(key, unheard(tls.source.current().cert));

  return {
    open(begin) {
      const server = createServer({ ...OPTIONS, ...tls.source.current(), noDelay: true }, (socket) => {
        const key = keyOf(socket);
        settle(key);
        const reason = refusalOfCertificate(socket, tls.source.files.caFile ?? '');
        if (reason !== undefined) {
          refusals.set(key, reason);
          socket.once('close', () => refusals.delete(key));
          refused(key, reason);
        }
        begin(socket, () => leaves(key));
      });
      server.on('connection', (socket: Socket) => {
        const key = keyOf(socket);
        const stop = whenOverdue(limits.handshakeMs, () => {
          settle(key);
          socket.destroy();
        });
        shaking.set(key, { socket, stop });
        socket.once('close', () => {
          if (shaking.has(key) && socket.bytesRead > 0) leaves(key);
          settle(key);
        });
      });
      server.on('tlsClientError', (error, socket) => {
        const key = keyOf(socket);
        const reason = serverFailure(error);
        if (reason === undefined || !shaking.has(key)) return;
        settle(key);
        refused(key, reason);
      });
      stopWatching = watchTls(tls.source, {
        change(material) {
          server.setSecureContext({ ...OPTIONS, ...material });
          tls.onFiles(undefined);
        },
        trouble: tls.onFiles,
      });
      return server;
    },
    interceptor: certifying(tls, refusals),
    close() {
      stopWatching();
      for (const { socket } of [...shaking.values()]) socket.destroy();
    },
  };
}

interface Shaking {
  readonly socket: Socket;
  /** Ends the time that it has. */
  stop(): void;
}

const keyOf = (of: {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
}) => `${of.remoteAddress} ${of.remotePort}`;

/** Undefined for a client without a certificate, and for one whose certificate is good. */
function refusalOfCertificate(socket: TLSSocket, caFile: string): string | undefined {
  if (socket.authorized || socket.getPeerX509Certificate() === undefined) return undefined;
  return refusedClient(String(socket.authorizationError), caFile);
}

/** A client of Node looks at the certificate when the handshake is over, and leaves without an alert. */
const unheard = (cert: string): string =>
  expiryMs(cert) < systemClock.now()
    ? "this server's certificate has expired; give it a new one: pocketfleet keys generate"
    : "it left right after the handshake: it does not take this server's certificate, and its own message says why";

/** Ends a call before a handler sees anything of it. */
function certifying({ certified }: GrpcTls, refusals: ReadonlyMap<string, string>): ServerInterceptor {
  return (method, call) => {
    const refusal = () => {
      if (method.path.startsWith(HEALTH_PREFIX)) return undefined;
      const reason = refusals.get(keyOf(call.getConnectionInfo()));
      if (reason !== undefined) return new FleetError('unauthenticated', reason);
      if (!certified.includes(method.path.split('/')[1] ?? '')) return undefined;
      if (call.getAuthContext().sslPeerCertificate !== undefined) return undefined;
      return new FleetError(
        'unauthenticated',
        'this coordinator takes workers with a certificate of its fleet alone; give the worker tlsCertFile and tlsKeyFile',
      );
    };
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata(metadata, nextMetadata) {
            const error = refusal();
            if (error) call.sendStatus(toStatus(error));
            else nextMetadata(metadata);
          },
        }),
    });
  };
}
