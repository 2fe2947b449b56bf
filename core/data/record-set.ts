// An InsightFace or im2rec pack (`train.rec`, `train.idx`, perhaps `property`) as a set of labelled images: which keys are
// images, and the class of each (reference 6.4). Decides that and refuses what contradicts itself; bytes are recordio.ts', and
// which classes are held out is dataset.ts'. Keeps 12 bytes an image (offset and class) and never an image.

import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FleetError } from '../errors.ts';
import { openRecordFile, parseImageRecord, type RecordFile, readRecordIndex } from './recordio.ts';

export interface RecordSet {
  readonly size: number;
  /** Classes that the pack says it has; labels are 0..classes-1. */
  readonly classes: number;
  readonly file: RecordFile;
  key(index: number): number;
  label(index: number): number;
  /** Encoded bytes of an image. */
  read(index: number): Promise<Buffer>;
  close(): Promise<void>;
}

/** Images in key order, read from `path`/train.rec and train.idx. */
export async function openRecordSet(path: string): Promise<RecordSet> {
  for (const name of ['train.rec', 'train.idx'])
    if (!(await stat(join(path, name)).catch(() => undefined))?.isFile())
      throw wrong(path, `there is no ${name}`);
  const file = await openRecordFile(join(path, 'train.rec'));
  try {
    const entries = await imageEntries(path, file);
    const labels = await readLabels(path, file, entries);
    const classes = await countClasses(path, labels, entries);
    return {
      size: labels.length,
      classes,
      file,
      key: (index) => entries.keys[index]!,
      label: (index) => labels[index]!,
      async read(index) {
        const offset = entries.offsets[index]!;
        return parseImageRecord((await file.readAt(offset)).payload, { path: file.path, offset }).image;
      },
      close: () => file.close(),
    };
  } catch (caught) {
    await file.close();
    throw caught;
  }
}

interface Entries {
  /** Rising. */
  readonly keys: Float64Array;
  readonly offsets: Float64Array;
}

/** The header record at key 0, when there is one, says which keys are images; without it all are. */
async function imageEntries(path: string, file: RecordFile): Promise<Entries> {
  const entries = sortedIndex(path, file, await readRecordIndex(join(path, 'train.idx')));
  if (entries.keys[0] !== 0) return entries;
  const header = await file.readHeaderAt(entries.offsets[0]!);
  if (header.headerFlag === 0 || header.hasImage) return entries;
  const end = header.labels[0]!;
  // A float32 label counts exactly up to 2^24; beyond, the header may be off by one and the index is the better witness:
  // identity records have no image and are left out by that.
  const last = end < 2 ** 24 ? end : end + 1;
  const from = 1;
  let to = from;
  while (to < entries.keys.length && entries.keys[to]! < last) to += 1;
  while (to > from && end >= 2 ** 24 && !(await file.readHeaderAt(entries.offsets[to - 1]!)).hasImage)
    to -= 1;
  if (end < 2 ** 24 && to - from !== end - 1)
    throw wrong(
      path,
      `the header record counts ${end - 1} images, but train.idx has ${to - from} keys from 1 to ${end - 1}; the two files are not of one pack`,
    );
  if (to === from) throw wrong(path, 'the header record counts no images');
  return { keys: entries.keys.slice(from, to), offsets: entries.offsets.slice(from, to) };
}

function sortedIndex(path: string, file: RecordFile, index: Entries): Entries {
  const order = Uint32Array.from(index.keys, (_, i) => i).sort((a, b) => index.keys[a]! - index.keys[b]!);
  const keys = Float64Array.from(order, (i) => index.keys[i]!);
  const offsets = Float64Array.from(order, (i) => index.offsets[i]!);
  for (let i = 0; i < keys.length; i++) {
    if (i > 0 && keys[i] === keys[i - 1]) throw wrong(path, `train.idx has key ${keys[i]} twice`);
    if (offsets[i]! % 4 !== 0 || offsets[i]! >= file.bytes)
      throw wrong(
        path,
        `train.idx puts key ${keys[i]} at byte ${offsets[i]} of train.rec, which has ${file.bytes} bytes in multiples of 4; the two files are not of one pack`,
      );
  }
  return { keys, offsets };
}

/** Visits the records in the order of the file, which a disk reads faster than the order of keys. */
async function readLabels(path: string, file: RecordFile, entries: Entries): Promise<Int32Array> {
  const labels = new Int32Array(entries.keys.length);
  const order = Uint32Array.from(labels, (_, i) => i).sort(
    (a, b) => entries.offsets[a]! - entries.offsets[b]!,
  );
  for (const i of order) {
    const header = await file.readHeaderAt(entries.offsets[i]!).catch((caught: unknown) => {
      if (!(caught instanceof FleetError)) throw caught;
      throw new FleetError(
        'invalidArgument',
        `records ${path}: key ${entries.keys[i]} of train.idx does not lead to a record (${caught.message}); the two files are not of one pack`,
        { cause: caught },
      );
    });
    const label = header.labels[0]!;
    if (!Number.isInteger(label) || label < 0 || label > 2 ** 24)
      throw wrong(path, `key ${entries.keys[i]} has label ${label}, which is not a class number`);
    if (!header.hasImage) throw wrong(path, `key ${entries.keys[i]} has no image`);
    labels[i] = label;
  }
  return labels;
}

/** From `property` where there is one, else the largest label; every class must have an image. */
async function countClasses(path: string, labels: Int32Array, entries: Entries): Promise<number> {
  const text = await readFile(join(path, 'property'), 'utf8').catch(() => undefined);
  const largest = labels.reduce((a, b) => Math.max(a, b), 0);
  const stated = text === undefined ? largest + 1 : Number(/^\s*(\d+)/.exec(text)?.[1] ?? Number.NaN);
  if (!Number.isInteger(stated)) throw wrong(path, `property does not begin with the number of classes`);
  if (largest >= stated) {
    const at = labels.indexOf(largest);
    throw wrong(
      path,
      `key ${entries.keys[at]} has label ${largest}, but property counts ${stated} classes (0..${stated - 1})`,
    );
  }
  if (stated > labels.length) throw wrong(path, `${stated} classes, but only ${labels.length} images`);
  const present = new Uint8Array(stated);
  for (const label of labels) present[label] = 1;
  const missing = present.indexOf(0);
  if (missing >= 0) throw wrong(path, `class ${missing} of ${stated} has no image`);
  return stated;
}

function wrong(path: string, what: string): FleetError {
  return new FleetError('invalidArgument', `data.path: records ${path}: ${what}`, {
    details: { field: 'data.path' },
  });
}
