// The journal on JetStream: what has been appended here has happened. Decides how events are grouped into
// messages, how long an append is tried again, and who may write: each append names the sequence that it
// expects to be the last, so that of two coordinators only one can go on. That number is the fence; no lease
// and no clock decides who leads.

import { type Clock, systemClock } from '../../core/clock.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import { streamClient } from '../../core/net/jetstream.ts';
import { ensureJournal, type NatsConnection } from '../../core/net/nats.ts';
import type { Names } from '../../core/net/subjects.ts';
import { ASK_AGAIN, delayMs } from '../../core/retry.ts';
import { randomId } from '../../core/rng.ts';
import type { Event } from '../model/events.ts';
import { type Begun, needsBegun, type Place } from './chain.ts';
import { eventsOf, isRefusal } from './formats/reader.ts';
import type { JournalIndex } from './journal-index.ts';
import { createJournalLooks } from './journal-looks.ts';
import { createJournalMemory, newJournalUid } from './journal-memory.ts';
import { beginningOf, journalInfo, LOOK_MS, readGroups, readTogether } from './journal-reader.ts';
import { decodeGroup, digestOf, encodeGroup, FORMAT, isForeign } from './message.ts';
import { otherWriterError, truncationOf } from './other-writer.ts';
import { jsonBytesOf, partition } from './partition.ts';
import { createStories, type Told } from './stories.ts';

/** A place of the journal, and where the events up to there stand. */
export interface Beginning {
  readonly place: Place;
  readonly index: JournalIndex;
}

/** The journal as its one writer sees it. */
export interface Journal {
  /** The name of its stream. */
  readonly stream: string;
  /** Where it stands: the newest message that this journal has read or written, and its digest. */
  readonly place: Place;
  /** Sequence of the newest message that this journal has read or written. */
  readonly sequence: number;
  /** An append is being tried again, since when and why. */
  readonly trouble: { readonly sinceMs: number; readonly error: FleetError } | undefined;
  /** Makes sure that the stream is there; `dataLoss` when it was there once and is gone or empty. */
  prepare(): Promise<void>;
  /** Where the events of each thing stand, up to `place`. */
  readonly index: JournalIndex;
  /**
   * Every event so far, or every one after `from`, message by message, oldest first; afterwards appends are
   * possible. `from.index` is taken over and goes on. Throws `cancelled` when the message at `from` was cut off, `dataLoss` at the first message that
   * is not ours, and when the journal ends before the end that is remembered.
   */
  replay(from?: Beginning): AsyncGenerator<readonly Event[]>;
  /**
   * What was appended by others since the last message that this journal has read or written, oldest first.
   * Throws `dataLoss` as `replay` does, and when the journal has become shorter; `cancelled` when `truncate`
   * has cut it off, after which it must be read from its start.
   */
  readOn(): AsyncGenerator<Event>;
  /**
   * Resolves when all are on disk, however long the broker is away. `resourceExhausted`: the store is full
   * and nothing was stored. `aborted`: another coordinator has written, i.e. the lead is lost. `dataLoss`:
   * something else has. `cancelled`: `truncate` has; the journal must be read again. `failedPrecondition`: the
   * journal is another one now. A long list becomes several messages, in order; it is cut at `ends` (places
   * between events at which one decision ends) wherever a decision goes into one message. `invalidArgument`: one
   * event is larger than the broker takes, and nothing was stored.
   */
  append(events: readonly Event[], ends?: readonly number[]): Promise<void>;
  /** Why these events cannot be one message: it would be larger than the broker takes. */
  refusalOf(events: readonly Event[]): FleetError | undefined;
  /**
   * Throws what an append would throw: a coordinator that has nothing to append would not notice otherwise.
   */
  confirmLead(): Promise<void>;
  /** Remembers beside the journal how far it reaches. */
  remember(): Promise<void>;
  /** All events on disk now, oldest first. Does not touch the position of appends. */
  read(): AsyncGenerator<Event>;
  /** The events of a thing's story after event number `after`, oldest first, by their numbers. */
  story(id: string, after?: number): AsyncGenerator<Told>;
  /** A text that differs when the stream has changed in any way. */
  fingerprint(): Promise<string>;
  /** Something else was written since: no append is under way, so nothing is known to be wrong. */
  clearTrouble(): void;
  /** Ends an append that is tried again and again. */
  close(): void;
}

/** The server's codes for an append that expected another last sequence. */
const WRONG_LAST_SEQUENCE: ReadonlySet<unknown> = new Set([10071, 10164]);
/** Bytes of the largest message that a broker takes which did not say its limit. */
const MESSAGE_BYTES_MAX = 2 ** 20;
/** Bytes of that which the headers of an append may take. */
const HEADER_BYTES = 1024;
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
  /** The fleet's name, and the release of this program: the journal begins with them. */
  fleet: string;
  version: string;
  /** Copies of its stream; 0 or absent: see `Replicas`. */
  replicas?: number;
  clock?: Clock;
  onAppend?: (outcome: 'ok' | 'error', seconds: number) => void;
}): Journal {
  const { connection, names, fleet } = options;
  const identity = { names, fleet };
  const clock = options.clock ?? systemClock;
  const client = streamClient(connection, { timeoutMs: APPEND_TIMEOUT_MS });
  const memory = createJournalMemory(connection, names);
  const closing = new AbortController();
  const writer = randomId();
  const looks = createJournalLooks({ connection, names, clock, signal: closing.signal });
  let place = beginningOf(names);
  let appending = false;
  let trouble: Journal['trouble'];

  /** Where a journal whose names carry no uid gets one, when it is continued in this format. */
  const uid = names.journalUid ?? newJournalUid();

  /** The bytes of these events as the next group. */
  function messageOf(events: readonly Event[]): Uint8Array {
    const journal = place.journal ?? uid;
    const link = { journal, group: place.group + 1, before: place.digest, writer };
    if (!needsBegun(place)) return encodeGroup(link, events);
    const begun: Begun = {
      ...{ kind: 'journal.begun', atMs: clock.now(), uid: journal, fleet, version: options.version },
      ...(place.sequence === 0 ? {} : { adopts: place.sequence }),
    };
    return encodeGroup(link, [begun, ...events]);
  }

  function refusalOf(events: readonly Event[]): FleetError | undefined {
    const bytesMax = (connection.info?.max_payload ?? MESSAGE_BYTES_MAX) - HEADER_BYTES;
    // Deflating makes nothing longer, so that most lists are known to fit without it.
    if (jsonBytesOf(events) + HEADER_BYTES <= bytesMax) return undefined;
    const { length } = messageOf(events);
    if (length <= bytesMax) return undefined;
    return new FleetError(
      'invalidArgument',
      `what follows from this is ${events.length} events in ${length} bytes, and a message of the broker has at most ${bytesMax} (max_payload of nats-server): ask for less at once`,
      { details: { bytes: length, bytesMax } },
    );
  }

  /** `begun`: an earlier part of the same decision is stored, so this one must be, however long it takes. */
  async function appendGroup(events: readonly Event[], begun: boolean): Promise<void> {
    const payload = messageOf(events);
    let missed = 0;
    for (let attempt = 1; ; attempt++) {
      const startedAt = systemClock.monotonic();
      try {
        const ack = await client.publish(names.journalSubject, payload, {
          expect: { lastSequence: place.sequence },
        });
        options.onAppend?.('ok', (systemClock.monotonic() - startedAt) / 1000);
        goOn(ack.seq, payload, events);
        return;
      } catch (caught) {
        options.onAppend?.('error', (systemClock.monotonic() - startedAt) / 1000);
        if (isWrongSequence(caught)) {
          // Either a lost answer made us repeat ourselves, or somebody else has written.
          if (!(await isOurs(payload))) throw await looks.surely(() => otherWriter(caught));
          goOn(place.sequence + 1, payload, events);
          return;
        }
        const error = toFleetError(caught, `appending ${events.length} events to the journal`);
        if (connection.isClosed()) throw error;
        trouble = { sinceMs: trouble?.sinceMs ?? clock.now(), error };
        if (error.code === 'resourceExhausted' && !begun && (await looks.endsAt(place.sequence))) throw error;
        missed = (await looks.isGone()) ? missed + 1 : 0;
        if (missed >= GONE_LOOKS) throw await looks.surely(() => otherWriter());
        await clock.sleep(delayMs(ASK_AGAIN, attempt), closing.signal);
      }
    }
  }

  /** The own message is on disk. */
  function goOn(sequence: number, payload: Uint8Array, events: readonly Event[]): void {
    const { journal = uid, group } = place;
    const { version } = options;
    place = { sequence, digest: digestOf(payload), group: group + 1, format: FORMAT, journal, version };
    stories.take({ sequence, events });
    trouble = undefined;
  }

  const stories = createStories(async (sequence) => {
    const message = await looks.messageAt(sequence);
    const envelope = message && decodeGroup(message.data);
    if (envelope === undefined || isForeign(envelope)) return undefined;
    const events = eventsOf(envelope);
    return isRefusal(events) ? undefined : events;
  });

  async function isOurs(payload: Uint8Array): Promise<boolean> {
    const found = await looks.surely(() => looks.messageAt(place.sequence + 1));
    return found !== undefined && Buffer.from(payload).equals(found.data);
  }

  /** The error that follows from what was written after `sequence`. */
  async function otherWriter(cause?: unknown): Promise<FleetError> {
    const info = await looks.look();
    const lastSequence = info?.state.last_seq;
    const isThere = lastSequence !== undefined && lastSequence >= place.sequence;
    const next = isThere ? await looks.messageAt(place.sequence + 1) : undefined;
    return otherWriterError({ identity, place, lastSequence, next, cause });
  }

  return {
    stream: names.journalStream,
    get place() {
      return place;
    },
    get sequence() {
      return place.sequence;
    },
    refusalOf,
    get trouble() {
      return trouble;
    },
    async prepare() {
      await memory.checkUid();
      const known = await memory.recall();
      const info = await journalInfo(connection, names);
      if (info === undefined || info.state.last_seq === 0) await memory.check(info && 0, known);
      await ensureJournal(connection, names, options.replicas);
    },
    get index() {
      return stories.index;
    },
    async *replay(from) {
      const known = await memory.recall();
      place = from?.place ?? beginningOf(names);
      stories.begin(from?.index);
      for await (const groups of readTogether(connection, identity, place))
        for (const group of groups) {
          place = group.place;
          stories.take(group);
          yield group.events;
        }
      // At the end, so that the part that is there is shown although something is missing.
      if (place.sequence > 0) await memory.check(place.sequence, known);
    },
    async *readOn() {
      const info = await looks.look();
      const lastSequence = info?.state.last_seq;
      if (lastSequence === place.sequence) return;
      if (lastSequence === undefined || lastSequence < place.sequence) throw await otherWriter();
      for await (const group of readGroups(connection, identity, place, LOOK_MS)) {
        const mark = truncationOf(group.events);
        if (mark !== undefined) throw mark;
        place = group.place;
        stories.take(group);
        yield* group.events;
      }
    },
    async append(events, ends = []) {
      const parts = partition(events, ends, (some) => refusalOf(some) === undefined);
      for (const part of parts) {
        const refusal = refusalOf(part);
        if (refusal !== undefined) throw refusal;
      }
      appending = true;
      try {
        for (const [i, part] of parts.entries()) await appendGroup(part, i > 0);
      } finally {
        appending = false;
      }
    },
    async confirmLead() {
      if (appending) return;
      const placeBefore = place;
      const info = await looks.look();
      // What was appended meanwhile found out for itself.
      if (appending || place !== placeBefore || info?.state.last_seq === place.sequence) return;
      throw await otherWriter();
    },
    remember: () => memory.remember(place.sequence),
    async *read() {
      for await (const group of readGroups(connection, identity)) yield* group.events;
    },
    story: stories.tell,
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
