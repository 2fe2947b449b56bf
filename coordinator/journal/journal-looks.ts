// Single looks at the journal's stream beside its reading: where it ends, whether it is there, one message of it.

import type { Clock } from '../../core/clock.ts';
import { toFleetError } from '../../core/errors.ts';
import { type StreamInfo, streamManager } from '../../core/net/jetstream.ts';
import type { NatsConnection } from '../../core/net/nats.ts';
import type { Names } from '../../core/net/subjects.ts';
import { ASK_AGAIN, retrying } from '../../core/retry.ts';
import { journalInfo, LOOK_MS, type StoredMessage } from './journal-reader.ts';

/** Looks at one journal. */
export interface JournalLooks {
  /** The stream as the broker describes it; undefined when there is none. */
  look(): Promise<StreamInfo | undefined>;
  /** A message as it is; undefined when it is not there. */
  messageAt(sequence: number): Promise<StoredMessage | undefined>;
  /** The broker answers that the journal ends with this sequence. */
  endsAt(sequence: number): Promise<boolean>;
  /** The broker answers that there is no stream. */
  isGone(): Promise<boolean>;
  /** Asks until the broker answers, also one that went away in between. Rejects when the connection is closed. */
  surely<T>(ask: () => Promise<T>): Promise<T>;
}

/** How long the broker may take for one message, milliseconds. */
const MESSAGE_MS = 2_000;

/** `signal` ends what is asked again and again. */
export function createJournalLooks(options: {
  readonly connection: NatsConnection;
  readonly names: Names;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}): JournalLooks {
  const { connection, names, clock, signal } = options;
  const look = () => journalInfo(connection, names, LOOK_MS);
  return {
    look,
    async messageAt(seq) {
      try {
        const manager = await streamManager(connection, { timeoutMs: MESSAGE_MS });
        const stored = await manager.streams.getMessage(names.journalStream, { seq });
        if (stored === null) return undefined;
        return { sequence: seq, subject: stored.subject, atMs: stored.time.getTime(), data: stored.data };
      } catch (caught) {
        if (toFleetError(caught).code === 'notFound') return undefined;
        throw caught;
      }
    },
    endsAt: (sequence) =>
      look().then(
        (info) => info?.state.last_seq === sequence,
        () => false,
      ),
    isGone: () =>
      look().then(
        (info) => info === undefined,
        () => false,
      ),
    surely: (ask) =>
      retrying(ask, {
        backoff: ASK_AGAIN,
        clock,
        signal,
        finalError: (caught) =>
          connection.isClosed() ? toFleetError(caught, 'reading the journal') : undefined,
      }),
  };
}
