// Snapshots of the state, so that a start reads the end of the journal alone. Decides where they lie, and which
// may be used: one that is damaged, of another fold, or of a message that the journal does not have is passed
// over, and the journal is folded instead. A snapshot bounds the start and is nothing else: it may be lost.
//
// There are two places, which are written in turn, so that one is whole while the other is written. A place
// has chunks, and then a head that names them by their digest.

import { promisify } from 'node:util';
import { deflateRaw, inflateRaw } from 'node:zlib';
import { z } from 'zod';
import { sha256Hex } from '../../core/digest.ts';
import { toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { type JetStreamManager, streamClient, streamManager } from '../../core/net/jetstream.ts';
import type { NatsConnection } from '../../core/net/nats.ts';
import type { Names } from '../../core/net/subjects.ts';
import { decodeState, encodeState, FOLD, type PlainState } from '../model/snapshot.ts';
import type { State } from '../model/state.ts';
import type { Place } from './chain.ts';
import { journalInfo } from './journal-reader.ts';
import { digestOf } from './message.ts';

/** The state at a place of the journal. */
export interface Snapshot {
  readonly place: Place;
  readonly state: State;
}

/** Where snapshots are kept. */
export interface SnapshotStore {
  /** The newest that fits the journal as it is; undefined when there is none. Never rejects. */
  newest(): Promise<Snapshot | undefined>;
  /** Whether so much has come since the last one, or the start, that another is worth its writing. */
  isDue(events: number, eventsAtLast: number): boolean;
  /** Stores one. Never rejects: what could not be stored is logged. */
  put(snapshot: Snapshot): Promise<void>;
}

const deflate = promisify(deflateRaw);
const inflate = promisify(inflateRaw);

/** So many events are folded in less than a second. */
const EVENTS_BETWEEN = 20_000;
/** Bytes of a chunk. */
const CHUNK_BYTES = 512 * 1024;
const PLACES = [0, 1] as const;
/** Of the form of head and chunks; another form is another number. */
const FORM = 1;

const headSchema = z.strictObject({
  form: z.literal(FORM),
  fold: z.literal(FOLD),
  place: z.strictObject({
    sequence: z.int().min(1),
    digest: z.string(),
    group: z.int().min(1),
    format: z.union([z.literal(1), z.literal(2)]),
    journal: z.string().optional(),
    version: z.string(),
  }),
  chunks: z.int().min(1),
  /** SHA-256 of all chunks together. */
  digest: z.string(),
});
type Head = z.infer<typeof headSchema>;

/** Snapshots in the fleet's stream for them, which must exist. */
export function createSnapshotStore(options: {
  readonly connection: NatsConnection;
  readonly names: Names;
  readonly log: Logger;
  /** Events after which another one is due; default: 20,000. */
  readonly eventsBetween?: number;
}): SnapshotStore {
  const { connection, names, log, eventsBetween = EVENTS_BETWEEN } = options;
  const client = streamClient(connection);

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

  async function read(at: number, head: Head, manager: JetStreamManager): Promise<State> {
    const numbers = Array.from({ length: head.chunks }, (_, i) => i);
    const chunks = await Promise.all(numbers.map((i) => messageAt(manager, names.snapshotSubject(at, i))));
    const bytes = Buffer.concat(chunks.map((chunk) => chunk ?? Buffer.alloc(0)));
    if (sha256Hex(bytes) !== head.digest) throw new Error('its bytes are not those that were stored');
    return decodeState(JSON.parse((await inflate(bytes)).toString()) as PlainState);
  }

  return {
    isDue: (events, eventsAtLast) => events - eventsAtLast >= eventsBetween,
    async newest() {
      try {
        const manager = await streamManager(connection);
        for (const { at, head } of await heads(manager)) {
          const { sequence } = head.place;
          try {
            const reason = await misfit(head, manager);
            if (reason === undefined) return { place: placeOf(head), state: await read(at, head, manager) };
            log.warn({ sequence }, `a snapshot is passed over: ${reason}`);
          } catch (caught) {
            log.warn({ sequence }, `a snapshot is passed over: ${toFleetError(caught).message}`);
          }
        }
      } catch (caught) {
        log.warn(toFleetError(caught, 'looking for a snapshot').message);
      }
      return undefined;
    },
    async put({ place, state }) {
      try {
        const bytes = await deflate(JSON.stringify(encodeState(state)), { level: 1 });
        const manager = await streamManager(connection);
        const [newest] = await heads(manager);
        if (newest !== undefined && newest.head.place.sequence >= place.sequence) return;
        const at = newest?.at === 0 ? 1 : 0;
        const chunks = Math.max(1, Math.ceil(bytes.length / CHUNK_BYTES));
        for (let i = 0; i < chunks; i++)
          await client.publish(
            names.snapshotSubject(at, i),
            bytes.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES),
          );
        const head = { form: FORM, fold: FOLD, place, chunks, digest: sha256Hex(bytes) };
        await client.publish(names.snapshotSubject(at, 'head'), JSON.stringify(head));
        log.info({ sequence: place.sequence, bytes: bytes.length }, 'a snapshot was stored');
      } catch (caught) {
        log.warn(toFleetError(caught, 'storing a snapshot').message);
      }
    },
  };
}

const placeOf = ({ place: { journal, ...rest } }: Head): Place => ({ ...rest, journal });
