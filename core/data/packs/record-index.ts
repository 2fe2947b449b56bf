// The `.idx` beside a record file (reference 6.1): keys and offsets. Decides what a line is, and keeps 12
// bytes for each: the file is read in blocks and never as text, since millions of lines would be as many
// strings.

import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { FleetError, toFleetError } from '../../errors.ts';
import { excerpt } from '../../text/printable.ts';
import { createProgressPace, type ProgressPace } from '../progress-pace.ts';

/** Keys and byte offsets in the order of the lines. */
export interface RecordIndex {
  readonly keys: Keys;
  /** In memory that threads may share. */
  readonly offsets: Float64Array;
}

/** Every known writer counts keys from 0 or 1; keys that do not fit 32 bits are kept as doubles. */
export type Keys = Uint32Array | Float64Array;

/** Characters of a bad line that an error quotes: enough to see that the file is of another kind. */
const EXCERPT = 8;
const BLOCK = 1 << 20;
const LINE_BYTES_MAX = 4096;
const [TAB, LF, CR, SPACE, ZERO, NINE] = [0x09, 0x0a, 0x0d, 0x20, 0x30, 0x39];

/** SHA-256 of the index. */
export async function digestOfIndex(path: string, pace: ProgressPace): Promise<string> {
  const hash = createHash('sha256');
  await eachBlock(path, pace, (block) => void hash.update(block));
  return hash.digest('hex');
}

export async function readRecordIndex(
  path: string,
  pace: ProgressPace = createProgressPace(),
): Promise<RecordIndex> {
  const lines = await countLines(path, pace);
  let keys: Keys = new Uint32Array(lines);
  const offsets = new Float64Array(new SharedArrayBuffer(8 * lines));
  let count = 0;
  const take = (bytes: Buffer, from: number, end: number) => {
    const tab = numberEnd(bytes, from, end);
    const last = numberEnd(bytes, tab + 1, end);
    if (tab === from || bytes[tab] !== TAB || last === tab + 1 || !isBlank(bytes, last, end)) {
      if (isBlank(bytes, from, end)) return;
      throw new FleetError(
        'invalidArgument',
        `record index ${path}: line ${count + 1} is "${excerpt(bytes.toString('latin1', from, Math.min(end, from + 80)), EXCERPT)}", not "key TAB offset"`,
      );
    }
    if (count === lines)
      throw new FleetError('aborted', `record index ${path} has changed while it was read; try again`);
    const key = numberIn(bytes, from, tab);
    if (key >= 2 ** 32 && keys instanceof Uint32Array) keys = Float64Array.from(keys);
    keys[count] = key;
    offsets[count] = numberIn(bytes, tab + 1, last);
    count += 1;
  };
  let rest = Buffer.alloc(0);
  await eachBlock(path, pace, (block) => {
    const bytes = rest.length === 0 ? block : Buffer.concat([rest, block]);
    let from = 0;
    for (let end = bytes.indexOf(LF); end >= 0; end = bytes.indexOf(LF, from)) {
      take(bytes, from, end);
      from = end + 1;
    }
    // Two numbers take 50 bytes: what is longer without an end is no line, and refused before it fills
    // memory.
    if (bytes.length - from > LINE_BYTES_MAX) take(bytes, from, bytes.length);
    rest = Buffer.from(bytes.subarray(from));
  });
  take(rest, 0, rest.length);
  if (count === 0) throw new FleetError('invalidArgument', `record index ${path} is empty`);
  return { keys: keys.subarray(0, count), offsets: offsets.subarray(0, count) };
}

/**
 * Lines, counted by their ends and one more for a last line without an end; the arrays are made for so many.
 */
async function countLines(path: string, pace: ProgressPace): Promise<number> {
  let lines = 1;
  await eachBlock(path, pace, (block) => {
    for (let at = block.indexOf(LF); at >= 0; at = block.indexOf(LF, at + 1)) lines += 1;
  });
  return lines;
}

/** The place after the digits that begin at `from`. */
function numberEnd(bytes: Buffer, from: number, end: number): number {
  let at = from;
  while (at < end && bytes[at]! >= ZERO && bytes[at]! <= NINE) at += 1;
  return at;
}

function numberIn(bytes: Buffer, from: number, end: number): number {
  let value = 0;
  for (let at = from; at < end; at++) value = value * 10 + bytes[at]! - ZERO;
  return value;
}

function isBlank(bytes: Buffer, from: number, end: number): boolean {
  for (let at = from; at < end; at++)
    if (bytes[at] !== SPACE && bytes[at] !== TAB && bytes[at] !== CR) return false;
  return true;
}

/**
 * Reads are synchronous: a file system that does not answer then holds up this thread alone, and not the pool
 * that all threads of a process share.
 */
async function eachBlock(path: string, pace: ProgressPace, take: (block: Buffer) => void): Promise<void> {
  let handle: number;
  try {
    handle = openSync(path, 'r');
  } catch (caught) {
    throw toFleetError(caught, `record index ${path}`);
  }
  try {
    const total = fstatSync(handle).size;
    const block = Buffer.allocUnsafe(BLOCK);
    for (let done = 0; ; ) {
      const read = readSync(handle, block, 0, BLOCK, done);
      if (read === 0) return;
      done += read;
      take(block.subarray(0, read));
      await pace.step({ doing: 'reading the index', done, total, unit: 'bytes' });
    }
  } finally {
    closeSync(handle);
  }
}
