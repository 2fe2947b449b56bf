// The subjects of one generation on a connection: what goes out to one member or all, and what comes in that belongs here.
// Decides which messages are of this gang at all (well-formed, this run, this generation, from another
// member); what they mean and where their data goes is exchange.ts'. Nothing is promised: core NATS may lose.

import { FleetError, toFleetError } from '../errors.ts';
import type { DataConnection, Receiver } from '../net/data-connection.ts';
import { gangSubject, rankSubject } from '../net/subjects.ts';
import { decodeHeader, encodeHeader, type Header, hashOf, NO_DIGEST } from './message.ts';
import type { ExchangeStats, Faults, Passage, Place, Wire } from './wire.ts';

export interface Channel extends Pick<Wire, 'header' | 'sendTo' | 'sendAll'> {
  close(): void;
}

export function createChannel(options: {
  readonly connection: DataConnection;
  readonly runId: string;
  readonly generation: number;
  readonly rank: number;
  readonly ranks: number;
  readonly stats: ExchangeStats;
  readonly faults: Faults | undefined;
  readonly place: (header: Header) => Place;
  readonly onMessage: (header: Header, data: Uint8Array) => void;
  /** A message was dropped because of what it is. */
  readonly onRefused: (error: FleetError) => void;
  readonly onBroken: (error: FleetError) => void;
}): Channel {
  const { connection, runId, generation, rank, ranks, stats, faults } = options;
  const runHash = hashOf(runId);
  let closed = false;
  /** Of the message that is being read on this channel, if it is wanted. */
  let arriving: { readonly header: Header; readonly copies: number } | undefined;
  const receiver: Receiver = {
    begin: (head, dataBytes) => orRefuse(() => begin(head, dataBytes)) ?? 'skip',
    message(_head, data) {
      const message = arriving;
      arriving = undefined;
      if (closed || message === undefined) return;
      for (let copies = message.copies; copies > 0; copies--)
        orRefuse(() => options.onMessage(message.header, data));
    },
  };
  // One member alone needs no broker.
  const subjects = ranks === 1 ? [] : [rankSubject(runId, generation, rank), gangSubject(runId, generation)];
  const subscriptions = subjects.map((subject) => connection.subscribe(subject, receiver));

  function begin(head: Uint8Array, dataBytes: number): Place {
    arriving = undefined;
    if (closed) return 'skip';
    stats.bytesReceived += head.length + dataBytes;
    const header = decodeHeader(head, dataBytes);
    const { kind, step, chunk, source } = header;
    // Without noEcho the broker gives back what this member told all.
    if (source === rank && header.generation === generation) return 'skip';
    checkOrigin(header);
    const copies = copiesOf({ direction: 'receive', kind, step, chunk, peer: source });
    if (copies === 0) return 'skip';
    const place = options.place(header);
    if (place === 'skip') return place;
    if (place !== 'own' && place.length !== dataBytes)
      throw new FleetError('invalidArgument', `${dataBytes} bytes came where ${place.length} belong`);
    arriving = { header, copies };
    return place;
  }

  /** A peer's mistake costs its message and nothing else. */
  function orRefuse<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (caught) {
      stats.refused++;
      options.onRefused(toFleetError(caught));
      return undefined;
    }
  }

  function checkOrigin({ generation: theirs, runHash: run, source, ranks: size }: Header): void {
    if (theirs === generation && run === runHash && size === ranks && source < ranks) return;
    throw new FleetError(
      'aborted',
      `a message of generation ${theirs}, rank ${source} of ${size} came to generation ${generation} of ${ranks}`,
    );
  }

  function copiesOf(passage: Passage): number {
    const fate = faults?.(passage) ?? 'pass';
    if (fate === 'pass') return 1;
    stats.injected++;
    return fate === 'drop' ? 0 : 2;
  }

  function send(subject: string, peer: number, header: Header, data: Uint8Array | undefined): void {
    if (closed || ranks === 1) return;
    const { kind, step, chunk } = header;
    const head = encodeHeader(header, data?.length ?? 0);
    for (let copies = copiesOf({ direction: 'send', kind, step, chunk, peer }); copies > 0; copies--) {
      try {
        // A broker that is away loses it, as the network may.
        connection.publish(subject, head, data);
      } catch (caught) {
        options.onBroken(toFleetError(caught));
        return;
      }
      stats.bytesSent += head.length + (data?.length ?? 0);
    }
  }

  return {
    header: (kind, step, fields) => ({
      kind,
      encoding: 'none',
      generation,
      runHash,
      step,
      source: rank,
      ranks,
      shardFirst: 0,
      shardCount: 0,
      chunk: 0,
      offset: 0,
      count: 0,
      digest: NO_DIGEST,
      ...fields,
    }),
    sendTo: (to, header, data) => send(rankSubject(runId, generation, to), to, header, data),
    sendAll: (header, data) => send(gangSubject(runId, generation), -1, header, data),
    close() {
      closed = true;
      for (const subscription of subscriptions) subscription.unsubscribe();
    },
  };
}
