// Which names a fleet has on its broker. Decides that a journal which was begun before names carried the
// fleet's name is continued under the names that it has, by the first fleet that starts beside it, and that
// every other fleet has names of its own, with the uid of its journal.

import { type Clock, systemClock } from '../../core/clock.ts';
import { toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import {
  isRefusal,
  isStreamMissing,
  type JetStreamManager,
  openBucket,
  streamManager,
} from '../../core/net/jetstream.ts';
import { ensureStreams, type NatsConnection } from '../../core/net/nats.ts';
import { type Names, namesOf, PREFIXES_OF_OLD, prefixesOf } from '../../core/net/subjects.ts';
import { CONNECT, retrying } from '../../core/retry.ts';
import { completeImport } from './journal-import.ts';
import { createJournalMemory, newJournalUid } from './journal-memory.ts';
import { decodeGroup, isForeign } from './message.ts';

/** How long the broker may take until it can be looked at, milliseconds. */
const WAIT_MS = 15_000;
/** Names without a uid: no stream, bucket or subject of a stream depends on it. */
const withoutUid = (fleet: string): Names => namesOf(prefixesOf(fleet, '0'));

/**
 * The names of the fleet with this name, found on the broker or made. Rejects with `unavailable` when the
 * broker cannot be looked at, `resourceExhausted` when a new fleet finds no room.
 */
export function findNames(options: {
  readonly connection: NatsConnection;
  readonly fleet: string;
  readonly clock?: Clock;
  readonly log?: Pick<Logger, 'warn'>;
}): Promise<Names> {
  const { connection, fleet, log } = options;
  return retrying(() => look(connection, fleet, log), {
    backoff: CONNECT,
    clock: options.clock ?? systemClock,
    withinMs: WAIT_MS,
    finalError: (caught, isLate) => {
      const error = toFleetError(caught, `looking for fleet ${fleet} on the broker`);
      return isLate || !error.retryable || connection.isClosed() ? error : undefined;
    },
  });
}

async function look(
  connection: NatsConnection,
  fleet: string,
  log: Pick<Logger, 'warn'> | undefined,
): Promise<Names> {
  const manager = await streamManager(connection);
  const own = withoutUid(fleet);
  if (await anyThere(manager, own)) return ownNames(connection, fleet, log);
  const old = namesOf(PREFIXES_OF_OLD);
  if ((await anyThere(manager, old)) && (await adopter(connection, fleet)) === fleet) {
    await completeImport(connection, { names: old, fleet }, log);
    return old;
  }
  return ownNames(connection, fleet, log);
}

/** A fleet with these names was here. */
async function anyThere(manager: JetStreamManager, names: Names): Promise<boolean> {
  return (await isThere(manager, bucketStream(names))) || isThere(manager, names.journalStream);
}

const bucketStream = (names: Names): string => `KV_${names.fleetBucket}`;

async function isThere(manager: JetStreamManager, stream: string): Promise<boolean> {
  try {
    await manager.streams.info(stream);
    return true;
  } catch (caught) {
    if (isStreamMissing(caught)) return false;
    throw caught;
  }
}

async function ownNames(
  connection: NatsConnection,
  fleet: string,
  log: Pick<Logger, 'warn'> | undefined,
): Promise<Names> {
  const own = withoutUid(fleet);
  // Once the bucket is there nothing has to be created, so that a full store keeps no fleet from its start.
  if (!(await isThere(await streamManager(connection), bucketStream(own))))
    await ensureStreams(connection, own, { journal: false, waitMs: WAIT_MS });
  await completeImport(connection, { names: own, fleet }, log);
  const uid = await createJournalMemory(connection, own).uid(
    async () => (await uidInJournal(connection, own)) ?? newJournalUid(),
  );
  return namesOf(prefixesOf(fleet, uid));
}

/** The uid that the journal itself names; undefined when there is none, or it is damaged at its beginning. */
async function uidInJournal(connection: NatsConnection, names: Names): Promise<string | undefined> {
  const manager = await streamManager(connection);
  if (!(await isThere(manager, names.journalStream))) return undefined;
  try {
    const first = await manager.streams.getMessage(names.journalStream, { seq: 1 });
    const group = first === null ? undefined : decodeGroup(first.data);
    return group === undefined || isForeign(group) ? undefined : group.journal;
  } catch (caught) {
    if (toFleetError(caught).code === 'notFound') return undefined;
    throw caught;
  }
}

/** The key in the bucket of old under which the name of the fleet stands that continues that journal. */
const ADOPTER_KEY = 'fleet';

/** The fleet that continues the journal of old: the one that is noted, else this one, which is noted then. */
async function adopter(connection: NatsConnection, fleet: string): Promise<string> {
  const old = namesOf(PREFIXES_OF_OLD);
  try {
    await ensureStreams(connection, old, { journal: false, waitMs: WAIT_MS });
    const bucket = await openBucket(connection, old.fleetBucket, { direct: false });
    try {
      await bucket.create(ADOPTER_KEY, fleet);
    } catch (caught) {
      if (!isRefusal(caught)) throw caught;
      // It is noted already, by this fleet or by another one.
      return (await bucket.get(ADOPTER_KEY))?.string() ?? fleet;
    }
  } catch (caught) {
    // A full store takes no note. The next start makes it.
    const { code } = toFleetError(caught);
    if (code !== 'resourceExhausted') throw caught;
  }
  return fleet;
}
