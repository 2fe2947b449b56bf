// RecordIO, byte by byte (reference 6.1 to 6.3): chunks to records, records to labels and image bytes.
// Decides what is well-formed. A file is read in place, one record at a time, so memory follows the largest
// record and not the file.

import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { FleetError, toFleetError } from '../../errors.ts';

/** First word of every chunk. */
export const MAGIC = 0xced7230a;
const MAGIC_BYTES = Buffer.from([0x0a, 0x23, 0xd7, 0xce]);
/** Bytes of magic and length before the payload of a chunk. */
export const CHUNK_HEADER = 8;
/** Bytes of flag, label and ids before the labels or the image of a payload. */
export const IR_HEADER = 24;

/** One record as stored. */
export interface RawRecord {
  readonly offset: number;
  /** Bytes in the file, with chunk headers and padding; the next record begins there. */
  readonly framedBytes: number;
  /** Continuation flags of its chunks: [0], or 1, any number of 2, 3. */
  readonly flags: readonly number[];
  readonly payload: Buffer;
}

/** A record's payload, taken apart. */
export interface ImageRecord {
  /** Number of labels in the array; 0: one scalar label. */
  readonly headerFlag: number;
  readonly labels: readonly number[];
  /** As far as a double holds it. */
  readonly id: number;
  /** Encoded image; may be empty. */
  readonly image: Buffer;
}

/** A record without its image. */
export type RecordHeader = Omit<ImageRecord, 'image'> & { readonly hasImage: boolean };

/** A `.rec` file open for reading at any offset. */
export interface RecordFile {
  readonly path: string;
  readonly bytes: number;
  /** The record whose magic is at `offset`. */
  readAt(offset: number): Promise<RawRecord>;
  /** Its first bytes only: enough for header and labels, whatever the image weighs. */
  readHeaderAt(offset: number): Promise<RecordHeader>;
  /** Every record in the order of the file. */
  records(): AsyncGenerator<RawRecord>;
  close(): Promise<void>;
}

export async function openRecordFile(path: string): Promise<RecordFile> {
  const handle = await open(path, 'r').catch((caught: unknown) => {
    throw toFleetError(caught, `record file ${path}`);
  });
  const { size: bytes } = await handle.stat();
  const readAt = (offset: number) => readRecord(handle, path, bytes, offset);
  return {
    path,
    bytes,
    readAt,
    readHeaderAt: (offset) => readHeader(handle, path, bytes, offset),
    async *records() {
      for (let offset = 0; offset < bytes; ) {
        const record = await readAt(offset);
        yield record;
        offset += record.framedBytes;
      }
    },
    close: () => handle.close(),
  };
}

async function readRecord(handle: FileHandle, path: string, size: number, start: number): Promise<RawRecord> {
  const parts: Buffer[] = [];
  const flags: number[] = [];
  let offset = start;
  for (;;) {
    const { flag, length } = await chunkAt(handle, path, size, offset);
    const expected = flags.length === 0 ? [0, 1] : [2, 3];
    if (!expected.includes(flag))
      throw corrupt(path, offset, `continuation flag ${flag} after [${flags.join(', ')}]`);
    flags.push(flag);
    if (flag === 2 || flag === 3) parts.push(MAGIC_BYTES);
    parts.push(await bytesAt(handle, path, offset + CHUNK_HEADER, length));
    offset += CHUNK_HEADER + Math.ceil(length / 4) * 4;
    if (flag === 0 || flag === 3) break;
  }
  return {
    offset: start,
    framedBytes: Math.min(offset, size) - start,
    flags,
    payload: parts.length === 1 ? parts[0]! : Buffer.concat(parts),
  };
}

async function chunkAt(handle: FileHandle, path: string, size: number, offset: number) {
  const head = await bytesAt(handle, path, offset, Math.max(0, Math.min(CHUNK_HEADER, size - offset)));
  return parseChunkHeader(head, path, size, offset);
}

function parseChunkHeader(head: Buffer, path: string, size: number, offset: number) {
  if (head.length < CHUNK_HEADER) throw corrupt(path, offset, `the file ends before (${size} bytes)`);
  if (head.readUInt32LE(0) !== MAGIC)
    throw corrupt(path, offset, `the magic 0a23d7ce is not there, but ${head.toString('hex', 0, 4)}`);
  const word = head.readUInt32LE(4);
  const length = word & 0x1fffffff;
  if (offset + CHUNK_HEADER + length > size)
    throw corrupt(path, offset, `a chunk of ${length} bytes ends beyond the file (${size} bytes)`);
  return { flag: word >>> 29, length };
}

/** Bytes that hold header and labels of nearly every record. */
const PROBE = CHUNK_HEADER + IR_HEADER + 64;

/** Header and labels by one read; a record split within its labels, or with many labels, is read whole. */
async function readHeader(handle: FileHandle, path: string, size: number, offset: number) {
  const at = { path, offset };
  const probe = await bytesAt(handle, path, offset, Math.max(0, Math.min(PROBE, size - offset)));
  const { flag, length } = parseChunkHeader(probe, path, size, offset);
  const head = probe.subarray(CHUNK_HEADER, CHUNK_HEADER + length);
  const needed = head.length < IR_HEADER ? Number.POSITIVE_INFINITY : IR_HEADER + 4 * head.readUInt32LE(0);
  const whole = needed > head.length ? (await readRecord(handle, path, size, offset)).payload : head;
  const { image, ...header } = parseImageRecord(whole, at);
  return { ...header, hasImage: image.length > 0 || flag !== 0 || length > needed };
}

async function bytesAt(handle: FileHandle, path: string, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(buffer, done, length - done, offset + done);
    if (bytesRead === 0) throw corrupt(path, offset, `${done} of ${length} bytes, then the file ends`);
    done += bytesRead;
  }
  return buffer;
}

/** Takes a payload apart; `at` is for the message of an error. */
export function parseImageRecord(payload: Buffer, at: { path: string; offset: number }): ImageRecord {
  if (payload.length < IR_HEADER)
    throw corrupt(at.path, at.offset, `a payload of ${payload.length} bytes; the image header alone has 24`);
  const headerFlag = payload.readUInt32LE(0);
  const start = IR_HEADER + 4 * headerFlag;
  if (start > payload.length)
    throw corrupt(at.path, at.offset, `${headerFlag} labels in a payload of ${payload.length} bytes`);
  return {
    headerFlag,
    labels:
      headerFlag === 0
        ? [payload.readFloatLE(4)]
        : Array.from({ length: headerFlag }, (_, i) => payload.readFloatLE(IR_HEADER + 4 * i)),
    id: Number(payload.readBigUInt64LE(8)),
    image: payload.subarray(start),
  };
}

function corrupt(path: string, offset: number, what: string): FleetError {
  return new FleetError('invalidArgument', `record file ${path}: at byte ${offset}: ${what}`, {
    details: { path, offset },
  });
}
