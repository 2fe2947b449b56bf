// The records of a run that people read later: step points, of which rank 0 publishes each once by its
// message id, and log lines. Decides what happens to them while the broker is away: they wait in a bounded
// buffer that drops the oldest, and no step waits for them.

import type { Clock } from '../../core/clock.ts';
import { toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { streamClient } from '../../core/net/jetstream.ts';
import type { NatsConnection } from '../../core/net/nats.ts';
import { historySubject, logSubject } from '../../core/net/subjects.ts';
import { ASK_AGAIN, retrying } from '../../core/retry.ts';
import { boundedText } from '../../core/text/wire-text.ts';
import { LogLine, StepPoint } from '../../proto/gen/pocketfleet/v1/fleet.ts';

/** So many records wait for the broker at most; a fast small run makes them in about ten minutes. */
const WAITING_MAX = 20_000;
/** Token in the subject of lines that belong to no run. */
const NO_RUN = '-';

export interface Records {
  /** Adds a point to a run's history; publishing it again changes nothing. */
  publishPoint(runId: string, point: StepPoint): void;
  publishLine(line: { readonly runId: string; readonly level: LogLevel; readonly text: string }): void;
  /** Resolves when the broker has all records so far, or after `graceMs` milliseconds. */
  flush(graceMs: number): Promise<void>;
  close(): void;
}
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

interface Record {
  readonly subject: string;
  readonly bytes: Uint8Array;
  readonly messageId: string;
}

/**
 * Steps from one published point to the next: 1 in a short run, so many that a long one has about two
 * thousand points.
 */
export function historyStride(stepsTotal: number): number {
  return Math.max(1, Math.ceil(stepsTotal / 2000));
}

export function createRecords(options: {
  readonly connection: NatsConnection;
  readonly workerId: string;
  readonly clock: Clock;
  readonly log: Logger;
}): Records {
  const { connection, clock, log } = options;
  const client = streamClient(connection, { timeoutMs: 5000 });
  const stopping = new AbortController();
  const waiting: Record[] = [];
  let sending: Promise<void> | undefined;
  let lineNumber = 0;
  const startedAt = clock.now();

  const sendWaiting = async () => {
    while (waiting.length > 0 && !stopping.signal.aborted) {
      const record = waiting[0]!;
      await client.publish(record.subject, record.bytes, { msgID: record.messageId });
      // While it was under way, a full buffer may have dropped it.
      if (waiting[0] === record) waiting.shift();
    }
  };
  const sendAll = () =>
    retrying(sendWaiting, {
      backoff: ASK_AGAIN,
      clock,
      signal: stopping.signal,
      finalError: (caught) =>
        stopping.signal.aborted || connection.isClosed() ? toFleetError(caught) : undefined,
      onFailure: (caught) =>
        log.debug(
          { code: toFleetError(caught).code, waiting: waiting.length },
          'history waits for the broker',
        ),
    }).catch(() => undefined);
  const add = (record: Record) => {
    waiting.push(record);
    if (waiting.length > WAITING_MAX) waiting.shift();
    sending ??= sendAll().finally(() => {
      sending = undefined;
    });
  };

  return {
    publishPoint(runId, point) {
      const bytes = StepPoint.encode(point).finish();
      add({ subject: historySubject(runId), bytes, messageId: `${runId}/${point.step}` });
    },
    publishLine({ runId, level, text }) {
      const { workerId } = options;
      const bytes = LogLine.encode({
        atMs: clock.now(),
        workerId,
        runId,
        level,
        text: boundedText(text),
        sequence: 0,
      }).finish();
      lineNumber += 1;
      add({
        subject: logSubject(runId === '' ? NO_RUN : runId, workerId),
        bytes,
        messageId: `${workerId}/${startedAt}/${lineNumber}`,
      });
    },
    async flush(graceMs) {
      const until = clock.monotonic() + graceMs;
      while (sending && clock.monotonic() < until)
        await Promise.race([sending, clock.sleep(Math.max(1, until - clock.monotonic()))]);
    },
    close: () => stopping.abort(),
  };
}
