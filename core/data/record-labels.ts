// The label of every record of a pack that may have millions of them (reference 6.3). Decides how they are read: in the order of
// the file in large blocks, out of which the headers are picked, or by their own headers alone where records are large. A record
// that cannot be read is noted and not thrown: whether a pack may have such is the caller's to say.

import { closeSync, openSync, readSync } from 'node:fs';
import { FleetError, toFleetError } from '../errors.ts';
import { risingOrder } from './ordering.ts';
import type { Pace } from './pace.ts';
import { CHUNK_HEADER, IR_HEADER, MAGIC, type RecordFile } from './recordio.ts';

/** A record whose label cannot be had; its label is -1. */
export interface BrokenRecord {
  /** Place among the offsets. */
  readonly index: number;
  readonly reason: string;
}

export interface RecordLabels {
  readonly labels: Int32Array;
  /** In rising order of place. */
  readonly broken: readonly BrokenRecord[];
}

const BLOCK = 1 << 20;
/** Records further apart than this are read by their headers: their images are not worth passing through memory. */
const FAR_APART = 128 << 10;
const HEADER = CHUNK_HEADER + IR_HEADER;
/** What a float32 counts exactly. */
const LABEL_MAX = 2 ** 24;
/** More broken records than this are no bad place on a disk, but another file. */
const BROKEN_MAX = 10_000;

export async function readRecordLabels(options: {
  readonly file: RecordFile;
  readonly offsets: Float64Array;
  readonly pace: Pace;
  /** Makes the error for a record that can be read and has no class number. */
  readonly noClass: (index: number, label: number) => FleetError;
}): Promise<RecordLabels> {
  const { file, offsets, pace } = options;
  const order = risingOrder(offsets);
  const labels = new Int32Array(new SharedArrayBuffer(offsets.length * 4));
  const broken: BrokenRecord[] = [];
  const window = openWindow(file.path);
  try {
    for (let n = 0; n < offsets.length; n++) {
      const index = order === undefined ? n : order[n]!;
      const offset = offsets[index]!;
      const next =
        n + 1 < offsets.length ? offsets[order === undefined ? n + 1 : order[n + 1]!]! : file.bytes;
      const at = window.hold(offset, next - offset > FAR_APART ? HEADER : BLOCK);
      const label = plainLabel(window.block, at) ?? (await oddLabel(file, offset));
      if (typeof label === 'number') {
        if (!isClassNumber(label)) throw options.noClass(index, label);
        labels[index] = label;
      } else {
        labels[index] = -1;
        broken.push({ index, reason: label.reason });
        if (broken.length > BROKEN_MAX) return { labels, broken: inOrder(broken) };
      }
      if (n % 1024 === 0)
        await pace.step({ doing: 'reading labels', done: n, total: offsets.length, unit: 'images' });
    }
    return { labels, broken: inOrder(broken) };
  } finally {
    window.close();
  }
}

const inOrder = (broken: BrokenRecord[]) => broken.sort((a, b) => a.index - b.index);

/** Label of the usual record: one chunk, one scalar label, an image. Undefined: it is another record, or part of one. */
function plainLabel(block: Buffer, at: number): number | undefined {
  if (at < 0 || block.readUInt32LE(at) !== MAGIC) return undefined;
  const word = block.readUInt32LE(at + 4);
  // The two highest flags are zero in a whole record, so that the word is its length.
  if (word <= IR_HEADER || word >= 2 ** 29 || block.readUInt32LE(at + CHUNK_HEADER) !== 0) return undefined;
  const label = block.readFloatLE(at + CHUNK_HEADER + 4);
  return isClassNumber(label) ? label : undefined;
}

const isClassNumber = (label: number) => Number.isInteger(label) && label >= 0 && label <= LABEL_MAX;

/** Records with several labels or chunks, and all that are wrong. */
async function oddLabel(file: RecordFile, offset: number): Promise<number | { reason: string }> {
  try {
    const header = await file.readHeaderAt(offset);
    const label = header.labels[0]!;
    if (!header.hasImage) return { reason: 'has no image' };
    return label;
  } catch (caught) {
    // A disk that fails is no property of the record.
    if (!(caught instanceof FleetError) || caught.code !== 'invalidArgument') throw caught;
    return { reason: `does not lead to a record (${caught.message})` };
  }
}

/** A part of the file in memory that moves on with what is asked for. */
function openWindow(path: string) {
  const block = Buffer.allocUnsafe(BLOCK);
  let start = 0;
  let end = 0;
  let handle: number;
  try {
    handle = openSync(path, 'r');
  } catch (caught) {
    throw toFleetError(caught, `record file ${path}`);
  }
  return {
    block,
    /** Where in the block the header at `offset` lies; -1: the file ends within it. `length`: bytes to read when it is not there. */
    hold(offset: number, length: number): number {
      if (offset < start || offset + HEADER > end) {
        start = offset;
        end = offset;
        while (end < start + length) {
          const read = readSync(handle, block, end - start, length - (end - start), end);
          if (read === 0) break;
          end += read;
        }
      }
      return offset + HEADER <= end ? offset - start : -1;
    },
    close: () => closeSync(handle),
  };
}
