// Step points and log lines as they are stored: many in one message, because each message costs the broker a
// write to the disk that the journal waits for too. Decides the message, its id, and the position of a line
// in the fleet's log. A message of an earlier release is one point or one line and reads the same.

import { LogLine, LogLineBatch, StepPoint, StepPointBatch } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { sha256Hex } from '../digest.ts';
import { decodeOrLost } from '../protobuf.ts';

/** A point or a line on its way into a message; those of one subject are of one kind. */
export type StoredRecord = {
  /** The same however often and by whomever the record is published. */
  readonly key: string;
  /** Of its encoding, at most. */
  readonly bytes: number;
} & (
  | { readonly kind: 'point'; readonly point: StepPoint }
  | { readonly kind: 'line'; readonly line: LogLine }
);

/** So many records are in one message at most; the position of a line counts with it. */
export const BATCH_RECORDS_MAX = 4096;

/** Nine doubles, and the tags and lengths of a record's fields. */
const FIXED_BYTES = 128;

/** A record of a step. */
export function pointRecord(point: StepPoint): StoredRecord {
  const bytes = FIXED_BYTES + (point.weightsDigest?.length ?? 0);
  return { kind: 'point', key: String(point.step), bytes, point };
}

/** `key`: unique among the lines of a worker. */
export function lineRecord(key: string, line: LogLine): StoredRecord {
  const texts = [line.text, line.workerId, line.runId, line.level];
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), FIXED_BYTES);
  return { kind: 'line', key, bytes, line };
}

/**
 * The message with these records, of one subject. It is encoded as a whole, because an encoder for each record
 * costs ten times as much.
 */
export function encodeBatch(records: readonly StoredRecord[]): Uint8Array {
  if (records[0]?.kind === 'line')
    return LogLineBatch.encode({
      lines: records.flatMap((record) => (record.kind === 'line' ? [record.line] : [])),
    }).finish();
  return StepPointBatch.encode({
    points: records.flatMap((record) => (record.kind === 'point' ? [record.point] : [])),
  }).finish();
}

/** The same for the same records of the same subject, so that the broker stores them once. */
export function batchId(subject: string, records: readonly StoredRecord[]): string {
  return `${subject}/${sha256Hex(records.map(({ key }) => key).join('\n')).slice(0, 32)}`;
}

/** The points of a message, at least one; `dataLoss` where the bytes are no message. */
export function pointsIn(message: Uint8Array): readonly StepPoint[] {
  const { points } = decodeOrLost(StepPointBatch, message, 'a message of step points');
  return points.length > 0 ? points : [decodeOrLost(StepPoint, message, 'a step point')];
}

/** The lines of a message, at least one; `dataLoss` where the bytes are no message. */
export function linesIn(message: Uint8Array): readonly LogLine[] {
  const { lines } = decodeOrLost(LogLineBatch, message, 'a message of log lines');
  return lines.length > 0 ? lines : [decodeOrLost(LogLine, message, 'a log line')];
}

/** Position of a line in the fleet's log, from the sequence of its message and its place in that from 0 on. */
export const linePosition = (sequence: number, place: number): number => sequence * BATCH_RECORDS_MAX + place;

/** Sequence of the first message that may have a line after this position; 0: of the stream. */
export const sequenceAfter = (position: number): number => Math.floor(position / BATCH_RECORDS_MAX);
