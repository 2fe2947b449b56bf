// Looks at the whole journal and cuts it off: behind `pocketfleet journal`. Decides what may be cut off, and
// what the mark must carry.
//
// Nothing is deleted: a mark, appended in one message at a sequence that the caller has seen, takes out what
// lies between. So a crash leaves the journal as it was or as it was to be, a coordinator that runs is fenced
// like by any other append, and the stream may forbid deletion. (A stream that is made anew and filled again
// is empty when that is cut off.)

import type { Clock } from '../../core/clock.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import { openBucket, streamClient, streamManager } from '../../core/net/jetstream.ts';
import { ensureJournal, type NatsConnection } from '../../core/net/nats.ts';
import type { Names } from '../../core/net/subjects.ts';
import { randomId } from '../../core/rng.ts';
import type { Caller } from '../model/caller.ts';
import { initialState, type Noun } from '../model/state.ts';
import { type Begun, needsBegun, type Place } from './chain.ts';
import { shownEvents } from './formats/reader.ts';
import { createJournalMemory, newJournalUid } from './journal-memory.ts';
import {
  beginningOf,
  type Cut,
  journalCuts,
  journalInfo,
  readGroups,
  type StoredMessage,
  storedMessages,
} from './journal-reader.ts';
import { decodeGroup, encodeGroup, isForeign, readableText } from './message.ts';
import { foldedAt } from './opening.ts';

/** What a look at the whole journal has found. */
export interface JournalHealth {
  /** Where the stream ends; 0 when it is empty or absent. */
  readonly lastSequence: number;
  /** The number of events up to the damage, or of all. */
  readonly events: number;
  /** Empty when the journal is whole. */
  readonly damage: string;
  /** Up to here everything is whole. */
  readonly goodSequence: number;
  readonly cuts: readonly Cut[];
}

/** What is to be cut off. */
export interface Truncation {
  readonly after: number;
  readonly lastSequence: number;
  readonly reason: string;
  /** Whose call it is. */
  readonly by?: Caller;
}

/** Looking at the journal and cutting it off. */
export interface JournalRepair {
  check(): Promise<JournalHealth>;
  /** Every stored message after a sequence, as it is: a copy of what is about to be cut off. */
  messagesAfter(after: number): AsyncGenerator<StoredMessage>;
  /**
   * Cuts off what comes after sequence `after`. `lastSequence`: where the journal ended when the caller
   * looked; refused when it was written to since. Resolves with the sequence of the mark.
   */
  truncate(request: Truncation): Promise<number>;
}

/** Works on the stream itself, beside a coordinator that reads or appends. */
export function createJournalRepair(options: {
  connection: NatsConnection;
  names: Names;
  /** The fleet's name, and the release of this program. */
  fleet: string;
  version: string;
  clock: Clock;
}): JournalRepair {
  const { connection, names, fleet, version, clock } = options;
  const identity = { names, fleet };
  const { journalStream: stream } = names;
  const memory = createJournalMemory(connection, names);

  async function check(): Promise<JournalHealth> {
    const known = await memory.recall();
    const info = await journalInfo(connection, names);
    const lastSequence = info?.state.last_seq ?? 0;
    let state = initialState;
    let goodSequence = 0;
    const health = (damage: string, cuts: readonly Cut[] = []): JournalHealth => ({
      lastSequence,
      events: state.events,
      damage,
      goodSequence,
      cuts,
    });
    try {
      for await (const group of readGroups(connection, identity)) {
        for (const event of group.events)
          state = foldedAt({ stream, sequence: group.sequence }, state, event);
        goodSequence = group.sequence;
      }
      await memory.check(info?.state.last_seq, known);
      return health('', await journalCuts(connection, names));
    } catch (caught) {
      const error = toFleetError(caught);
      if (error.code !== 'dataLoss') throw error;
      goodSequence = Number(error.details.after ?? goodSequence);
      return health(error.message, await journalCuts(connection, names));
    }
  }

  async function truncate(request: Truncation): Promise<number> {
    const { after, lastSequence, reason, by } = request;
    const before = await check();
    if (!Number.isInteger(after) || after < 0 || after > before.lastSequence)
      throw new FleetError(
        'invalidArgument',
        `after: ${after} is no sequence from 0 to ${before.lastSequence}, where the journal ends`,
      );
    if (after > before.goodSequence)
      throw new FleetError(
        'invalidArgument',
        `after: what lies before sequence ${after} is damaged too; the journal is whole up to ${before.goodSequence}`,
      );
    const inside = before.cuts.find((cut) => cut.after < after && after < cut.mark);
    if (inside !== undefined)
      throw new FleetError(
        'invalidArgument',
        `after: ${after} was cut out before; take ${inside.after} or less, or ${inside.mark} or more`,
      );
    await ensureJournal(connection, names);
    const ids = await idsEverUsed(connection, names);
    const cut = {
      kind: 'journal.truncated',
      atMs: clock.now(),
      after,
      ids,
      reason,
      ...(by && { by }),
    } as const;
    const mark = await append(markAfter(await placeAt(after), { fleet, version, cut }), lastSequence);
    await memory.remember(mark);
    return mark;
  }

  /** The place of the newest message that counts up to sequence `after`, which is whole. */
  async function placeAt(after: number): Promise<Place> {
    let place = beginningOf(names);
    if (after > 0)
      for await (const group of readGroups(connection, identity)) {
        if (group.sequence > after) break;
        place = group.place;
        if (group.sequence === after) break;
      }
    return place;
  }

  async function append(message: Uint8Array, lastSequence: number): Promise<number> {
    try {
      const expect = { lastSequence };
      const { seq } = await streamClient(connection).publish(names.journalMarkSubject, message, { expect });
      return seq;
    } catch (caught) {
      const error = toFleetError(caught, 'appending the mark to the journal');
      if (error.code !== 'aborted') throw error;
      throw new FleetError(
        'aborted',
        `the journal does not end at sequence ${lastSequence} any more: it was written to since it was looked at; look again`,
        { cause: caught },
      );
    }
  }

  return {
    check,
    truncate,
    async *messagesAfter(after) {
      const info = await journalInfo(connection, names);
      if (info !== undefined) yield* storedMessages(connection, names, info, after + 1);
    },
  };
}

/** The mark that takes out what lies between this place and itself; it continues the message that it keeps. */
export function markAfter(
  place: Place,
  mark: {
    readonly fleet: string;
    readonly version: string;
    readonly cut: { readonly kind: 'journal.truncated'; readonly atMs: number };
  },
): Uint8Array {
  const { fleet, version, cut } = mark;
  const journal = place.journal ?? newJournalUid();
  const link = { journal, group: place.group + 1, before: place.digest, writer: randomId() };
  const begun: Begun = {
    ...{ kind: 'journal.begun', atMs: cut.atMs, uid: journal, fleet, version },
    ...(place.sequence === 0 ? {} : { adopts: place.sequence }),
  };
  return encodeGroup(link, needsBegun(place) ? [begun, cut] : [cut]);
}

/**
 * Numbers of ids that are passed over when messages are missing: more than one decision can have given out.
 */
const IDS_UNSEEN = 1_000;

/**
 * The highest number of each noun in anything that is stored, also in messages that cannot be read as a
 * whole. An id that is cut off must not be given to another run, because that would go on from the
 * checkpoints of the first.
 */
export async function idsEverUsed(connection: NatsConnection, names: Names): Promise<Record<Noun, number>> {
  const highest: Record<Noun, number> = { plan: 0, sweep: 0, trial: 0, run: 0 };
  const see = (text: string) => {
    for (const [, noun, number] of text.matchAll(/\b(plan|sweep|trial|run)-(\d{1,9})\b/g)) {
      const key = noun as Noun;
      highest[key] = Math.max(highest[key], Number(number));
    }
  };
  const info = await journalInfo(connection, names);
  const reached = Math.max(info?.state.last_seq ?? 0, await createJournalMemory(connection, names).recall());
  let found = 0;
  if (info !== undefined)
    for await (const { data } of storedMessages(connection, names, info)) {
      if (seeIds(data, see)) found += 1;
    }
  const manager = await streamManager(connection);
  for (const [stream, filter] of [
    [names.historyStream, names.historySubjects],
    [names.logStream, names.logSubjects],
  ] as const) {
    const { state } = await manager.streams.info(stream, { subjects_filter: filter });
    for (const subject of Object.keys(state.subjects ?? {})) see(subject);
  }
  const bucket = await openBucket(connection, names.manifestBucket);
  for await (const key of await bucket.keys()) see(key);
  // What missing and unreadable messages gave out is not known.
  if (found < reached) for (const noun of Object.keys(highest) as Noun[]) highest[noun] += IDS_UNSEEN;
  return highest;
}

/**
 * Passes on each id of a message that stands in quotes. A word of a person's text counts only when it looks exactly like
 * an id. False when there may be others: in a list of what is no group nobody knows which numbers are ids.
 */
function seeIds(data: Uint8Array, see: (text: string) => void): boolean {
  const group = decodeGroup(data);
  const events = isForeign(group) ? undefined : shownEvents(group);
  const text = events === undefined ? readableText(data) : JSON.stringify(events);
  if (text === undefined) return false;
  for (const [quoted] of text.matchAll(/"(?:plan|sweep|trial|run)-\d{1,9}"/g)) see(quoted);
  return events === undefined ? !/\[\s*\d/.test(text) : !events.some(Array.isArray);
}
