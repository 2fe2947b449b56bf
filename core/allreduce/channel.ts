// The subjects of one generation on a connection: what goes out to one member or all, and what comes in that belongs here.
// Decides which messages are of this gang at all (well-formed, this run, this generation, from another
// member); what they mean is exchange.ts'. Nothing is promised: core NATS may lose, and after an outage deliver late.

import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { FleetError, toFleetError } from '../errors.ts';
import { gangSubject, rankSubject } from '../net/subjects.ts';
import { decodeMessage, hashOf, type Message, NO_DIGEST } from './message.ts';
import type { ExchangeStats, Faults, Passage, Wire } from './wire.ts';

export interface Channel extends Pick<Wire, 'header' | 'sendTo' | 'sendAll'> {
  close(): void;
}

export function createChannel(options: {
  readonly connection: NatsConnection;
  readonly runId: string;
  readonly generation: number;
  readonly rank: number;
  readonly ranks: number;
  readonly stats: ExchangeStats;
  readonly faults: Faults | undefined;
  readonly onMessage: (message: Message) => void;
  /** A message was dropped because of what it is. */
  readonly onRefused: (error: FleetError) => void;
  readonly onBroken: (error: FleetError) => void;
}): Channel {
  const { connection, runId, generation, rank, ranks, stats, faults } = options;
  const runHash = hashOf(runId);
  let closed = false;
  // One member alone needs no broker.
  const subjects = ranks === 1 ? [] : [rankSubject(runId, generation, rank), gangSubject(runId, generation)];
  const subscriptions = subjects.map((subject) => connection.subscribe(subject, { callback: receive }));

  function send(subject: string, passage: Omit<Passage, 'direction'>, payload: Uint8Array): void {
    if (closed || ranks === 1) return;
    for (let copies = copiesOf({ direction: 'send', ...passage }); copies > 0; copies--) {
      try {
        connection.publish(subject, payload);
      } catch (cause) {
        options.onBroken(new FleetError('unavailable', 'the connection to the broker is closed', { cause }));
        return;
      }
      stats.bytesSent += payload.length;
    }
  }

  function receive(_error: Error | null, incoming: Msg): void {
    if (closed) return;
    stats.bytesReceived += incoming.data.length;
    try {
      const message = decodeMessage(incoming.data);
      const { kind, step, chunk, source } = message;
      // Without noEcho the broker gives back what this member told all.
      if (source === rank && message.generation === generation) return;
      checkOrigin(message);
      for (
        let copies = copiesOf({ direction: 'receive', kind, step, chunk, peer: source });
        copies > 0;
        copies--
      )
        options.onMessage(message);
    } catch (caught) {
      stats.refused++;
      options.onRefused(toFleetError(caught));
    }
  }

  function checkOrigin({ generation: theirs, runHash: run, source, ranks: size }: Message): void {
    if (theirs === generation && run === runHash && size === ranks && source < ranks) return;
    throw new FleetError(
      'aborted',
      `a message of generation ${theirs}, rank ${source} of ${size} came to generation ${generation} of ${ranks}`,
    );
  }

  function copiesOf(passage: Passage): number {
    const fate = faults?.(passage) ?? 'pass';
    return fate === 'drop' ? 0 : fate === 'duplicate' ? 2 : 1;
  }

  return {
    header: (kind, step, fields) => ({
      kind,
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
    sendTo: (to, kind, step, chunk, payload) =>
      send(rankSubject(runId, generation, to), { kind, step, chunk, peer: to }, payload),
    sendAll: (kind, step, chunk, payload) =>
      send(gangSubject(runId, generation), { kind, step, chunk, peer: -1 }, payload),
    close() {
      closed = true;
      for (const subscription of subscriptions) subscription.unsubscribe();
    },
  };
}
