// One socket to a NATS server, from dialling to its end: greeting, encryption, identity, pings, writing.
// Decides when a link is ready and when it counts as dead.
//
// The order of the handshake is the server's: it sends INFO in the clear, then the socket is encrypted if the
// address says so, then CONNECT carries the identity, and the PONG to the PING behind it shows that the
// server has accepted both. An error before that PONG is the reason why no link came to be.

import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { after, every } from '../clock.ts';
import { type Denial, FleetError, toFleetError } from '../errors.ts';
import { AUTHENTICATION_TIMEOUT, type Authenticator, type Server } from './broker-address.ts';
import { type Greeting, greetingIn } from './broker-greeting.ts';
import { createFrameReader, type FrameReader, type FrameSink } from './frame-reader.ts';
import type { TlsMaterial } from './tls-files.ts';
import { clientFailure } from './tls-sentences.ts';

/** The server, the identity, and the receiver of what arrives. */
export interface LinkOptions {
  readonly server: Server;
  /** Certificates of an encrypted connection, and the file of its authorities for sentences. */
  readonly tls: (TlsMaterial & { readonly caFile?: string | undefined }) | undefined;
  readonly authenticator: Authenticator | undefined;
  readonly name: string;
  readonly noEcho: boolean;
  readonly begin: FrameSink['begin'];
  readonly message: FrameSink['message'];
  /** Called for each answer to a ping. */
  readonly onPong: () => void;
  /** Called when the server did not take a message or a subscription; the link goes on. */
  readonly onDenied: (denial: Denial) => void;
  /** Why the server refuses this program at its door, as a sentence. */
  readonly refusal: (place: string) => string;
}

/** A socket after its handshake. */
export interface Link {
  /** The largest message that the server takes, bytes. */
  readonly maxPayload: number;
  /**
   * Sends a line of the protocol and, for a message, its head and data; `data` is read from where it lies.
   */
  send(line: string, head?: Uint8Array, data?: Uint8Array): void;
  /** Resolves with the reason when the socket has ended, whoever ended it. */
  readonly ended: Promise<FleetError>;
  /** Writes what is queued and closes. */
  close(): void;
}

const HANDSHAKE_MS = 5_000;
/**
 * Milliseconds between pings. A hung broker, or a cable that carries nothing, shows within
 * PINGS_UNANSWERED_MAX of them: a member whose peers fall silent has to find out soon whether its own link is
 * the cause.
 */
export const PING_MS = 500;
const PINGS_UNANSWERED_MAX = 8;
const CLOSE_MS = 1_000;
const LINE_END = Buffer.from('\r\n');

/** Resolves when the server has accepted the identity. */
export async function openLink(options: LinkOptions): Promise<Link> {
  const { server } = options;
  const peer = { name: 'the broker', caFile: options.tls?.caFile };
  let unanswered = 0;
  let accept: () => void = () => {};
  let greet: (info: Greeting) => void = () => {};
  const greeting = new Promise<Greeting>((resolve) => {
    greet = resolve;
  });
  const accepted = new Promise<void>((resolve) => {
    accept = resolve;
  });
  let finish: (reason: FleetError) => void = () => {};
  const ended = new Promise<FleetError>((resolve) => {
    finish = resolve;
  });
  /** Until the handshake is over, nothing but the handshake is written. */
  let outbox: Outbox = { send: (line) => socket.write(line) };
  const reader = createFrameReader({
    line(text) {
      if (text === 'PING') outbox.send('PONG\r\n');
      else if (text === 'PONG') {
        unanswered = 0;
        options.onPong();
        accept();
      } else if (text.startsWith('INFO ')) greet(greetingIn(text));
      else if (text.startsWith('-ERR ')) {
        const denial = denialOf(text);
        if (denial === undefined) throw errorOf(text, options);
        options.onDenied(denial);
      }
    },
    begin: options.begin,
    message: options.message,
  });
  /** A socket ends by an error, by its peer or by this side; the first reason is the one that is kept. */
  const watch = (watched: Socket) => {
    watched.setNoDelay(true);
    watched.on('error', (caught) => finish(clientFailure(caught, peer) ?? toFleetError(caught)));
    watched.once('close', () => finish(new FleetError('unavailable', 'the connection ended')));
  };
  const receive = guarded(
    (caught) => finish(toFleetError(caught)),
    () => socket.destroy(),
  );
  let socket: Socket = server.tls
    ? openForGreeting(server, reader, receive)
    : openDirect(server, reader, receive);
  watch(socket);
  const stopTimer = after(HANDSHAKE_MS, () => {
    finish(new FleetError('deadlineExceeded', 'it did not greet in time'));
    socket.destroy();
  });

  try {
    const info = await orEnd(greeting, ended);
    if (info.tlsRequired && !server.tls)
      throw new FleetError(
        'failedPrecondition',
        `it wants an encrypted connection; write tls://${server.host}:${server.port}`,
      );
    if (!info.tlsOffered && server.tls)
      throw new FleetError(
        'failedPrecondition',
        `it does not encrypt; write nats://${server.host}:${server.port}, or give nats-server a certificate`,
      );
    if (server.tls) {
      socket = await secured(socket, options, ended, watch);
      socket.on('data', (bytes) => receive(() => reader.feed(bytes)));
    }
    socket.write(`CONNECT ${JSON.stringify(connectOf(options, info))}\r\nPING\r\n`);
    await orEnd(accepted, ended);
    outbox = createOutbox(socket);
    const stopPings = every(PING_MS, () => {
      if (unanswered++ >= PINGS_UNANSWERED_MAX) socket.destroy();
      else outbox.send('PING\r\n');
    });
    void ended.then(stopPings);
    return {
      maxPayload: info.maxPayload,
      ended,
      send: outbox.send,
      close() {
        // The next turn comes after the flush of what this turn has sent.
        process.nextTick(() => socket.end());
        // A hung broker would never answer the end.
        after(CLOSE_MS, () => socket.destroy(), { holdsProcess: false });
      },
    };
  } catch (caught) {
    socket.destroy();
    throw toFleetError(caught, `broker at ${server.host}:${server.port}`);
  } finally {
    stopTimer();
  }
}

/** Opens a socket that reads into the memory that the reader names. */
function openDirect(server: Server, reader: FrameReader, receive: Receive): Socket {
  return connectTcp({
    host: server.host,
    port: server.port,
    onread: {
      buffer: () => reader.target() as Uint8Array<ArrayBuffer>,
      callback: (bytes) => receive(() => reader.filled(bytes)),
    },
  });
}

/**
 * Opens a socket for the greeting in the clear. Once encrypted, a socket gives data in memory of its own
 * anyway.
 */
function openForGreeting(server: Server, reader: FrameReader, receive: Receive): Socket {
  return connectTcp({ host: server.host, port: server.port }).on('data', (bytes) =>
    receive(() => reader.feed(bytes)),
  );
}

type Receive = (work: () => void) => boolean;

/** An error of a receiver must not leave through the socket's callback, where nothing could catch it. */
function guarded(report: (caught: unknown) => void, end: () => void): Receive {
  return (work) => {
    try {
      work();
      return true;
    } catch (caught) {
      report(caught);
      end();
      return false;
    }
  };
}

async function secured(
  plain: Socket,
  { server, tls }: LinkOptions,
  ended: Promise<FleetError>,
  watch: (socket: Socket) => void,
): Promise<Socket> {
  plain.removeAllListeners('data');
  const { cert, key, ca } = tls ?? {};
  const secure = connectTls({
    socket: plain,
    ...{ cert, key, ca, minVersion: 'TLSv1.2' },
    // A certificate names an IP address in another field than a server name, so the two are checked
    // differently.
    ...(/^[\d.]+$|:/.test(server.host) ? { host: server.host } : { servername: server.host }),
  });
  watch(secure);
  await orEnd(
    new Promise<void>((resolve) => {
      secure.once('secureConnect', () => resolve());
    }),
    ended,
  );
  return secure;
}

/** The wanted value, or the reason for the socket's end as an error if that comes first. */
async function orEnd<T>(wanted: Promise<T>, ended: Promise<FleetError>): Promise<T> {
  return Promise.race([
    wanted,
    ended.then((reason) => {
      throw reason;
    }),
  ]);
}

interface Outbox {
  send(line: string, head?: Uint8Array, data?: Uint8Array): void;
}

/**
 * Writes what one turn of the event loop sends by one call of the system (writev), data from where it lies. A
 * message's line end is held back and written in front of the next line, which saves a buffer for each
 * message.
 */
function createOutbox(socket: Socket): Outbox {
  let corked = false;
  /** Whether the line end after the last message is still to be written. */
  let open = false;

  function flush(): void {
    corked = false;
    if (open) socket.write(LINE_END);
    open = false;
    socket.uncork();
  }

  return {
    send(line, head, data) {
      if (!corked) {
        corked = true;
        socket.cork();
        process.nextTick(flush);
      }
      const text = open ? `\r\n${line}` : line;
      open = head !== undefined;
      if (head === undefined) {
        socket.write(text, 'latin1');
        return;
      }
      const first = Buffer.allocUnsafe(text.length + head.length);
      first.write(text, 'latin1');
      first.set(head, text.length);
      socket.write(first);
      if (data !== undefined && data.length > 0) socket.write(data);
    },
  };
}

function connectOf(options: LinkOptions, info: Greeting): Record<string, unknown> {
  return {
    lang: 'node',
    version: '1',
    name: options.name,
    protocol: 1,
    verbose: false,
    pedantic: false,
    headers: false,
    no_responders: false,
    echo: !options.noEcho,
    tls_required: options.server.tls,
    ...options.authenticator?.(info.nonce),
  };
}

/** The server's line about a permission, after which it keeps the link. */
function denialOf(line: string): Denial | undefined {
  const [, operation, subject] =
    /permissions violation for (publish|subscription) to "(\S+)"/i.exec(line) ?? [];
  if (operation === undefined || subject === undefined) return undefined;
  return { operation: operation.toLowerCase() === 'publish' ? 'publish' : 'subscription', subject };
}

/** Makes an error of the server's line, behind which it ends the link. */
function errorOf(line: string, { server, refusal }: LinkOptions): FleetError {
  const said = line.slice('-ERR '.length).replace(/^'(.*)'$/, '$1');
  if (/user authentication expired/i.test(said))
    return new FleetError('unavailable', 'the broker ended the connection: its rights have expired');
  // A program that has hardly any processor is not refused: it was too late to say who it is.
  if (AUTHENTICATION_TIMEOUT.test(said))
    return new FleetError('unavailable', `the broker ended the connection: ${said}`);
  if (/authorization violation|authentication/i.test(said))
    return new FleetError('unauthenticated', refusal(`${server.host}:${server.port}`));
  return new FleetError('unavailable', `the broker ended the connection: ${said}`);
}
