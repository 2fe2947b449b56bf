// Reads the journal's stream and checks every message: each sequence from 1 must be there, be a group of this
// journal and continue the one before it, unless a mark of `journal truncate` took it out. Decides what damage
// is, and the sentence about it; a reader gets everything up to the damage first.

import { FleetError, toFleetError } from '../../core/errors.ts';
import {
  isStreamMissing,
  type JetStreamManager,
  type StreamInfo,
  streamClient,
  streamManager,
} from '../../core/net/jetstream.ts';
import type { NatsConnection } from '../../core/net/nats.ts';
import type { Names } from '../../core/net/subjects.ts';
import { nameText } from '../../core/text/printable.ts';
import type { Event, EventOf } from '../model/events.ts';
import { BEGINNING, begunIn, follow, isBreak, type Place } from './chain.ts';
import { inflatedTogether } from './deflated.ts';
import { eventsOf, isRefusal } from './formats/reader.ts';
import { decodeGroup, type Envelope, FORMAT, isForeign } from './message.ts';

/** The messages after `after` and before `mark` count no more; the mark itself is a group. */
export interface Cut {
  readonly after: number;
  readonly mark: number;
  readonly reason: string;
}

/** A group that counts: its place, its events, and what was stored. */
export interface ReadGroup {
  readonly sequence: number;
  /** Where the journal stands with it. */
  readonly place: Place;
  readonly events: readonly Event[];
  readonly message: StoredMessage;
  readonly envelope: Envelope;
}

/** What a journal must be to be this fleet's. */
export interface Identity {
  readonly names: Names;
  /** The fleet's name. */
  readonly fleet: string;
}

/** Before the first message of this fleet's journal. */
export const beginningOf = ({ journalUid }: Names): Place => ({ ...BEGINNING, journal: journalUid });

/**
 * The error of a journal that cannot be read up to its end; `after`: the sequence up to which it can be kept.
 */
export function damageAt(stream: string, sequence: number, what: string, after = sequence - 1): FleetError {
  return new FleetError(
    'dataLoss',
    `the journal is damaged at sequence ${sequence}: ${what}; no decision is made until it is repaired: restore stream ${stream} from a backup, or cut it off with \`pocketfleet journal truncate --after ${after}\`, which keeps a copy`,
    { details: { sequence, after, what } },
  );
}

/** The error of a journal that a newer release has continued; nothing of it is wrong. */
function newerAt(stream: string, sequence: number, what: string, version: string): FleetError {
  const [writer, start] =
    version === ''
      ? ['a newer release has written', 'start that release']
      : [`release ${version} or a newer one has written`, `start release ${version} or a newer one`];
  const why = `${what}, which ${writer}; this release reads formats up to ${FORMAT}`;
  return new FleetError(
    'dataLoss',
    `the journal cannot be read from sequence ${sequence} of stream ${stream} on: ${why}; no decision is made by it: ${start}`,
    { details: { sequence, after: sequence - 1, newer: true, what: why } },
  );
}

/** The journal's stream as the broker describes it; undefined when there is none. */
export async function journalInfo(
  connection: NatsConnection,
  names: Names,
  patienceMs = REQUEST_MS,
): Promise<StreamInfo | undefined> {
  const manager = await streamManager(connection, { timeoutMs: patienceMs });
  try {
    return await manager.streams.info(names.journalStream, { subjects_filter: names.journalMarkSubject });
  } catch (caught) {
    if (isStreamMissing(caught)) return undefined;
    throw toFleetError(caught, 'looking at the journal');
  }
}

/** How long the broker may take to answer one request of a reader that reads everything, milliseconds. */
const REQUEST_MS = 5_000;
/**
 * The same for one that looks again in a moment. A request that was on its way when the broker was restarted is
 * never answered; who waits long for it does not see meanwhile that nobody leads.
 */
export const LOOK_MS = 1_000;
const MESSAGES_AT_ONCE = 500;
/** Messages that a reader gets together, and bytes from which on they are fewer. */
const TOGETHER = 32;
const TOGETHER_BYTES = 256 << 10;

/**
 * Groups after `from` up to the one that is the last when asked. Throws `damageAt` for what is missing, is not
 * of this journal or does not continue it, `newerAt` for what a newer release wrote, and `cancelled` when
 * `from` itself is cut off. `patienceMs`: how long the broker may take to answer a request.
 */
export async function* readGroups(...of: Parameters<typeof readTogether>): AsyncGenerator<ReadGroup> {
  for await (const groups of readTogether(...of)) yield* groups;
}

/** The same, some groups at once: to hand over each by itself takes a hundredth of a start. */
export async function* readTogether(
  connection: NatsConnection,
  identity: Identity,
  from: Place = beginningOf(identity.names),
  patienceMs = REQUEST_MS,
): AsyncGenerator<ReadGroup[]> {
  const { names } = identity;
  const { journalStream: stream } = names;
  const info = await journalInfo(connection, names, patienceMs);
  if (info === undefined || info.state.last_seq === 0) return;
  const last = info.state.last_seq;
  const cuts = await cutsOf(connection, names, info);
  const gone = cuts.find(({ after, mark }) => after < from.sequence && from.sequence < mark);
  if (gone !== undefined) throw truncatedError(gone.reason);
  let place = from;
  let expected = from.sequence + 1;
  /**
   * Goes on to sequence `to` over what is cut out. Throws when a message that counts is missing on the way.
   */
  const advance = (to: number) => {
    while (expected < to) {
      const cut = cuts.find(({ after, mark }) => after < expected && expected < mark);
      if (cut === undefined) throw missing(stream, expected, to - 1, last);
      expected = Math.min(to, cut.mark);
    }
  };
  for await (const batch of storedBatches(connection, names, info, expected, patienceMs)) {
    const texts = inflatedTogether(batch.map(({ data }) => data));
    const groups: ReadGroup[] = [];
    try {
      for (const [i, message] of batch.entries()) {
        if (message.sequence > last) break;
        advance(message.sequence);
        expected = message.sequence + 1;
        if (isCut(cuts, message.sequence)) continue;
        const group = groupAfter(identity, place, message, texts[i]);
        place = group.place;
        groups.push(group);
      }
    } catch (caught) {
      // What lies before the damage is read.
      if (groups.length > 0) yield groups;
      throw caught;
    }
    if (groups.length > 0) yield groups;
    if (batch.at(-1)!.sequence > last) return;
  }
  advance(last + 1);
}

/**
 * The group that a message is, as the one that follows `place`. `text`: that of the message, where it is known already.
 * Throws `damageAt` or `newerAt`.
 */
export function groupAfter(
  { names, fleet }: Identity,
  place: Place,
  message: StoredMessage,
  text?: Buffer,
): ReadGroup {
  const { journalStream: stream } = names;
  const { sequence } = message;
  const damaged = (phrase: string, after?: number) =>
    damageAt(stream, sequence, `the message ${phrase}`, after);
  const envelope = decodeGroup(message.data, text);
  if (isForeign(envelope)) {
    if (envelope.newer === undefined) throw damaged(envelope.phrase);
    throw newerAt(stream, sequence, `the message ${envelope.phrase}`, envelope.version ?? place.version);
  }
  const begun = begunIn(envelope.events);
  if (begun !== undefined && begun.fleet !== fleet)
    throw damaged(`begins the journal of fleet ${nameText(begun.fleet)}, and this is fleet ${fleet}`);
  const next = follow(place, message, envelope);
  if (isBreak(next)) throw damaged(next.phrase, next.isBeforeInDoubt ? place.sequence - 1 : undefined);
  const events = eventsOf(envelope);
  if (isRefusal(events)) {
    if (!events.isUnknownKind) throw damaged(events.phrase);
    throw newerAt(stream, sequence, `the message ${events.phrase}`, next.version);
  }
  const marks = events.filter((event) => event.kind === 'journal.truncated').length;
  if (marks !== (message.subject === names.journalMarkSubject ? 1 : 0))
    throw damaged('has its mark in a wrong place');
  return { sequence, place: next, events, message, envelope };
}

const isCut = (cuts: readonly Cut[], sequence: number): boolean =>
  cuts.some(({ after, mark }) => after < sequence && sequence < mark);

function missing(stream: string, from: number, to: number, last: number): FleetError {
  const which = from === to ? `message ${from} is` : `messages ${from} to ${to} are`;
  const all = from === 1 && to === last ? ' (the stream was purged, or its files are lost)' : '';
  return damageAt(stream, from, `${which} missing${all}`);
}

/** What all marks of the stream take out. A mark that lies in the part of a later one counts no more. */
async function cutsOf(connection: NatsConnection, names: Names, info: StreamInfo): Promise<Cut[]> {
  const marks = info.state.subjects?.[names.journalMarkSubject] ?? 0;
  if (marks === 0) return [];
  const manager = await streamManager(connection, { timeoutMs: REQUEST_MS });
  const cuts: Cut[] = [];
  for (let seq = 1; seq <= info.state.last_seq; ) {
    const stored = await nextMark(manager, names, seq);
    if (stored === undefined) break;
    const event = truncationIn(stored.data);
    if (event !== undefined) cuts.push({ after: event.after, mark: stored.seq, reason: event.reason });
    seq = stored.seq + 1;
  }
  return cuts.filter(({ mark }) => !cuts.some((later) => later.after < mark && mark < later.mark));
}

/** The event of a mark; undefined when the message is none. */
export function truncationIn(data: Uint8Array): EventOf<'journal.truncated'> | undefined {
  const envelope = decodeGroup(data);
  const events = isForeign(envelope) ? [] : eventsOf(envelope);
  if (isRefusal(events)) return undefined;
  return events.find((event) => event.kind === 'journal.truncated');
}

/** The error that makes whoever has read what is cut off begin again. */
export const truncatedError = (reason: string): FleetError =>
  new FleetError('cancelled', `the journal was truncated and is read again: ${reason}`);

async function nextMark(manager: JetStreamManager, names: Names, seq: number) {
  try {
    const query = { seq, next_by_subj: names.journalMarkSubject };
    return (await manager.streams.getMessage(names.journalStream, query)) ?? undefined;
  } catch (caught) {
    if (toFleetError(caught).code === 'notFound') return undefined;
    throw caught;
  }
}

/** A message of the stream as it is, whether or not it is one of ours. */
export interface StoredMessage {
  readonly sequence: number;
  readonly subject: string;
  readonly atMs: number;
  readonly data: Uint8Array;
}

/** Every message of the stream from sequence `from` up to what was its end when this began. */
export async function* storedMessages(
  ...of: Parameters<typeof storedBatches>
): AsyncGenerator<StoredMessage> {
  for await (const batch of storedBatches(...of)) yield* batch;
}

/** The same, TOGETHER at once; fewer at the end, and where they are large. */
async function* storedBatches(
  connection: NatsConnection,
  names: Names,
  info: StreamInfo,
  from = 1,
  patienceMs = REQUEST_MS,
): AsyncGenerator<StoredMessage[]> {
  const { last_seq: last, messages } = info.state;
  if (messages === 0 || from > last) return;
  const client = streamClient(connection, { timeoutMs: patienceMs });
  const consumer = await client.consumers.get(names.journalStream, {
    opt_start_seq: from,
  });
  try {
    let { num_pending: pending } = await consumer.info(true);
    while (pending > 0) {
      const batch = await consumer.fetch({
        max_messages: Math.min(MESSAGES_AT_ONCE, pending),
        expires: patienceMs,
      });
      let got = 0;
      let together: StoredMessage[] = [];
      let bytes = 0;
      for await (const message of batch) {
        got += 1;
        const { seq: sequence, subject, data, info } = message;
        ({ pending } = info);
        together.push({ sequence, subject, atMs: info.timestampNanos / 1e6, data });
        bytes += data.length;
        if (together.length < TOGETHER && bytes < TOGETHER_BYTES) continue;
        yield together;
        together = [];
        bytes = 0;
      }
      if (together.length > 0) yield together;
      // Messages that were pending can vanish while they are read; the caller notices which are missing.
      if (got === 0 && (await consumer.info()).num_pending === 0) return;
      if (got === 0)
        throw new FleetError('unavailable', `the broker sends nothing of the journal's ${pending} messages`);
    }
  } finally {
    // An ordered consumer would stay at the broker until it is noticed to be idle.
    await consumer.delete().catch(() => false);
  }
}

/** The cuts that count, for a report. */
export async function journalCuts(connection: NatsConnection, names: Names): Promise<Cut[]> {
  const info = await journalInfo(connection, names);
  return info === undefined ? [] : cutsOf(connection, names, info);
}
