// Step points and log lines as they are stored: many in one message, because each message costs the broker a
// write to the disk that the journal waits for too. Decides the message, its id, and the position of a line
// in the fleet's log. A message of an earlier release is one point or one line and reads the same.

import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { LogLine, LogLineBatch, StepPoint, StepPointBatch } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { sha256Hex } from '../digest.ts';

/** One point or line, encoded, with the key that it has however often and by whomever it is published. */
export interface StoredRecord {
  readonly key: string;
  readonly bytes: Uint8Array;
}

/** So many records are in one message at most; the position of a line counts with it. */
export const BATCH_RECORDS_MAX = 4096;

/** Number of the one field of a batch (fleet.proto). */
const FIELD = 100;

/** The message with these records, of one subject. */
export function encodeBatch(records: readonly StoredRecord[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const { bytes } of records) writer.tag(FIELD, WireType.LengthDelimited).bytes(bytes);
  return writer.finish();
}

/** The same for the same records of the same subject, so that the broker stores them once. */
export function batchId(subject: string, records: readonly StoredRecord[]): string {
  return `${subject}/${sha256Hex(records.map(({ key }) => key).join('\n')).slice(0, 32)}`;
}

/** The points of a message, at least one; throws where the bytes are no message. */
export function pointsIn(message: Uint8Array): readonly StepPoint[] {
  const { points } = StepPointBatch.decode(message);
  return points.length > 0 ? points : [StepPoint.decode(message)];
}

/** The lines of a message, at least one; throws where the bytes are no message. */
export function linesIn(message: Uint8Array): readonly LogLine[] {
  const { lines } = LogLineBatch.decode(message);
  return lines.length > 0 ? lines : [LogLine.decode(message)];
}

/** Position of a line in the fleet's log, from the sequence of its message and its place in that from 0 on. */
export const linePosition = (sequence: number, place: number): number => sequence * BATCH_RECORDS_MAX + place;

/** Sequence of the first message that may have a line after this position; 0: of the stream. */
export const sequenceAfter = (position: number): number => Math.floor(position / BATCH_RECORDS_MAX);
