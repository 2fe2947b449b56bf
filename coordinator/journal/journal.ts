// The journal on JetStream: what has been appended here has happened. Decides how events are grouped into
// messages, how long an append is tried again, and who may write: each append names the sequence that it
// expects to be the last, so that of two coordinators only one can go on. That number is the fence; no lease
// and no clock decides who leads.

import { type Clock, systemClock } from '../../core/clock.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import { streamClient, streamManager } from '../../core/net/jetstream.ts';
import { ensureJournal, type NatsConnection } from '../../core/net/nats.ts';
import type { Names } from '../../core/net/subjects.ts';
import { ASK_AGAIN, delayMs, retrying } from '../../core/retry.ts';
import { randomId } from '../../core/rng.ts';
import type { Event } from '../model/events.ts';
import type { Group } from './event-schema.ts';
import { createJournalMemory } from './journal-memory.ts';
import { journalInfo, readGroups } from './journal-reader.ts';
import { isOwnGroup, otherWriterError, truncationOf } from './other-writer.ts';

/** The journal as its one writer sees it. */
export interface Journal {
  /** The name of its stream. */
  readonly stream: string;
  /** Sequence of the newest message that this journal has read or written. */
  readonly sequence: number;
  /** An append is being tried again, since when and why. */
  readonly trouble: { readonly sinceMs: number; readonly error: FleetError } | undefined;
  /** Makes sure that the stream is there; `dataLoss` when it was there once and is gone or empty. */
  prepare(): Promise<void>;
  /**
   * Every event so far, oldest first; afterwards appends are possible. Throws `dataLoss` at the first message
   * that is not ours, and when the journal ends before the end that is remembered.
   */
  replay(): AsyncGenerator<Event>;
  /**
   * What was appended by others since the last message that this journal has read or written, oldest first.
   * Throws `dataLoss` as `replay` does, and when the journal has become shorter; `cancelled` when `truncate`
   * has cut it off, after which it must be read from its start.
   */
  readOn(): AsyncGenerator<Event>;
  /**
   * Resolves when all are on disk, however long the broker is away. `resourceExhausted`: the store is full
   * and nothing was stored. `aborted`: another coordinator has written, i.e. the lead is lost. `dataLoss`:
   * something else has. `cancelled`: `truncate` has; the journal must be read again.
   */
  append(events: readonly Event[]): Promise<void>;
  /**
   * Throws what an append would throw: a coordinator that has nothing to append would not notice otherwise.
   */
  confirmLead(): Promise<void>;
  /** Remembers beside the journal how far it reaches. */
  remember(): Promise<void>;
  /** All events on disk now, oldest first. Does not touch the position of appends. */
  read(): AsyncGenerator<Event>;
  /** A text that differs when the stream has changed in any way. */
  fingerprint(): Promise<string>;
  /** Something else was written since: no append is under way, so nothing is known to be wrong. */
  clearTrouble(): void;
  /** Ends an append that is tried again and again. */
  close(): void;
}

/** The server's codes for an append that expected another last sequence. */
const WRONG_LAST_SEQUENCE: ReadonlySet<unknown> = new Set([10071, 10164]);
/** Bytes a message may have; far below the broker's limit of 1 MiB, and above it only for one huge event. */
const GROUP_BYTES_MAX = 256 * 1024;
/**
 * A broker that was restarted has lost what was in its sockets; asking again is safe, because our own append
 * is recognised.
 */
const APPEND_TIMEOUT_MS = 2_000;
/**
 * Looks in a row that must find no stream before it counts as gone: a cluster that has just started may not
 * know it yet.
 */
const GONE_LOOKS = 4;

/** Opens the journal of this connection; nothing is read before `replay`. */
export function openJournal(options: {
  connection: NatsConnection;
  names: Names;
  clock?: Clock;
  onAppend?: (outcome: 'ok' | 'error', seconds: number) => void;
}): Journal {
  const { connection, names } = options;
  const clock = options.clock ?? systemClock;
  const client = streamClient(connection, { timeoutMs: APPEND_TIMEOUT_MS });
  const memory = createJournalMemory(connection, names);
  const closing = new AbortController();
  const writer = randomId();
  let sequence = 0;
  let group = 0;
  let appending = false;
  let trouble: Journal['trouble'];

  /** `begun`: an earlier part of the same decision is stored, so this one must be, however long it takes. */
  async function appendGroup(events: readonly Event[], begun: boolean): Promise<void> {
    const message: Group = { writer, group: ++group, events };
    const payload = JSON.stringify(message);
    let missed = 0;
    for (let attempt = 1; ; attempt++) {
      const startedAt = systemClock.monotonic();
      try {
        const ack = await client.publish(names.journalSubject, payload, {
          expect: { lastSequence: sequence },
        });
        options.onAppend?.('ok', (systemClock.monotonic() - startedAt) / 1000);
        sequence = ack.seq;
        trouble = undefined;
        return;
      } catch (caught) {
        options.onAppend?.('error', (systemClock.monotonic() - startedAt) / 1000);
        if (isWrongSequence(caught)) {
          // Either a lost answer made us repeat ourselves, or somebody else has written.
          if (!(await isOurs(message))) throw await otherWriter(caught);
          sequence += 1;
          trouble = undefined;
          return;
        }
        const error = toFleetError(caught, `appending ${events.length} events to the journal`);
        if (connection.isClosed()) throw error;
        trouble = { sinceMs: trouble?.sinceMs ?? clock.now(), error };
        if (error.code === 'resourceExhausted' && !begun && (await isUnchanged())) throw error;
        missed = (await isGone()) ? missed + 1 : 0;
        if (missed >= GONE_LOOKS) throw await otherWriter();
        await clock.sleep(delayMs(ASK_AGAIN, attempt), closing.signal);
      }
    }
  }

  /** Nothing of an append that was refused is stored, also by an earlier try whose answer was lost. */
  async function isUnchanged(): Promise<boolean> {
    return journalInfo(connection, names).then(
      (info) => info?.state.last_seq === sequence,
      () => false,
    );
  }

  const isGone = (): Promise<boolean> =>
    journalInfo(connection, names).then(
      (info) => info === undefined,
      () => false,
    );

  async function messageAt(seq: number): Promise<Uint8Array | undefined> {
    try {
      const manager = await streamManager(connection, { timeoutMs: APPEND_TIMEOUT_MS });
      return (await manager.streams.getMessage(names.journalStream, { seq }))?.data;
    } catch (caught) {
      if (toFleetError(caught).code === 'notFound') return undefined;
      throw caught;
    }
  }

  /** A broker that went away in between is asked until it answers. */
  async function isOurs(message: Group): Promise<boolean> {
    const data = await retrying(() => messageAt(sequence + 1), {
      backoff: ASK_AGAIN,
      clock,
      signal: closing.signal,
      finalError: (caught) =>
        connection.isClosed() ? toFleetError(caught, 'reading the journal') : undefined,
    });
    return isOwnGroup(data, message);
  }

  /** The error that follows from what was written after `sequence`. */
  async function otherWriter(cause?: unknown): Promise<FleetError> {
    const info = await journalInfo(connection, names);
    const lastSequence = info?.state.last_seq;
    const isThere = lastSequence !== undefined && lastSequence >= sequence;
    const next = isThere ? await messageAt(sequence + 1) : undefined;
    return otherWriterError({ stream: names.journalStream, sequence, lastSequence, next, cause });
  }

  return {
    stream: names.journalStream,
    get sequence() {
      return sequence;
    },
    get trouble() {
      return trouble;
    },
    async prepare() {
      const info = await journalInfo(connection, names);
      if (info === undefined || info.state.last_seq === 0) await memory.check(info && 0);
      await ensureJournal(connection, names);
    },
    async *replay() {
      sequence = 0;
      for await (const group of readGroups(connection, names)) {
        sequence = group.sequence;
        yield* group.events;
      }
      // At the end, so that the part that is there is shown although something is missing.
      if (sequence > 0) await memory.check(sequence);
    },
    async *readOn() {
      const info = await journalInfo(connection, names);
      const lastSequence = info?.state.last_seq;
      if (lastSequence === sequence) return;
      if (lastSequence === undefined || lastSequence < sequence) throw await otherWriter();
      for await (const group of readGroups(connection, names, sequence + 1)) {
        const mark = truncationOf(group.events);
        if (mark !== undefined) throw mark;
        sequence = group.sequence;
        yield* group.events;
      }
    },
    async append(events) {
      appending = true;
      try {
        for (const [i, part] of partition(events).entries()) await appendGroup(part, i > 0);
      } finally {
        appending = false;
      }
    },
    async confirmLead() {
      if (appending) return;
      const groupBefore = group;
      const info = await journalInfo(connection, names);
      // What was appended meanwhile found out for itself.
      if (appending || group !== groupBefore || info?.state.last_seq === sequence) return;
      throw await otherWriter();
    },
    remember: () => memory.remember(sequence),
    async *read() {
      for await (const group of readGroups(connection, names)) yield* group.events;
    },
    async fingerprint() {
      const info = await journalInfo(connection, names);
      const known = await memory.recall();
      return JSON.stringify([
        known,
        info && [info.created, info.state.first_seq, info.state.last_seq, info.state.messages],
      ]);
    },
    clearTrouble() {
      if (!appending) trouble = undefined;
    },
    close: () => closing.abort(new FleetError('cancelled', 'the journal is closed')),
  };
}

function isWrongSequence(caught: unknown): boolean {
  return WRONG_LAST_SEQUENCE.has((caught as { code?: unknown } | null)?.code);
}

/**
 * Cuts a long list at GROUP_BYTES_MAX; a decision is cut only when it alone is larger, and settle() finds its
 * place again.
 */
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
