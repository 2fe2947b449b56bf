// Publishes what later readers want to see of a run: step points (rank 0, each step once by message id) and log lines. Both
// are records beside the work: a broker that is away delays them, a bounded buffer drops the oldest, and no step waits.

import type { Clock } from '../../core/clock.ts';
import { toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { streamClient } from '../../core/net/jetstream.ts';
import type { NatsConnection } from '../../core/net/nats.ts';
import { historySubject, logSubject } from '../../core/net/subjects.ts';
import { ASK_AGAIN, retrying } from '../../core/retry.ts';
import { boundedText } from '../../core/text/wire-text.ts';
import { LogLine, StepPoint } from '../../proto/gen/pocketfleet/v1/fleet.ts';

/** Records that wait for the broker at most; about ten minutes of a fast small run. */
const WAITING_MAX = 20_000;
/** Subject token of lines that belong to no run. */
const NO_RUN = '-';

export interface Records {
  /** A point of a run's history; publishing one again changes nothing. */
  step(runId: string, point: StepPoint): void;
  line(line: { readonly runId: string; readonly level: LogLevel; readonly text: string }): void;
  /** Resolves when everything so far is with the broker, or after `graceMs`. */
  flush(graceMs: number): Promise<void>;
  close(): void;
}
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

interface Record {
  readonly subject: string;
  readonly bytes: Uint8Array;
  readonly messageId: string;
}

/** Steps between two points: all of a short run, about two thousand of a long one. */
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
    step(runId, point) {
      const bytes = StepPoint.encode(point).finish();
      add({ subject: historySubject(runId), bytes, messageId: `${runId}/${point.step}` });
    },
    line({ runId, level, text }) {
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
