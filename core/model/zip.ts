// Finds the members of a zip file on disk and reads parts of them, so that a file larger than memory is no problem: PyTorch
// stores its members uncompressed, and a tensor is then a range of the file. Compressed members (of a file that somebody
// packed anew) are inflated whole. Decides what is a sound zip file; what members mean is pth.ts'.

import type { FileHandle } from 'node:fs/promises';
import { inflateSync } from 'fflate';
import { FleetError } from '../errors.ts';

export interface ZipMember {
  readonly name: string;
  /** Bytes when uncompressed. */
  readonly size: number;
  /** Bytes [from, to) of it. */
  read(from?: number, to?: number): Promise<Uint8Array>;
}

interface Entry {
  readonly name: string;
  readonly method: number;
  readonly size: number;
  readonly packedSize: number;
  /** Byte of the member's own header in the file. */
  readonly header: number;
}

const END = 0x06054b50;
const END_64 = 0x06064b50;
const LOCATOR_64 = 0x07064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
/** An end record with the longest comment, and the locator before it. */
const TAIL_BYTES = 22 + 0xffff + 20;
/** Ten thousand tensors have a directory of about 1 MB. */
const DIRECTORY_BYTES_MAX = 256 * 1024 * 1024;
/** What a small range may inflate to; larger ones would be a bomb or want a file of their own. */
const INFLATED_BYTES_MAX = 2 ** 31;

/** Members in the order of the directory. `where` names the file in errors. */
export async function readZip(file: FileHandle, where: string): Promise<Map<string, ZipMember>> {
  const { size } = await file.stat();
  const directory = await readDirectory(file, size, where);
  return new Map(
    entriesOf(directory, where).map((entry) => {
      const stored = entry.method !== 0 || entry.size === entry.packedSize;
      if (!stored || entry.header + entry.packedSize > size)
        throw damaged(where, `member ${entry.name} claims ${entry.size} bytes of a file of ${size}`);
      return [entry.name, memberOf(file, entry, where)];
    }),
  );
}

async function readDirectory(file: FileHandle, size: number, where: string): Promise<DataView> {
  const tailStart = Math.max(0, size - TAIL_BYTES);
  const tail = viewOf(await readAt(file, tailStart, size - tailStart, where));
  let at = tail.byteLength - 22;
  while (at >= 0 && tail.getUint32(at, true) !== END) at--;
  if (at < 0) throw damaged(where, 'it has no zip directory at its end; it may be cut off');
  let bytes = tail.getUint32(at + 12, true);
  let start = tail.getUint32(at + 16, true);
  const locator = at - 20;
  if (locator >= 0 && tail.getUint32(locator, true) === LOCATOR_64) {
    const end64 = viewOf(await readAt(file, number64(tail, locator + 8, where), 56, where));
    if (end64.getUint32(0, true) !== END_64)
      throw damaged(where, 'its 64-bit directory is not where it says');
    bytes = number64(end64, 40, where);
    start = number64(end64, 48, where);
  }
  if (bytes > DIRECTORY_BYTES_MAX || start + bytes > size)
    throw damaged(where, `its directory claims bytes ${start}..${start + bytes} of ${size}`);
  return viewOf(await readAt(file, start, bytes, where));
}

function entriesOf(directory: DataView, where: string): Entry[] {
  const entries: Entry[] = [];
  let at = 0;
  while (at + 46 <= directory.byteLength && directory.getUint32(at, true) === CENTRAL) {
    const nameLength = directory.getUint16(at + 28, true);
    const extraLength = directory.getUint16(at + 30, true);
    const next = at + 46 + nameLength + extraLength + directory.getUint16(at + 32, true);
    if (next > directory.byteLength) throw damaged(where, 'its directory ends within an entry');
    const name = new TextDecoder().decode(bytesOf(directory, at + 46, nameLength));
    if ((directory.getUint16(at + 8, true) & 1) !== 0) throw damaged(where, `member ${name} is encrypted`);
    const sizes = {
      size: directory.getUint32(at + 24, true),
      packedSize: directory.getUint32(at + 20, true),
      header: directory.getUint32(at + 42, true),
    };
    const extra = viewOf(bytesOf(directory, at + 46 + nameLength, extraLength));
    entries.push({ name, method: directory.getUint16(at + 10, true), ...widened(sizes, extra, where) });
    at = next;
  }
  return entries;
}

/** Sizes that do not fit 32 bits stand in an extra field, in this order and only those that are needed. */
function widened<T extends { size: number; packedSize: number; header: number }>(
  sizes: T,
  extra: DataView,
  where: string,
): T {
  const wide = { ...sizes };
  for (let at = 0; at + 4 <= extra.byteLength; ) {
    const length = extra.getUint16(at + 2, true);
    if (extra.getUint16(at, true) === 1) {
      let value = at + 4;
      for (const key of ['size', 'packedSize', 'header'] as const) {
        if (sizes[key] !== 0xffff_ffff) continue;
        if (value + 8 > at + 4 + length || value + 8 > extra.byteLength)
          throw damaged(where, 'an entry lacks its 64-bit sizes');
        wide[key] = number64(extra, value, where);
        value += 8;
      }
    }
    at += 4 + length;
  }
  return wide;
}

function memberOf(file: FileHandle, entry: Entry, where: string): ZipMember {
  const { name, size } = entry;
  return {
    name,
    size,
    async read(from = 0, to = size) {
      if (from < 0 || to > size || from > to)
        throw damaged(where, `bytes ${from}..${to} of member ${name} are asked for, it has ${size}`);
      const start = await dataStart(file, entry, where);
      if (entry.method === 0) return readAt(file, start + from, to - from, where);
      if (entry.method !== 8)
        throw damaged(
          where,
          `member ${name} is compressed by method ${entry.method}; stored and deflated are known`,
        );
      return inflated(await readAt(file, start, entry.packedSize, where), entry, where).subarray(from, to);
    },
  };
}

/** The member's own header repeats name and extra field, the latter with another length. */
async function dataStart(file: FileHandle, entry: Entry, where: string): Promise<number> {
  const header = viewOf(await readAt(file, entry.header, 30, where));
  if (header.getUint32(0, true) !== LOCAL)
    throw damaged(where, `member ${entry.name} is not where the directory says`);
  return entry.header + 30 + header.getUint16(26, true) + header.getUint16(28, true);
}

function inflated(packed: Uint8Array, entry: Entry, where: string): Uint8Array {
  if (entry.size > INFLATED_BYTES_MAX)
    throw damaged(where, `member ${entry.name} would inflate to ${entry.size} bytes; store it uncompressed`);
  try {
    const bytes = inflateSync(packed, { out: new Uint8Array(entry.size) });
    if (bytes.length === entry.size) return bytes;
    throw new Error(`${bytes.length} bytes where ${entry.size} are promised`);
  } catch (cause) {
    throw damaged(where, `member ${entry.name} does not inflate`, cause);
  }
}

/** Exactly `length` bytes, aligned for any element. */
export async function readAt(
  file: FileHandle,
  position: number,
  length: number,
  where: string,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) throw damaged(where, `it ends within bytes ${position}..${position + length}`);
    done += bytesRead;
  }
  return bytes;
}

function number64(view: DataView, at: number, where: string): number {
  const value = view.getBigUint64(at, true);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw damaged(where, `it claims a size of ${value} bytes`);
  return Number(value);
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
const bytesOf = (view: DataView, at: number, length: number): Uint8Array =>
  new Uint8Array(view.buffer, view.byteOffset + at, length);

function damaged(where: string, what: string, cause?: unknown): FleetError {
  return new FleetError('dataLoss', `${where} is damaged: ${what}`, { cause });
}
