// A lean connection to the broker for gradients: publish and subscribe of core NATS over one socket. Data is
// read from the socket into the receiver's memory and written from the sender's, without a copy between.
//
// Decides what outlives an outage. The connection is made again after any outage, and its subscriptions come
// back with it. Messages do not: a message sent meanwhile is lost, because the exchange of gradients repairs
// losses by itself and would have no use for a late copy. The alternative was the official client, which
// costs this path two to three times the processor time.

import { type Clock, systemClock } from '../clock.ts';
import { type Denial, FleetError, toFleetError } from '../errors.ts';
import { CONNECT, retrying } from '../retry.ts';
import { authenticatorOf, type BrokerAddress, refusalText, serversOf, tlsFilesOf } from './broker-address.ts';
import { type Link, openLink, PING_MS } from './data-link.ts';
import { readTlsFiles } from './tls-files.ts';

/** Where to connect, under which name, and how long to wait for the first connection. */
export interface DataConnectionOptions extends BrokerAddress {
  /** Shown by the broker, e.g. `worker-1 gradients`. */
  readonly name: string;
  /** true: the connection never receives what it published itself. */
  readonly noEcho?: boolean;
  /** How long the first connection may take while the broker starts, milliseconds. */
  readonly waitMs?: number;
  readonly clock?: Clock;
  readonly signal?: AbortSignal;
  /** Called when the connection has ended, with the reason, and when it is there again. */
  readonly onStatus?: (up: boolean, reason: string) => void;
}

/** What a subscription does with its messages; its methods are those of `FrameSink` in frame-reader.ts. */
export interface Receiver {
  begin(head: Uint8Array, dataBytes: number): Uint8Array | 'own' | 'skip';
  message(head: Uint8Array, data: Uint8Array): void;
}

/** A connection that comes back by itself after each outage, until it is closed. */
export interface DataConnection {
  /**
   * Sends a message of `head` and then `data`. False: the broker is away and the message is lost. `head` may
   * be changed at once; `data` is read until the socket has written it, so a change before that may be sent.
   */
  publish(subject: string, head: Uint8Array, data?: Uint8Array): boolean;
  subscribe(subject: string, receiver: Receiver): { unsubscribe(): void };
  /**
   * Calls the listener when the broker did not take a message or a subscription for want of a right; the
   * returned function ends that.
   */
  onDenied(listener: (denial: Denial) => void): () => void;
  isClosed(): boolean;
  /**
   * Whether the broker answered a ping within PONG_MS_MAX: while it did, a silent peer is not this link's
   * fault.
   */
  isUp(): boolean;
  close(): void;
}

/** How old the newest answer to a ping may be while the link counts as up, milliseconds. */
const PONG_MS_MAX = 3 * PING_MS;

/**
 * Connects, waiting for a broker that is still starting; once connected it comes back after any outage, until
 * closed.
 */
export async function connectData(options: DataConnectionOptions): Promise<DataConnection> {
  const clock = options.clock ?? systemClock;
  const servers = serversOf(options.url);
  const files = tlsFilesOf(options);
  const authenticator = authenticatorOf(options);
  const subscriptions = new Map<number, { readonly subject: string; readonly receiver: Receiver }>();
  const denialListeners = new Set<(denial: Denial) => void>();
  const closing = new AbortController();
  let link: Link | undefined;
  let nextSubscription = 1;
  let nextServer = 0;
  let answeredAt = 0;

  async function dial(): Promise<void> {
    const dialled = await openLink({
      server: servers[nextServer++ % servers.length]!,
      // Read at each dial, so that a new certificate counts from the next connection on.
      tls: files && { ...readTlsFiles(files), caFile: files.caFile },
      authenticator,
      name: options.name,
      noEcho: options.noEcho ?? false,
      begin: (id, head, dataBytes) => subscriptions.get(id)?.receiver.begin(head, dataBytes) ?? 'skip',
      message: (id, head, data) => subscriptions.get(id)?.receiver.message(head, data),
      onPong: () => {
        answeredAt = clock.monotonic();
      },
      onDenied: (denial) => {
        for (const listener of denialListeners) listener(denial);
      },
      refusal: (place) => refusalText(place, { name: options.name, address: options }),
    });
    if (closing.signal.aborted) {
      dialled.close();
      return;
    }
    link = dialled;
    for (const [id, { subject }] of subscriptions) dialled.send(`SUB ${subject} ${id}\r\n`);
    void dialled.ended.then((reason) => {
      if (closing.signal.aborted) return;
      link = undefined;
      options.onStatus?.(false, reason.message);
      void redial();
    });
  }

  /** No failure is final here, whatever its code: the same address and credentials were good before. */
  async function redial(): Promise<void> {
    const again = async () => {
      await dial();
      options.onStatus?.(true, 'connected again');
    };
    const { signal } = closing;
    await retrying(again, { backoff: CONNECT, clock, signal, finalError: () => undefined }).catch(() => {});
  }

  await untilDialled(options, clock, dial);
  return {
    publish(subject, head, data) {
      if (link === undefined) return false;
      const bytes = head.length + (data?.length ?? 0);
      if (bytes > link.maxPayload)
        throw new FleetError(
          'failedPrecondition',
          `the broker takes messages of ${link.maxPayload} bytes and one of ${bytes} must go; raise max_payload in its configuration`,
        );
      link.send(`PUB ${subject} ${bytes}\r\n`, head, data);
      return true;
    },
    subscribe(subject, receiver) {
      const id = nextSubscription++;
      subscriptions.set(id, { subject, receiver });
      link?.send(`SUB ${subject} ${id}\r\n`);
      return {
        unsubscribe() {
          if (subscriptions.delete(id)) link?.send(`UNSUB ${id}\r\n`);
        },
      };
    },
    onDenied(listener) {
      denialListeners.add(listener);
      return () => denialListeners.delete(listener);
    },
    isClosed: () => closing.signal.aborted,
    isUp: () => link !== undefined && clock.monotonic() - answeredAt < PONG_MS_MAX,
    close() {
      closing.abort();
      link?.close();
      link = undefined;
    },
  };
}

async function untilDialled(
  options: DataConnectionOptions,
  clock: Clock,
  dial: () => Promise<void>,
): Promise<void> {
  await retrying(dial, {
    backoff: CONNECT,
    clock,
    signal: options.signal,
    withinMs: options.waitMs ?? 15_000,
    finalError: (caught, isLate) => {
      const error = toFleetError(caught);
      if (!error.retryable) return error;
      if (!isLate) return undefined;
      return new FleetError('unavailable', `no broker answers at ${options.url}: ${error.message}`, {
        cause: caught,
      });
    },
  });
}
