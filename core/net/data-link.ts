// One socket to a NATS server, from dialling to its end: greeting, encryption, identity, proof of life, writing. Decides when a
// link is good and when it is dead; making a new one and knowing subscriptions is data-connection.ts'.

import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { after, every } from '../clock.ts';
import { FleetError, toFleetError } from '../errors.ts';
import type { Authenticator, Server } from './broker-address.ts';
import { createFrameReader, type FrameReader, type FrameSink } from './frame-reader.ts';

export interface LinkOptions {
  readonly server: Server;
  readonly tls: { readonly ca?: string } | undefined;
  readonly authenticator: Authenticator | undefined;
  readonly name: string;
  readonly noEcho: boolean;
  readonly begin: FrameSink['begin'];
  readonly message: FrameSink['message'];
  /** The server answered a ping. */
  readonly onPong: () => void;
}

export interface Link {
  readonly maxPayload: number;
  /** A line of the protocol, and what a message has after it; the data is read where it lies. */
  send(line: string, head?: Uint8Array, data?: Uint8Array): void;
  /** Resolves with the reason when the socket has ended, whoever ended it. */
  readonly ended: Promise<FleetError>;
  /** Writes what is queued and closes. */
  close(): void;
}

const HANDSHAKE_MS = 5_000;
/** A hung broker, or a cable that carries nothing, is noticed in seconds: a member whose peers fall silent must know whose link it is. */
export const PING_MS = 500;
const PINGS_UNANSWERED_MAX = 8;
const CLOSE_MS = 1_000;
const LINE_END = Buffer.from('\r\n');

/** Resolves when the server has accepted who this is. */
export async function openLink(options: LinkOptions): Promise<Link> {
  const { server } = options;
  let unanswered = 0;
  let accept: () => void = () => {};
  let greet: (info: Info) => void = () => {};
  const greeting = new Promise<Info>((resolve) => {
    greet = resolve;
  });
  const accepted = new Promise<void>((resolve) => {
    accept = resolve;
  });
  let finish: (reason: FleetError) => void = () => {};
  const ended = new Promise<FleetError>((resolve) => {
    finish = resolve;
  });
  /** Before the handshake is over nothing is said but the handshake. */
  let outbox: Outbox = { send: (line) => socket.write(line) };
  const reader = createFrameReader({
    line(text) {
      if (text === 'PING') outbox.send('PONG\r\n');
      else if (text === 'PONG') {
        unanswered = 0;
        options.onPong();
        accept();
      } else if (text.startsWith('INFO ')) greet(parseInfo(text));
      else if (text.startsWith('-ERR ')) throw errorOf(text, options);
    },
    begin: options.begin,
    message: options.message,
  });
  /** The socket ends by an error, by its peer or by us: the first reason counts. */
  const watch = (watched: Socket) => {
    watched.setNoDelay(true);
    watched.on('error', (caught) => finish(toFleetError(caught)));
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
        // After what is still to be flushed.
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

/** Reads straight into the memory that the reader names. */
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

/** The greeting comes in the clear; an encrypted socket gives data in memory of its own in any case. */
function openForGreeting(server: Server, reader: FrameReader, receive: Receive): Socket {
  return connectTcp({ host: server.host, port: server.port }).on('data', (bytes) =>
    receive(() => reader.feed(bytes)),
  );
}

type Receive = (work: () => void) => boolean;

/** What a receiver throws must not leave through the socket's callback, where nobody could catch it. */
function guarded(tell: (caught: unknown) => void, end: () => void): Receive {
  return (work) => {
    try {
      work();
      return true;
    } catch (caught) {
      tell(caught);
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
  const secure = connectTls({
    socket: plain,
    ...tls,
    // A certificate for an IP address names it as such; as a server name it would be refused.
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

/** Everything that is said in one turn of the event loop goes in one writev, data from where it lies. */
function createOutbox(socket: Socket): Outbox {
  let corked = false;
  /** The line end after the last message is still to come: it goes with what follows. */
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

interface Info {
  readonly maxPayload: number;
  readonly tlsRequired: boolean;
  readonly nonce: string | undefined;
}

function parseInfo(line: string): Info {
  const info = JSON.parse(line.slice('INFO '.length)) as Record<string, unknown>;
  return {
    maxPayload: Number(info.max_payload),
    tlsRequired: info.tls_required === true,
    nonce: typeof info.nonce === 'string' ? info.nonce : undefined,
  };
}

function connectOf(options: LinkOptions, info: Info): Record<string, unknown> {
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

/** Most errors end the link anyway; one about permissions for a subject does not, but no exchange can work with it. */
function errorOf(line: string, { name, server }: LinkOptions): FleetError {
  const said = line.slice('-ERR '.length).replace(/^'(.*)'$/, '$1');
  if (/authorization violation|authentication/i.test(said))
    return new FleetError(
      'unauthenticated',
      `the broker at ${server.host}:${server.port} refuses the credentials of ${name}; give it the fleet's natsToken, or the user and password of the broker`,
    );
  if (/permissions violation/i.test(said))
    return new FleetError('permissionDenied', `the broker does not let ${name} do this: ${said}`);
  return new FleetError('unavailable', `the broker ended the connection: ${said}`);
}
