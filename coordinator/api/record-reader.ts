// Reads the step points and log lines that workers left in JetStream, batch by batch. Decides their order, that
// each step appears once, and where a reader of lines goes on.

import type { Logger } from '../../core/log.ts';
import { deliverFrom, streamClient } from '../../core/net/jetstream.ts';
import type { NatsConnection } from '../../core/net/nats.ts';
import { linePosition, linesIn, pointsIn, sequenceAfter } from '../../core/net/record-batch.ts';
import type { Names } from '../../core/net/subjects.ts';
import type { LogLine, StepPoint } from '../../proto/gen/pocketfleet/v1/fleet.ts';

export interface RecordReader {
  /** The step points of a run in step order, each step once. */
  history(runId: string): Promise<StepPoint[]>;
  logs(options: {
    runId: string;
    workerId: string;
    follow: boolean;
    /** Only lines after this position; 0: all. */
    afterSequence: number;
    signal: AbortSignal;
  }): AsyncGenerator<LogLine>;
}

/** Messages of 256 KiB at most are fetched so many at once. */
const FETCHED_TOGETHER = 64;

export function createRecordReader(options: {
  connection: NatsConnection;
  names: Names;
  log: Logger;
}): RecordReader {
  const { connection, names, log } = options;
  return {
    async history(runId) {
      const points = new Map<number, StepPoint>();
      const source = { stream: names.historyStream, subject: names.historySubject(runId), follow: false };
      for await (const stored of messages(connection, source)) {
        const found = decoded(pointsIn, stored);
        if (typeof found === 'string') log.warn({ run: runId }, `${found}; it is passed over`);
        else for (const point of found) points.set(point.step, point);
      }
      return [...points.values()].sort((a, b) => a.step - b.step);
    },
    async *logs({ runId, workerId, follow, afterSequence, signal }) {
      const subject = names.logSubject(runId === '' ? '*' : runId, workerId === '' ? '*' : workerId);
      const fromSequence = sequenceAfter(afterSequence);
      for await (const stored of messages(connection, {
        stream: names.logStream,
        subject,
        follow,
        fromSequence,
        signal,
      })) {
        const { atMs } = stored;
        const found = decoded(linesIn, stored);
        const lines =
          typeof found === 'string' ? [{ atMs, workerId, runId, level: 'warn', text: found }] : found;
        for (const [place, line] of lines.entries()) {
          const sequence = linePosition(stored.sequence, place);
          if (sequence > afterSequence) yield { ...line, sequence };
        }
      }
    },
  };
}

interface Stored {
  readonly stream: string;
  readonly sequence: number;
  readonly atMs: number;
  readonly data: Uint8Array;
}

/**
 * The message, or a sentence where the bytes are none: nothing depends on such a record, so that it must not
 * stop a reader.
 */
function decoded<T>(decode: (bytes: Uint8Array) => T, stored: Stored): T | string {
  try {
    return decode(stored.data);
  } catch {
    return `message ${stored.sequence} of ${stored.stream} is not ours: ${stored.data.length} bytes that cannot be read`;
  }
}

/** What a subject holds from the first to the newest message, and with `follow` what comes after. */
async function* messages(
  connection: NatsConnection,
  source: { stream: string; subject: string; follow: boolean; fromSequence?: number; signal?: AbortSignal },
): AsyncGenerator<Stored> {
  const { stream, subject, follow, fromSequence = 0, signal } = source;
  const consumer = await streamClient(connection).consumers.get(stream, {
    filter_subjects: subject,
    ...(fromSequence > 0 ? deliverFrom(fromSequence) : {}),
  });
  const stop = () => incoming?.stop();
  let incoming: Awaited<ReturnType<typeof consumer.consume>> | undefined;
  try {
    const { num_pending: pending } = await consumer.info();
    if (pending === 0 && !follow) return;
    incoming = await consumer.consume({ max_messages: FETCHED_TOGETHER });
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted) return;
    for await (const message of incoming) {
      const { seq: sequence, data } = message;
      yield { stream, sequence, atMs: message.info.timestampNanos / 1e6, data };
      if (!follow && message.info.pending === 0) return;
    }
  } finally {
    signal?.removeEventListener('abort', stop);
    incoming?.stop();
    // An ordered consumer would stay at the broker until it is noticed to be idle.
    await consumer.delete().catch(() => false);
  }
}
