// A journal that comes from a file: behind `pocketfleet journal import`. Decides that it takes the place of one
// in which nobody has asked for anything yet, and of no other.
//
// What comes is gathered in a stream of its own and checked there like any journal. Then a note is made in the
// fleet's bucket, and the coordinator ends: while one runs its journal cannot be exchanged beneath it. The next
// start copies the messages and removes note and stream; one that is interrupted begins again.

import { every, systemClock } from '../../core/clock.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { isStreamMissing, openBucket, streamClient, streamManager } from '../../core/net/jetstream.ts';
import { ensureJournal, type NatsConnection } from '../../core/net/nats.ts';
import type { Names } from '../../core/net/subjects.ts';
import { randomId } from '../../core/rng.ts';
import type { Caller } from '../model/caller.ts';
import type { Event } from '../model/events.ts';
import { initialState } from '../model/state.ts';
import { BEGINNING, type Place } from './chain.ts';
import { createJournalMemory } from './journal-memory.ts';
import {
  type Identity,
  journalInfo,
  readGroups,
  type StoredMessage,
  storedMessages,
  truncationIn,
} from './journal-reader.ts';
import { idsEverUsed, markAfter } from './journal-repair.ts';
import { LEASE_RENEW_MS, leaseKeyOf, openLease } from './lease.ts';
import { decodeGroup, isForeign } from './message.ts';
import { foldedAt } from './opening.ts';

/** A message of the file. */
export interface ImportedMessage {
  readonly sequence: number;
  readonly data: Uint8Array;
}

/** The error of a process that may not go on with the journal that it has read. */
export const importedError = (): FleetError =>
  new FleetError('failedPrecondition', 'a journal was imported; the next start begins with it');

/** The error of a call that comes behind the note. */
const importingError = (): FleetError =>
  new FleetError('unavailable', 'a journal is imported; ask again once the coordinator has started with it');

/** What was gathered and is whole. */
export interface Gathered {
  readonly lastSequence: number;
  /** Uid of the journal; empty when it is all of format 1. */
  readonly journal: string;
}

/** Gathering a journal. */
export interface JournalImport {
  /**
   * Takes the messages after sequence `after`, 0 to begin. `failedPrecondition`: the fleet's journal is in use;
   * `aborted`: what was gathered ends elsewhere.
   */
  take(after: number, messages: readonly ImportedMessage[]): Promise<void>;
  /**
   * Checks what was gathered and notes it, and whose call it was, for the next start; `invalidArgument` names
   * what is wrong with it.
   */
  finish(by?: Caller): Promise<Gathered>;
}

/** Where what was gathered ends. Throws `invalidArgument` that names the message which belongs to no journal. */
async function checked(connection: NatsConnection, gathering: Identity): Promise<Place> {
  const { importStream: stream } = gathering.names;
  let place: Place = BEGINNING;
  let state = initialState;
  try {
    for await (const group of readGroups(connection, gathering, BEGINNING)) {
      for (const event of group.events) state = foldedAt({ stream, sequence: group.sequence }, state, event);
      place = group.place;
    }
  } catch (caught) {
    const { code, message, details } = toFleetError(caught);
    if (code !== 'dataLoss') throw caught;
    const { sequence, what = message } = details;
    throw new FleetError(
      'invalidArgument',
      `the file is no journal that can be taken: at message ${sequence} ${what}`,
      { cause: caught },
    );
  }
  return place;
}

/** The note in the fleet's bucket: the sequence at which the gathered journal ends, and whose call it was. */
const NOTE_KEY = 'import';

/**
 * Gathers in the stream that `names` give for it. `holdCalls` lets nobody ask for anything until the returned function
 * is called: what were taken behind the note would be lost, or the import dropped.
 */
export function createJournalImport(
  connection: NatsConnection,
  identity: Identity,
  holdCalls: (error: FleetError) => Promise<() => void>,
): JournalImport {
  const { names } = identity;
  const gathering: Identity = { ...identity, names: gatheringNames(names) };
  return {
    async take(after, messages) {
      if (after === 0) {
        await assertUntouched(connection, identity);
        await removeStream(connection, names.importStream);
        await ensureJournal(connection, gathering.names);
      }
      await publish(connection, gathering.names, after, messages);
    },
    async finish(by) {
      await assertUntouched(connection, identity);
      const place = await checked(connection, gathering);
      if (place.sequence === 0)
        throw new FleetError('invalidArgument', 'the file has no message of a journal');
      const bucket = await openBucket(connection, names.fleetBucket);
      const release = await holdCalls(importingError());
      try {
        // Somebody may have asked for something while the file was checked, or asks another coordinator.
        await assertUntouched(connection, identity);
        await bucket.put(NOTE_KEY, JSON.stringify({ sequence: place.sequence, by }));
        await assertUntouched(connection, identity);
      } catch (caught) {
        await bucket.delete(NOTE_KEY).finally(release);
        throw caught;
      }
      return { lastSequence: place.sequence, journal: place.journal ?? '' };
    },
  };
}

/** Whether a journal was gathered and noted that takes the fleet's place at the next start. */
export async function importWaits(connection: NatsConnection, { fleetBucket }: Names): Promise<boolean> {
  return (await noteIn(connection, fleetBucket)) !== undefined;
}

async function noteIn(connection: NatsConnection, fleetBucket: string): Promise<string | undefined> {
  const bucket = await openBucket(connection, fleetBucket, { direct: false });
  const note = await bucket.get(NOTE_KEY);
  return note === null || note.operation !== 'PUT' ? undefined : note.string();
}

/** Between two looks at whether somebody else completes it, milliseconds. */
const LOOK_AGAIN_MS = 200;

/**
 * Puts a journal that was gathered and noted in its place; nothing happens where there is none. One coordinator does
 * it, with the lease of the lead, so that none leads meanwhile; others wait until it is done.
 */
export async function completeImport(
  connection: NatsConnection,
  identity: Identity,
  log?: Pick<Logger, 'warn'>,
): Promise<void> {
  const { fleetBucket } = identity.names;
  if (!(await importWaits(connection, identity.names))) return;
  const lease = openLease({
    key: leaseKeyOf(connection, fleetBucket),
    address: Promise.resolve(`import-${randomId()}`),
    version: '',
    clock: systemClock,
  });
  const hold = () => lease.hold(0);
  while ((await hold()).kind === 'other') {
    await systemClock.sleep(LOOK_AGAIN_MS);
    if (!(await importWaits(connection, identity.names))) return;
  }
  const stopRenewing = every(LEASE_RENEW_MS, () => void hold().catch(() => undefined));
  try {
    // Whoever had the lease before may have completed it.
    const note = await noteIn(connection, fleetBucket);
    if (note !== undefined) await putInPlace(connection, identity, note, log);
  } finally {
    stopRenewing();
    await lease.release();
  }
}

async function putInPlace(
  connection: NatsConnection,
  identity: Identity,
  note: string,
  log: Pick<Logger, 'warn'> | undefined,
): Promise<void> {
  const { names } = identity;
  const bucket = await openBucket(connection, names.fleetBucket, { direct: false });
  const gathered = gatheringNames(names);
  const info = await journalInfo(connection, gathered);
  const obstacle = info === undefined ? 'its messages are gone' : await obstacleTo(connection, identity);
  if (info === undefined || obstacle !== undefined)
    log?.warn(
      { fleet: identity.fleet },
      `the journal that was imported is dropped: ${obstacle}; import it again into a fleet to which nothing was submitted yet`,
    );
  else {
    // The store may hold runs that are newer than the file: their ids are not given to others.
    const ids = await idsEverUsed(connection, names);
    await removeStream(connection, names.journalStream);
    await ensureJournal(connection, names);
    let place: Place = BEGINNING;
    const all = readGroups(connection, { ...identity, names: gathered }, BEGINNING);
    for await (const group of all) place = group.place;
    let batch: StoredMessage[] = [];
    let after = 0;
    for await (const message of storedMessages(connection, gathered, info)) {
      batch.push(message);
      if (batch.length < COPIED_TOGETHER) continue;
      after = await publish(connection, names, after, batch);
      batch = [];
    }
    await publish(connection, names, after, batch);
    const last = place.sequence;
    const cut = {
      kind: 'journal.truncated',
      atMs: systemClock.now(),
      after: last,
      ids,
      reason: 'import',
      ...callerIn(note),
    } as const;
    const data = markAfter(place, { fleet: identity.fleet, version: place.version, cut });
    await publish(connection, names, last, [{ sequence: last + 1, data }]);
    const group = decodeGroup(data);
    const journal = isForeign(group) ? place.journal : group.journal;
    await createJournalMemory(connection, names).replace(last + 1, journal);
  }
  await bucket.delete(NOTE_KEY);
  await removeStream(connection, names.importStream);
}

/** Whose call gathered the journal; a release before has written the sequence alone. */
function callerIn(note: string): { readonly by?: Caller } {
  const { by } = JSON.parse(note) as { readonly by?: Caller };
  return by === undefined ? {} : { by };
}

const COPIED_TOGETHER = 200;

/** The names under which a journal is gathered: those of the fleet, with another stream for its journal. */
const gatheringNames = (names: Names): Names => ({
  ...names,
  journalStream: names.importStream,
  journalSubject: names.importSubject,
  journalMarkSubject: `${names.importSubject}.truncated`,
  // It may be any journal of the fleet.
  journalUid: undefined,
});

/** Stores messages one behind the other; resolves with the sequence of the last. */
async function publish(
  connection: NatsConnection,
  names: Names,
  after: number,
  messages: readonly ImportedMessage[],
): Promise<number> {
  const client = streamClient(connection);
  let last = after;
  for (const { sequence, data } of messages) {
    if (sequence !== last + 1)
      throw new FleetError(
        'invalidArgument',
        `message ${sequence} follows message ${last} in the file: a journal with gaps cannot be taken`,
      );
    const subject = truncationIn(data) === undefined ? names.journalSubject : names.journalMarkSubject;
    const { seq } = await client.publish(subject, data, { expect: { lastSequence: last } });
    last = seq;
  }
  return last;
}

async function removeStream(connection: NatsConnection, name: string): Promise<void> {
  try {
    await (await streamManager(connection)).streams.delete(name);
  } catch (caught) {
    if (!isStreamMissing(caught)) throw caught;
  }
}

/** Throws unless nobody has asked for anything in the fleet's journal. */
async function assertUntouched(connection: NatsConnection, identity: Identity): Promise<void> {
  const touched = await firstAsked(connection, identity);
  if (touched !== undefined)
    throw new FleetError(
      'failedPrecondition',
      `the journal of fleet ${identity.fleet} is in use (${touched}): a journal is taken by a fleet to which nothing was submitted yet`,
    );
}

/** What the journal holds that somebody has asked for, in words; undefined when that is nothing. */
async function firstAsked(connection: NatsConnection, identity: Identity): Promise<string | undefined> {
  const info = await journalInfo(connection, identity.names);
  if (info === undefined || info.state.messages === 0) return undefined;
  try {
    for await (const { sequence, events } of readGroups(connection, identity, BEGINNING)) {
      const asked = events.find(isAsked);
      if (asked !== undefined) return `${asked.kind} at sequence ${sequence}`;
    }
    return undefined;
  } catch (caught) {
    if (!(caught instanceof FleetError) || caught.code !== 'dataLoss') throw caught;
    return 'and damaged, so that nobody knows what it holds';
  }
}

/** Events of coordinators and workers come by themselves; specs and tokens alone ask for nothing. */
const isAsked = ({ kind }: Event): boolean =>
  !/^(coordinator|journal|worker|spec|input|token|calls)\./.test(kind);

/**
 * Why the gathered journal cannot take the place of this one, in words; undefined where this one is untouched, or is
 * what an interrupted copy has left of the gathered one.
 */
async function obstacleTo(connection: NatsConnection, identity: Identity): Promise<string | undefined> {
  const manager = await streamManager(connection);
  const first = async (stream: string) => {
    const found = await manager.streams.getMessage(stream, { seq: 1 }).catch(() => undefined);
    return found?.data;
  };
  const [now, gathered] = await Promise.all([
    first(identity.names.journalStream),
    first(identity.names.importStream),
  ]);
  if (gathered === undefined) return 'its messages are gone';
  if (now === undefined || Buffer.from(gathered).equals(now)) return undefined;
  const asked = await firstAsked(connection, identity);
  return asked && `the journal of fleet ${identity.fleet} came into use meanwhile (${asked})`;
}
