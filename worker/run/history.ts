// The records of a run that people read later: step points, of which rank 0 publishes each once, and log
// lines. Decides what a record contains and where it goes. No step waits for one.

import type { Clock } from '../../core/clock.ts';
import type { Logger } from '../../core/log.ts';
import { streamClient } from '../../core/net/jetstream.ts';
import type { NatsConnection } from '../../core/net/nats.ts';
import { lineRecord, pointRecord } from '../../core/net/record-batch.ts';
import type { Names } from '../../core/net/subjects.ts';
import { boundedText } from '../../core/text/wire-text.ts';
import type { StepPoint } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { createRecordQueue } from './record-queue.ts';

/** Token in the subject of lines that belong to no run. */
const NO_RUN = '-';
/** Bytes of the largest message that a broker takes which did not say its limit. */
const MESSAGE_BYTES = 2 ** 20;

export interface Records {
  /** Adds a point to a run's history; a step that is published again appears once all the same. */
  publishPoint(runId: string, point: StepPoint): void;
  publishLine(line: { readonly runId: string; readonly level: LogLevel; readonly text: string }): void;
  /**
   * Resolves with true when the broker has all records so far; with false after `graceMs` milliseconds or
   * when the signal is aborted.
   */
  flush(graceMs: number, signal?: AbortSignal): Promise<boolean>;
  close(): void;
}
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/**
 * Steps from one published point to the next: 1 in a short run, so many that a long one has about two
 * thousand points.
 */
export function historyStride(stepsTotal: number): number {
  return Math.max(1, Math.ceil(stepsTotal / 2000));
}

export function createRecords(options: {
  readonly connection: NatsConnection;
  readonly names: Names;
  readonly workerId: string;
  readonly clock: Clock;
  readonly log: Logger;
}): Records {
  const { connection, names, workerId, clock, log } = options;
  const client = streamClient(connection, { timeoutMs: 5000 });
  const queue = createRecordQueue({
    publish: (subject, message, messageId) => client.publish(subject, message, { msgID: messageId }),
    isClosed: () => connection.isClosed(),
    messageBytesMax: () => connection.info?.max_payload ?? MESSAGE_BYTES,
    clock,
    log,
  });
  let lineNumber = 0;
  const startedAt = clock.now();

  return {
    publishPoint: (runId, point) => queue.add(names.historySubject(runId), pointRecord(point)),
    publishLine({ runId, level, text }) {
      const line = { atMs: clock.now(), workerId, runId, level, text: boundedText(text), sequence: 0 };
      lineNumber += 1;
      const subject = names.logSubject(runId === '' ? NO_RUN : runId, workerId);
      queue.add(subject, lineRecord(`${startedAt}/${lineNumber}`, line));
    },
    flush: queue.flush,
    close: queue.close,
  };
}
