// The way of records from a worker to the broker: they are gathered into batches, one message a subject, and
// sent one after the other. Decides when a batch is closed, what is sent again, and what happens while the
// broker is away: batches wait in a bounded buffer that drops the oldest.

import type { Clock } from '../../core/clock.ts';
import { toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { BATCH_RECORDS_MAX, batchId, encodeBatch, type StoredRecord } from '../../core/net/record-batch.ts';
import { ASK_AGAIN, retrying } from '../../core/retry.ts';

/** The oldest record of a batch waits so long for others, milliseconds. Who follows a log waits for it too. */
const BATCH_MS = 200;
/** A batch that has so many bytes is closed at once; the broker takes messages of 1 MiB by default. */
const BATCH_BYTES_MAX = 256 * 1024;
/** Bytes that wait for the broker at most: some 200,000 points. */
export const WAITING_BYTES_MAX = 32 * 2 ** 20;

export interface RecordQueue {
  add(subject: string, record: StoredRecord): void;
  /**
   * Closes every batch and resolves with true when the broker has all records so far; with false after
   * `graceMs` milliseconds or when the signal is aborted.
   */
  flush(graceMs: number, signal?: AbortSignal): Promise<boolean>;
  close(): void;
}

interface Batch {
  readonly subject: string;
  readonly records: StoredRecord[];
  bytes: number;
}

/** `publish` resolves when the broker has the message on disk; the message id makes a repetition harmless. */
export function createRecordQueue(options: {
  readonly publish: (subject: string, message: Uint8Array, messageId: string) => Promise<unknown>;
  /** Whether no attempt can succeed any more. */
  readonly isClosed: () => boolean;
  /** Bytes of the largest message that the broker takes. */
  readonly messageBytesMax: () => number;
  readonly clock: Clock;
  readonly log: Logger;
}): RecordQueue {
  const { publish, isClosed, clock, log } = options;
  const stopping = new AbortController();
  /** Still gathering, by subject. */
  const open = new Map<string, Batch>();
  /** Closed, oldest first. */
  const waiting: Batch[] = [];
  let waitingBytes = 0;
  let [isSending, isTiming] = [false, false];
  /** Batches that were closed, and that left the buffer again, stored or dropped. */
  let [closed, gone] = [0, 0];
  let isDropping = false;
  const onGone = new Set<() => void>();

  const leave = (batch: Batch) => {
    waiting.shift();
    waitingBytes -= batch.bytes;
    gone += 1;
    for (const look of onGone) look();
  };
  const sendWaiting = async () => {
    while (waiting.length > 0 && !stopping.signal.aborted) {
      const batch = waiting[0]!;
      try {
        await publish(batch.subject, encodeBatch(batch.records), batchId(batch.subject, batch.records));
      } catch (caught) {
        const error = toFleetError(caught, 'history and log lines are lost');
        if (error.code !== 'permissionDenied') throw caught;
        log.error({ code: error.code }, error.message);
      }
      isDropping = false;
      // While it was under way, a full buffer may have dropped it.
      if (waiting[0] === batch) leave(batch);
    }
  };
  const sendAll = () =>
    retrying(sendWaiting, {
      backoff: ASK_AGAIN,
      clock,
      signal: stopping.signal,
      finalError: (caught) => (stopping.signal.aborted || isClosed() ? toFleetError(caught) : undefined),
      onFailure: (caught) =>
        log.debug(
          { code: toFleetError(caught).code, waitingBytes },
          'history and log lines wait for the broker',
        ),
    }).catch(() => undefined);
  const dropOldest = () => {
    if (!isDropping)
      log.warn(
        { waitingBytes },
        'the broker has been away for long: the oldest points of histories and log lines are dropped',
      );
    isDropping = true;
    leave(waiting[0]!);
  };
  const cut = (batch: Batch) => {
    open.delete(batch.subject);
    waiting.push(batch);
    waitingBytes += batch.bytes;
    closed += 1;
    while (waitingBytes > WAITING_BYTES_MAX && waiting.length > 1) dropOldest();
    send();
  };
  const send = () => {
    if (isSending || waiting.length === 0 || stopping.signal.aborted || isClosed()) return;
    isSending = true;
    // What was closed while the last batch left is sent in a round of its own.
    void sendAll().finally(() => {
      isSending = false;
      send();
    });
  };
  const cutAll = () => {
    for (const batch of [...open.values()]) cut(batch);
  };
  const cutInTime = () => {
    if (isTiming) return;
    isTiming = true;
    clock.sleep(BATCH_MS, stopping.signal).then(
      () => {
        isTiming = false;
        cutAll();
      },
      () => undefined,
    );
  };

  return {
    add(subject, record) {
      const { bytes } = record;
      const bytesMax = Math.min(BATCH_BYTES_MAX, options.messageBytesMax() / 2);
      let batch = open.get(subject);
      if (batch !== undefined && batch.bytes + bytes > bytesMax) {
        cut(batch);
        batch = undefined;
      }
      if (batch === undefined) {
        batch = { subject, records: [], bytes: 0 };
        open.set(subject, batch);
      }
      batch.records.push(record);
      batch.bytes += bytes;
      if (batch.bytes >= bytesMax || batch.records.length === BATCH_RECORDS_MAX) cut(batch);
      else cutInTime();
    },
    async flush(graceMs, signal) {
      cutAll();
      const target = closed;
      if (gone >= target) return true;
      const ended = new AbortController();
      const ends = [ended.signal, stopping.signal, ...(signal === undefined ? [] : [signal])];
      const late = clock.sleep(graceMs, AbortSignal.any(ends)).catch(() => undefined);
      let look: (() => void) | undefined;
      const stored = new Promise<void>((resolve) => {
        look = () => gone >= target && resolve();
        onGone.add(look);
      });
      await Promise.race([stored, late]);
      onGone.delete(look!);
      ended.abort();
      return gone >= target;
    },
    close: () => stopping.abort(),
  };
}
