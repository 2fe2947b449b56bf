// The journal on JetStream: what has been appended here has happened. Decides how events are grouped into messages, how a
// reader sees them again, and who may write: each append names the sequence it expects to be the last, so of two
// coordinators only one can go on. What the events mean is evolve.ts'.

import { randomUUID } from 'node:crypto';
import { type JetStreamClient, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { FleetError, toFleetError } from '../core/errors.ts';
import type { NatsConnection } from '../core/net/nats.ts';
import { JOURNAL_STREAM, JOURNAL_SUBJECT } from '../core/net/subjects.ts';
import type { Event } from './events.ts';

/** One message of the stream: everything decided since the last acknowledgement. */
interface Group {
  /** Of the coordinator that wrote it, new at each start; with `group` it tells an own append whose answer was lost. */
  readonly writer: string;
  readonly group: number;
  readonly events: readonly Event[];
}

export interface Journal {
  /** Sequence of the newest message that this journal has read or written. */
  readonly sequence: number;
  /** Every event so far, oldest first; afterwards appends are possible. */
  replay(): AsyncGenerator<Event>;
  /** Resolves when all are on disk; `aborted` when another coordinator has written, i.e. the lead is lost. */
  append(events: readonly Event[]): Promise<void>;
  /** Throws `aborted` when another coordinator has written: one that has nothing to append would not notice otherwise. */
  confirmLead(): Promise<void>;
  /** All events on disk now, for those who ask why; does not touch the position of appends. */
  read(): AsyncGenerator<Event>;
}

/** The server's code for an append that expected another last sequence. */
const WRONG_LAST_SEQUENCE = 10071;
/** Bytes a message may have; far below the broker's limit of 1 MiB, and above it only for one huge event. */
const GROUP_BYTES_MAX = 256 * 1024;
/** A broker that was restarted has lost what was in its sockets; asking again is safe, because our own append is recognised. */
const APPEND_TIMEOUT_MS = 2_000;

export function openJournal(options: {
  connection: NatsConnection;
  /** Tries of one append while the broker does not answer; the work of the fleet waits meanwhile. */
  attempts?: number;
  onAppend?: (outcome: 'ok' | 'error', seconds: number) => void;
}): Journal {
  const { connection } = options;
  const client = jetstream(connection, { timeout: APPEND_TIMEOUT_MS });
  const writer = randomUUID();
  let sequence = 0;
  let group = 0;
  let appending = false;

  async function appendGroup(events: readonly Event[]): Promise<void> {
    const message: Group = { writer, group: ++group, events };
    const payload = JSON.stringify(message);
    for (let attempt = 1; ; attempt++) {
      const startedAt = performance.now();
      try {
        const ack = await client.publish(JOURNAL_SUBJECT, payload, { expect: { lastSequence: sequence } });
        options.onAppend?.('ok', (performance.now() - startedAt) / 1000);
        sequence = ack.seq;
        return;
      } catch (caught) {
        options.onAppend?.('error', (performance.now() - startedAt) / 1000);
        if (isWrongSequence(caught)) {
          // Either a lost answer made us repeat ourselves, or somebody else leads now.
          if (!(await isOurs(message))) throw leadLost(sequence, caught);
          sequence += 1;
          return;
        }
        if (attempt >= (options.attempts ?? 150) || connection.isClosed())
          throw toFleetError(caught, `appending ${events.length} events to the journal`);
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
    }
  }

  async function isOurs(message: Group): Promise<boolean> {
    const manager = await jetstreamManager(connection);
    const stored = await manager.streams.getMessage(JOURNAL_STREAM, { seq: sequence + 1 });
    const found = stored?.json<Group>();
    return found?.writer === message.writer && found.group === message.group;
  }

  return {
    get sequence() {
      return sequence;
    },
    async *replay() {
      for await (const group of groups(client, connection)) {
        sequence = group.sequence;
        yield* group.events;
      }
    },
    async append(events) {
      appending = true;
      try {
        for (const part of partition(events)) await appendGroup(part);
      } finally {
        appending = false;
      }
    },
    async confirmLead() {
      if (appending) return;
      const groupBefore = group;
      const manager = await jetstreamManager(connection, { timeout: APPEND_TIMEOUT_MS });
      const { state } = await manager.streams.info(JOURNAL_STREAM);
      // What was appended meanwhile found out for itself.
      if (appending || group !== groupBefore || state.last_seq <= sequence) return;
      throw leadLost(sequence);
    },
    async *read() {
      for await (const group of groups(client, connection)) yield* group.events;
    },
  };
}

function leadLost(sequence: number, cause?: unknown): FleetError {
  return new FleetError(
    'aborted',
    `the lead is lost: another coordinator has written to the journal after sequence ${sequence}`,
    cause === undefined ? {} : { cause },
  );
}

function isWrongSequence(caught: unknown): boolean {
  return (caught as { code?: unknown } | null)?.code === WRONG_LAST_SEQUENCE;
}

/** Messages from the first to the one that is the last when asked. */
async function* groups(
  client: JetStreamClient,
  connection: NatsConnection,
): AsyncGenerator<{ sequence: number; events: readonly Event[] }> {
  const manager = await jetstreamManager(connection);
  const { state } = await manager.streams.info(JOURNAL_STREAM);
  if (state.messages === 0) return;
  const consumer = await client.consumers.get(JOURNAL_STREAM);
  const messages = await consumer.consume({ max_messages: 500 });
  try {
    for await (const message of messages) {
      yield { sequence: message.seq, events: message.json<Group>().events };
      if (message.seq >= state.last_seq) return;
    }
  } finally {
    await messages.close();
    // An ordered consumer would stay at the broker until it is noticed to be idle.
    await consumer.delete().catch(() => false);
  }
}

/** Cuts a long list at GROUP_BYTES_MAX; a decision is cut only when it alone is larger, and settle() finds its place again. */
function partition(events: readonly Event[]): Event[][] {
  const parts: Event[][] = [];
  let bytes = GROUP_BYTES_MAX;
  for (const event of events) {
    const size = JSON.stringify(event).length;
    if (bytes + size > GROUP_BYTES_MAX) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1)!.push(event);
    bytes += size;
  }
  return parts;
}
