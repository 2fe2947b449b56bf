// What is remembered beside the journal, in a bucket of its own: how far it reached when a coordinator last
// took the lead. Decides whether a stream that is absent, empty or shorter than that is a loss, so that a
// journal that has vanished is never taken for a new fleet. Checkpoints, history or log lines without any
// journal are a loss too.

import { z } from 'zod';
import { FleetError, toFleetError } from '../../core/errors.ts';
import { isRefusal, type JetStreamManager, openBucket, streamManager } from '../../core/net/jetstream.ts';
import type { NatsConnection } from '../../core/net/nats.ts';
import type { Names } from '../../core/net/subjects.ts';
import { randomHex } from '../../core/rng.ts';
import { damageAt, journalInfo } from './journal-reader.ts';

/** The length that the journal is known to have reached. */
export interface JournalMemory {
  /**
   * Throws `dataLoss` when a journal that reaches to `lastSequence` (undefined: no stream) has lost something.
   * `known` was recalled before anybody looked how far it reaches: another coordinator may take the lead, write
   * and remember at any time, so that what is recalled later proves nothing.
   */
  check(lastSequence: number | undefined, known: number): Promise<void>;
  /** Remembers that the journal reaches to this sequence. */
  remember(sequence: number): Promise<void>;
  /** Remembers another journal: where it ends, and its uid if it has one. */
  replace(sequence: number, uid: string | undefined): Promise<void>;
  /** The sequence that is remembered; 0 when none is. */
  recall(): Promise<number>;
  /** The uid of the journal, which is `made` and stored where none is remembered. */
  uid(made: () => Promise<string>): Promise<string>;
  /** Throws `failedPrecondition` when the fleet has another journal now than the one of these names. */
  checkUid(): Promise<void>;
}

const schema = z.looseObject({ sequence: z.int().min(0), uid: z.string().optional() });
type Memory = z.infer<typeof schema>;

/** Bytes of a journal's uid, which is random. */
const UID_BYTES = 8;
/** The uid of a journal that begins: random, because a number that counts would begin anew with the store. */
export const newJournalUid = (): string => randomHex(UID_BYTES);

/** Keeps it in the fleet's bucket, which must exist. */
export function createJournalMemory(connection: NatsConnection, names: Names): JournalMemory {
  const { journalStream: stream, journalKey: key } = names;
  const bucket = () => openBucket(connection, names.fleetBucket, { direct: false });

  async function read(): Promise<Memory | undefined> {
    const entry = await (await bucket()).get(key);
    if (entry === null || entry.operation !== 'PUT') return undefined;
    try {
      return schema.parse(entry.json());
    } catch {
      // Somebody has damaged the entry; that there is one shows that there was a journal.
      return { sequence: 1 };
    }
  }

  const recall = async (): Promise<number> => (await read())?.sequence ?? 0;

  return {
    recall,
    async uid(made) {
      const known = await read();
      if (known?.uid !== undefined) return known.uid;
      const memory: Memory = { sequence: known?.sequence ?? 0, uid: await made() };
      try {
        if (known === undefined) await (await bucket()).create(key, JSON.stringify(memory));
        else await (await bucket()).put(key, JSON.stringify(memory));
      } catch (caught) {
        // Another coordinator of this fleet has begun it at the same time.
        if (!isRefusal(caught)) throw caught;
      }
      const stored = (await read())?.uid;
      if (stored === undefined) throw damageAt(stream, 1, `the entry ${key} of ${names.fleetBucket} is lost`);
      return stored;
    },
    async checkUid() {
      const uid = (await read())?.uid;
      if (uid === undefined || names.journalUid === undefined || uid === names.journalUid) return;
      throw replacedError(names.journalUid, uid);
    },
    async check(lastSequence, known) {
      if (lastSequence !== undefined && lastSequence > 0) {
        if (lastSequence >= known) return;
        throw damageAt(
          stream,
          lastSequence + 1,
          `it ends at sequence ${lastSequence} and has reached ${known} before: an older copy was restored, or its end is lost`,
        );
      }
      const gone = lastSequence === undefined ? `stream ${stream} is gone` : 'its stream is empty';
      if (known > 0) throw damageAt(stream, 1, `${gone}, and it has reached sequence ${known} before`, 0);
      const left = await leftBehind(connection, names);
      // A fleet that has begun since the journal was looked at leaves such traces too.
      const hasBegun = ((await journalInfo(connection, names))?.state.last_seq ?? 0) > 0;
      if (left !== undefined && !hasBegun)
        throw damageAt(stream, 1, `${gone}, while ${left} of this fleet are there`, 0);
    },
    async replace(sequence, uid) {
      const memory: Memory = { sequence, ...(uid === undefined ? {} : { uid }) };
      await (await bucket()).put(key, JSON.stringify(memory));
    },
    async remember(sequence) {
      const { uid } = (await read()) ?? {};
      const memory: Memory = uid === undefined ? { sequence } : { sequence, uid };
      await (await bucket()).put(key, JSON.stringify(memory));
    },
  };
}

/** The error of a process whose journal was replaced by an import: all its names are those of the one before. */
export const replacedError = (before: string, now: string): FleetError =>
  new FleetError(
    'failedPrecondition',
    `journal ${before} was replaced by journal ${now}; this process ends, and a new one begins with that`,
  );

/** Streams that only a fleet with a past has filled, and what they hold in words. */
const traces = (names: Names): readonly (readonly [string, string])[] => [
  [names.manifestStream, 'manifests of checkpoints'],
  [names.historyStream, 'step points'],
  [names.logStream, 'log lines'],
];

/** What a fleet with a past has stored, in words; undefined for a new one. */
async function leftBehind(connection: NatsConnection, names: Names): Promise<string | undefined> {
  const manager = await streamManager(connection);
  for (const [stream, what] of traces(names))
    if ((await lastSequenceOf(manager, stream)) > 0) return `${what} (${stream})`;
  return undefined;
}

async function lastSequenceOf(manager: JetStreamManager, stream: string): Promise<number> {
  try {
    return (await manager.streams.info(stream)).state.last_seq;
  } catch (caught) {
    throw toFleetError(caught, `looking at stream ${stream}`);
  }
}
