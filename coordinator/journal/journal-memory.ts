// What is remembered beside the journal, in a bucket of its own: how far it reached when a coordinator last
// took the lead. Decides whether a stream that is absent, empty or shorter than that is a loss, so that a
// journal that has vanished is never taken for a new fleet. Checkpoints, history or log lines without any
// journal are a loss too.

import { z } from 'zod';
import { toFleetError } from '../../core/errors.ts';
import { type JetStreamManager, openBucket, streamManager } from '../../core/net/jetstream.ts';
import type { NatsConnection } from '../../core/net/nats.ts';
import {
  FLEET_BUCKET,
  HISTORY_STREAM,
  JOURNAL_KEY,
  JOURNAL_STREAM,
  LOG_STREAM,
  MANIFEST_STREAM,
} from '../../core/net/subjects.ts';
import { damageAt } from './journal-reader.ts';

/** The length that the journal is known to have reached. */
export interface JournalMemory {
  /**
   * Throws `dataLoss` when a journal that reaches to `lastSequence` (undefined: no stream) has lost
   * something.
   */
  check(lastSequence: number | undefined): Promise<void>;
  /** Remembers that the journal reaches to this sequence. */
  remember(sequence: number): Promise<void>;
  /** The sequence that is remembered; 0 when none is. */
  recall(): Promise<number>;
}

const schema = z.looseObject({ sequence: z.int().min(0) });

/** Keeps it in the fleet's bucket, which must exist. */
export function createJournalMemory(connection: NatsConnection): JournalMemory {
  const bucket = () => openBucket(connection, FLEET_BUCKET, { direct: false });

  async function recall(): Promise<number> {
    const entry = await (await bucket()).get(JOURNAL_KEY);
    if (entry === null || entry.operation !== 'PUT') return 0;
    try {
      return schema.parse(entry.json()).sequence;
    } catch {
      // Somebody has damaged the entry; that there is one shows that there was a journal.
      return 1;
    }
  }

  return {
    recall,
    async check(lastSequence) {
      const known = await recall();
      if (lastSequence !== undefined && lastSequence > 0) {
        if (lastSequence >= known) return;
        throw damageAt(
          lastSequence + 1,
          `it ends at sequence ${lastSequence} and has reached ${known} before: an older copy was restored, or its end is lost`,
        );
      }
      const gone = lastSequence === undefined ? `stream ${JOURNAL_STREAM} is gone` : 'its stream is empty';
      if (known > 0) throw damageAt(1, `${gone}, and it has reached sequence ${known} before`, 0);
      const left = await leftBehind(connection);
      if (left !== undefined) throw damageAt(1, `${gone}, while ${left} of this fleet are there`, 0);
    },
    async remember(sequence) {
      await (await bucket()).put(JOURNAL_KEY, JSON.stringify({ sequence }));
    },
  };
}

/** Streams that only a fleet with a past has filled, and what they hold in words. */
const TRACES: readonly (readonly [string, string])[] = [
  [MANIFEST_STREAM, 'manifests of checkpoints'],
  [HISTORY_STREAM, 'step points'],
  [LOG_STREAM, 'log lines'],
];

/** What a fleet with a past has stored, in words; undefined for a new one. */
async function leftBehind(connection: NatsConnection): Promise<string | undefined> {
  const manager = await streamManager(connection);
  for (const [stream, what] of TRACES)
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
