// Snapshots of the state and of the journal's index, so that a start reads the end of the journal alone. Decides
// where they lie, when another is due, and which may be used: one that is damaged, of another fold, or of a message
// that the journal does not have is passed over, and the journal is folded instead. A snapshot bounds the start and
// is nothing else: it may be lost.
//
// There are two places, which are written in turn, so that one is whole while the other is written. A place
// has chunks, and then a head that names them by their digest.

import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Clock } from '../../core/clock.ts';
import { toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { type JetStreamManager, streamClient, streamManager } from '../../core/net/jetstream.ts';
import type { NatsConnection } from '../../core/net/nats.ts';
import type { Names } from '../../core/net/subjects.ts';
import { FOLD } from '../model/snapshot-parts.ts';
import type { State } from '../model/state.ts';
import type { Place } from './chain.ts';
import type { JournalIndex } from './journal-index.ts';
import { journalInfo } from './journal-reader.ts';
import { digestOf } from './message.ts';
import { chunksOf, decodeSnapshot, partsOf, type SnapshotPart } from './snapshot-chunks.ts';

/** The state at a place of the journal, and where the events up to there stand. */
export interface Snapshot {
  readonly place: Place;
  readonly state: State;
  readonly index: JournalIndex;
}

/** Where snapshots are kept. */
export interface SnapshotStore {
  /** The newest that fits the journal as it is; undefined when there is none. Never rejects. */
  newest(): Promise<Snapshot | undefined>;
  /**
   * Whether so much has come since the newest that is known that another is worth its writing, and none is being
   * written. `patience` times as much for whoever writes only when nobody else does.
   */
  isDue(events: number, patience?: number): boolean;
  /**
   * Stores one, unless another coordinator has stored one that is as good. Never rejects: what could not be
   * stored is logged, and tried again when the next is due. Given up without a word when the signal is aborted.
   */
  put(snapshot: Snapshot, signal?: AbortSignal): Promise<void>;
}

/** So many events are folded in less than a second. */
const EVENTS_BETWEEN = 20_000;
/** With a long past the next is due after this part of it, so that all of them together cost a few readings. */
const PART_BETWEEN = 1 / 5;
const PLACES = [0, 1] as const;
/** Of the form of head and chunks; another form is another number. */
const FORM = 3;

const headSchema = z.strictObject({
  form: z.literal(FORM),
  fold: z.literal(FOLD),
  place: z.strictObject({
    sequence: z.int().min(1),
    digest: z.string(),
    group: z.int().min(1),
    format: z.union([z.literal(1), z.literal(2), z.literal(3)]),
    journal: z.string().optional(),
    version: z.string(),
  }),
  /** Events of the journal up to there. */
  events: z.int().min(0),
  chunks: z.int().min(1),
  /** SHA-256 of all chunks together. */
  digest: z.string(),
});
type Head = z.infer<typeof headSchema>;

/** Snapshots in the fleet's stream for them, which must exist. */
export function createSnapshotStore(options: {
  readonly connection: NatsConnection;
  readonly names: Names;
  readonly clock: Pick<Clock, 'monotonic' | 'sleep'>;
  readonly log: Logger;
  /** Events after which another one is due at the earliest; default: 20,000. */
  readonly eventsBetween?: number | undefined;
}): SnapshotStore {
  const { connection, names, clock, log, eventsBetween = EVENTS_BETWEEN } = options;
  const client = streamClient(connection);
  /** Events of the newest that was read, written or seen, and of one that could not be written. */
  let eventsAtLast = 0;
  let isWriting = false;

  const isDue = (events: number, patience = 1): boolean =>
    events - eventsAtLast >= patience * Math.max(eventsBetween, PART_BETWEEN * eventsAtLast);

  async function messageAt(manager: JetStreamManager, subject: string): Promise<Uint8Array | undefined> {
    const query = { last_by_subj: subject };
    try {
      return (await manager.streams.getMessage(names.snapshotStream, query))?.data;
    } catch (caught) {
      if (toFleetError(caught).code === 'notFound') return undefined;
      throw caught;
    }
  }

  /** The head at a place, if it is one of this release. */
  async function headAt(manager: JetStreamManager, at: number): Promise<Head | undefined> {
    const data = await messageAt(manager, names.snapshotSubject(at, 'head'));
    if (data === undefined) return undefined;
    try {
      return headSchema.safeParse(JSON.parse(Buffer.from(data).toString())).data;
    } catch {
      return undefined;
    }
  }

  async function heads(manager: JetStreamManager): Promise<{ at: number; head: Head }[]> {
    const found = await Promise.all(PLACES.map(async (at) => ({ at, head: await headAt(manager, at) })));
    return found
      .flatMap(({ at, head }) => (head === undefined ? [] : [{ at, head }]))
      .sort((a, b) => b.head.place.sequence - a.head.place.sequence);
  }

  /** Why the journal as it is does not contain what was folded; undefined: it does. */
  async function misfit({ place }: Head, manager: JetStreamManager): Promise<string | undefined> {
    const info = await journalInfo(connection, names);
    const { messages = 0, first_seq: first = 0, last_seq: last = 0 } = info?.state ?? {};
    // Something was deleted: a reader of the whole journal finds out what.
    if (first !== 1 || messages !== last) return 'messages of the journal are missing';
    if (place.sequence > last) return `the journal ends at ${last}`;
    if (names.journalUid !== undefined && place.journal !== names.journalUid)
      return 'it is of another journal';
    const message = await manager.streams.getMessage(names.journalStream, { seq: place.sequence });
    return message !== null && digestOf(message.data) === place.digest
      ? undefined
      : 'its message is another one';
  }

  /** The newest of this journal, whether or not it can be read. */
  async function newestFitting(manager: JetStreamManager) {
    for (const one of await heads(manager)) if ((await misfit(one.head, manager)) === undefined) return one;
    return undefined;
  }

  async function read(at: number, head: Head, manager: JetStreamManager): Promise<Omit<Snapshot, 'place'>> {
    const numbers = Array.from({ length: head.chunks }, (_, i) => i);
    const found = await Promise.all(numbers.map((i) => messageAt(manager, names.snapshotSubject(at, i))));
    const chunks = found.map((chunk) => chunk ?? Buffer.alloc(0));
    const hash = createHash('sha256');
    for (const chunk of chunks) hash.update(chunk);
    if (hash.digest('hex') !== head.digest) throw new Error('its bytes are not those that were stored');
    return decodeSnapshot(chunks);
  }

  /** Writes the chunks of a place and then its head. */
  async function write(
    at: number,
    of: { readonly place: Place; readonly events: number; readonly parts: Iterable<SnapshotPart> },
    signal: AbortSignal | undefined,
  ): Promise<number> {
    const { events, parts } = of;
    const place = headSchema.shape.place.parse(of.place);
    const hash = createHash('sha256');
    let [chunks, bytes] = [0, 0];
    for await (const chunk of chunksOf(parts, { clock, signal })) {
      hash.update(chunk);
      bytes += chunk.length;
      await client.publish(names.snapshotSubject(at, chunks), chunk);
      chunks += 1;
    }
    const head: Head = { form: FORM, fold: FOLD, place, events, chunks, digest: hash.digest('hex') };
    await client.publish(names.snapshotSubject(at, 'head'), JSON.stringify(head));
    return bytes;
  }

  return {
    isDue: (events, patience) => !isWriting && isDue(events, patience),
    async newest() {
      try {
        const manager = await streamManager(connection);
        for (const { at, head } of await heads(manager)) {
          const { sequence } = head.place;
          try {
            const reason = await misfit(head, manager);
            if (reason === undefined) {
              const found = await read(at, head, manager);
              eventsAtLast = head.events;
              return { place: placeOf(head), ...found };
            }
            log.warn({ sequence }, `a snapshot is passed over: ${reason}`);
          } catch (caught) {
            log.warn({ sequence }, `a snapshot is passed over: ${toFleetError(caught).message}`);
          }
        }
      } catch (caught) {
        log.warn(toFleetError(caught, 'looking for a snapshot').message);
      }
      eventsAtLast = 0;
      return undefined;
    },
    async put({ place, state, index }, signal) {
      const { events } = state;
      // Before anything else: the index grows.
      const parts = partsOf(state, index.encoded());
      isWriting = true;
      try {
        const manager = await streamManager(connection);
        const newest = await newestFitting(manager);
        eventsAtLast = newest?.head.events ?? 0;
        if (!isDue(events)) return;
        const bytes = await write(newest?.at === 0 ? 1 : 0, { place, events, parts }, signal);
        log.info({ sequence: place.sequence, bytes }, 'a snapshot was stored');
        eventsAtLast = events;
      } catch (caught) {
        eventsAtLast = events;
        if (signal?.aborted !== true) log.warn(toFleetError(caught, 'storing a snapshot').message);
      } finally {
        isWriting = false;
      }
    },
  };
}

const placeOf = ({ place: { journal, ...rest } }: Head): Place => ({ ...rest, journal });
