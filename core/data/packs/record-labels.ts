// The label of every record of a pack that may have millions of them (reference 6.3). Decides how they are
// read: in the order of the file in large blocks, out of which the headers are picked, or each header by a
// read of its own where records are large. A record that cannot be read is noted and not thrown, because only
// the caller knows whether a pack may have such.

import { FleetError } from '../../errors.ts';
import { risingOrder } from '../ordering.ts';
import type { ProgressPace } from '../progress-pace.ts';
import { openWindow, plainLabel, RECORD_HEADER } from './record-window.ts';
import type { RecordFile } from './recordio.ts';

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

/**
 * Bytes between records from which each header is read by itself; the images between them would take longer
 * to read.
 */
const FAR_APART = 128 << 10;
/** Largest whole number up to which a float32 counts exactly. */
export const LABEL_MAX = 2 ** 24;
/** Broken records; more of them mean another file and not a bad place on a disk. */
const BROKEN_MAX = 10_000;

export async function readRecordLabels(options: {
  readonly file: RecordFile;
  readonly offsets: Float64Array;
  readonly pace: ProgressPace;
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
      const at = window.hold(offset, next - offset > FAR_APART ? RECORD_HEADER : undefined);
      const plain = plainLabel(window.block, at, file.bytes - offset);
      const label = plain !== undefined && isClassNumber(plain) ? plain : await oddLabel(file, offset);
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

const isClassNumber = (label: number) => Number.isInteger(label) && label >= 0 && label <= LABEL_MAX;

/** Records with several labels or chunks, and all that are wrong. */
async function oddLabel(file: RecordFile, offset: number): Promise<number | { reason: string }> {
  try {
    const header = await file.readHeaderAt(offset);
    const label = header.labels[0]!;
    if (!header.hasImage) return { reason: 'has no image' };
    return label;
  } catch (caught) {
    // A failing disk is not a fault of the record.
    if (!(caught instanceof FleetError) || caught.code !== 'invalidArgument') throw caught;
    return { reason: `does not lead to a record (${caught.message})` };
  }
}
