// Reads the journal's stream and checks every message: each sequence from 1 must be there and be a group of
// ours, unless a mark of `journal truncate` took it out. Decides what damage is, and the sentence about it; a
// reader gets everything up to the damage first.

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
import type { Event } from '../model/events.ts';
import { type Group, parseGroup } from './event-schema.ts';

/** The messages after `after` and before `mark` count no more; the mark itself is a group. */
export interface Cut {
  readonly after: number;
  readonly mark: number;
}

/** A group that counts, and where it stands. */
export interface ReadGroup {
  readonly sequence: number;
  readonly events: readonly Event[];
}

/**
 * The error of a journal that cannot be read up to its end; `after`: the sequence up to which it can be kept.
 */
export function damageAt(stream: string, sequence: number, what: string, after = sequence - 1): FleetError {
  return new FleetError(
    'dataLoss',
    `the journal is damaged at sequence ${sequence}: ${what}; no decision is made until it is repaired: restore stream ${stream} from a backup, or cut it off with \`pocketfleet journal truncate --after ${after}\`, which keeps a copy`,
    { details: { sequence, after } },
  );
}

/** The journal's stream as the broker describes it; undefined when there is none. */
export async function journalInfo(connection: NatsConnection, names: Names): Promise<StreamInfo | undefined> {
  const manager = await streamManager(connection, { timeoutMs: REQUEST_MS });
  try {
    return await manager.streams.info(names.journalStream, { subjects_filter: names.journalMarkSubject });
  } catch (caught) {
    if (isStreamMissing(caught)) return undefined;
    throw toFleetError(caught, 'looking at the journal');
  }
}

const REQUEST_MS = 5_000;
const MESSAGES_AT_ONCE = 500;

/**
 * Groups from sequence `from` to the one that is the last when asked; throws `damageAt` for what is missing or
 * not ours.
 */
export async function* readGroups(
  connection: NatsConnection,
  names: Names,
  from = 1,
): AsyncGenerator<ReadGroup> {
  const { journalStream: stream } = names;
  const info = await journalInfo(connection, names);
  if (info === undefined || info.state.last_seq === 0) return;
  const last = info.state.last_seq;
  const cuts = await cutsOf(connection, names, info);
  let expected = from;
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
  for await (const message of storedMessages(connection, names, info, from)) {
    if (message.sequence > last) return;
    advance(message.sequence);
    expected = message.sequence + 1;
    if (isCut(cuts, message.sequence)) continue;
    const group = groupOf(message, names);
    if (typeof group === 'string') throw damageAt(stream, message.sequence, `the message ${group}`);
    yield { sequence: message.sequence, events: group.events };
  }
  advance(last + 1);
}

const isCut = (cuts: readonly Cut[], sequence: number): boolean =>
  cuts.some(({ after, mark }) => after < sequence && sequence < mark);

function missing(stream: string, from: number, to: number, last: number): FleetError {
  const which = from === to ? `message ${from} is` : `messages ${from} to ${to} are`;
  const all = from === 1 && to === last ? ' (the stream was purged, or its files are lost)' : '';
  return damageAt(stream, from, `${which} missing${all}`);
}

/**
 * The group of a message. A mark is published on a subject of its own, and both must agree that it is one.
 */
function groupOf(message: StoredMessage, names: Names): Group | string {
  const group = parseGroup(message.data);
  if (typeof group === 'string') return group;
  const marks = group.events.filter((event) => event.kind === 'journal.truncated').length;
  return marks === (message.subject === names.journalMarkSubject ? 1 : 0)
    ? group
    : 'has its mark in a wrong place';
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
    const group = parseGroup(stored.data);
    const event = typeof group === 'string' ? undefined : group.events[0];
    if (event?.kind === 'journal.truncated') cuts.push({ after: event.after, mark: stored.seq });
    seq = stored.seq + 1;
  }
  return cuts.filter(({ mark }) => !cuts.some((later) => later.after < mark && mark < later.mark));
}

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
  connection: NatsConnection,
  names: Names,
  info: StreamInfo,
  from = 1,
): AsyncGenerator<StoredMessage> {
  const { last_seq: last, messages } = info.state;
  if (messages === 0 || from > last) return;
  const consumer = await streamClient(connection).consumers.get(names.journalStream, {
    opt_start_seq: from,
  });
  try {
    let { num_pending: pending } = await consumer.info(true);
    while (pending > 0) {
      const batch = await consumer.fetch({
        max_messages: Math.min(MESSAGES_AT_ONCE, pending),
        expires: REQUEST_MS,
      });
      let got = 0;
      for await (const message of batch) {
        got += 1;
        pending = message.info.pending;
        const { seq: sequence, subject, data } = message;
        yield { sequence, subject, atMs: message.info.timestampNanos / 1e6, data };
      }
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
