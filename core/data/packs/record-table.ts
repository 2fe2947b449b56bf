// What a pack (`train.rec`, `train.idx`, perhaps `property`) consists of: which keys are images, where they
// lie, and their labels as stored (reference 6.4). Decides that, and refuses an index that does not belong to
// its records. Making the table takes the time of reading the file once, so it is kept in the cache under the
// files' identity; it has at most 20 bytes for each image, in memory that the threads of a process share.

import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { FleetError } from '../../errors.ts';
import { type DataCache, noDataCache } from '../inspection/data-cache.ts';
import { fileIdentity, fileIdentityIfAny, identityKey } from '../inspection/set-identity.ts';
import { risingOrder } from '../ordering.ts';
import { createProgressPace, type ProgressPace } from '../progress-pace.ts';
import { labelsFromIdentities } from './record-classes.ts';
import { digestOfIndex, type Keys, type RecordIndex, readRecordIndex } from './record-index.ts';
import { type BrokenRecord, LABEL_MAX, readRecordLabels } from './record-labels.ts';
import { openRecordFile, type RecordFile } from './recordio.ts';

export interface RecordTable {
  /** Names the pack's content; equal for equal files. */
  readonly identity: string;
  /** Keys of the images, rising; undefined: firstKey, firstKey + 1, ... */
  readonly keys: Keys | undefined;
  readonly firstKey: number;
  /** Where each image's record begins in train.rec. */
  readonly offsets: Float64Array;
  /** As stored; -1 for a broken record. */
  readonly labels: Int32Array;
  readonly broken: readonly BrokenRecord[];
  /** Classes according to `property`. */
  readonly stated: number | undefined;
  /** `identities`: the labels follow from the class ranges, and not every record was read. */
  readonly labelsFrom: 'records' | 'identities';
}

/** The files of a pack; `property` may be missing. */
export const PACK_FILES = ['train.rec', 'train.idx', 'property'] as const;

/** Below this size every label is read, which takes a second. */
const RANGES_FROM_BYTES = 2 ** 30;
/** Names the form of a kept table; a table of another form gets another number. */
const FORMAT = 'records 1';

export interface TableOptions {
  readonly cache?: DataCache;
  readonly pace?: ProgressPace;
  /** Size of train.rec from which class ranges are used when they are there. */
  readonly rangesFromBytes?: number;
}

export async function readRecordTable(path: string, options: TableOptions = {}): Promise<RecordTable> {
  const { cache = noDataCache, pace = createProgressPace(), rangesFromBytes = RANGES_FROM_BYTES } = options;
  for (const name of ['train.rec', 'train.idx'])
    if (!statSync(join(path, name), { throwIfNoEntry: false })?.isFile())
      throw wrongPack(
        path,
        `there is no ${name}${name === 'train.idx' ? "; MXNet's tools/rec2idx.py makes it from train.rec" : ''}`,
      );
  const before = packIdentity(path);
  const digest = await digestOfIndex(join(path, 'train.idx'), pace);
  const identity = identityKey([FORMAT, before, digest]);
  const known = fromEntry(identity, cache.read(identity));
  if (known !== undefined) return known;
  const file = await openRecordFile(join(path, 'train.rec'));
  try {
    const table = await readTable({ path, file, identity, pace, rangesFromBytes });
    if (packIdentity(path) !== before)
      throw new FleetError(
        'aborted',
        `data.path: records ${path}: the files changed while they were read; try again`,
      );
    keep(cache, table);
    return table;
  } finally {
    await file.close();
  }
}

/** Sizes, times of change and places of the files of a pack, as they are now. */
export function packIdentity(path: string): string {
  return [
    fileIdentity(join(path, 'train.rec')),
    fileIdentity(join(path, 'train.idx')),
    fileIdentityIfAny(join(path, 'property')),
  ].join('\n');
}

async function readTable(options: {
  readonly path: string;
  readonly file: RecordFile;
  readonly identity: string;
  readonly pace: ProgressPace;
  readonly rangesFromBytes: number;
}): Promise<RecordTable> {
  const { path, file, identity, pace, rangesFromBytes } = options;
  const index = sorted(path, file, await readRecordIndex(join(path, 'train.idx'), pace));
  const { from, to, identitiesTo } = await imageRange(path, file, index);
  const keys = index.keys.subarray(from, to);
  const firstKey = keys[0]!;
  const dense = keys.at(-1) === firstKey + keys.length - 1;
  const offsets = index.offsets.subarray(from, to);
  const common = { identity, firstKey, offsets, stated: statedClasses(path) };
  const fromRanges =
    dense && file.bytes >= rangesFromBytes
      ? await labelsFromIdentities({
          path: file.path,
          firstKey,
          imageOffsets: offsets,
          identityOffsets: index.offsets.subarray(to, identitiesTo),
          pace,
        })
      : undefined;
  const keptKeys = dense ? undefined : keys;
  if (fromRanges !== undefined)
    return { ...common, keys: keptKeys, labels: fromRanges, broken: [], labelsFrom: 'identities' };
  const { labels, broken } = await readRecordLabels({
    file,
    offsets,
    pace,
    noClass: (index, label) =>
      wrongPack(
        path,
        `key ${keys[index]} has label ${label}, which is not a class number (a whole number from 0 to ${LABEL_MAX})`,
      ),
  });
  // A bad place on a disk breaks a few records; where most are broken, the index belongs to another file.
  if (broken.length > labels.length / 2)
    throw wrongPack(
      path,
      `key ${keys[broken[0]!.index]} of train.idx ${broken[0]!.reason}, and so do most others; the two files are not of one pack`,
    );
  return { ...common, keys: keptKeys, labels, broken, labelsFrom: 'records' };
}

function sorted(path: string, file: RecordFile, index: RecordIndex): RecordIndex {
  const order = risingOrder(index.keys);
  const { keys, offsets } = order === undefined ? index : inOrder(index, order);
  for (let i = 0; i < keys.length; i++) {
    if (i > 0 && keys[i] === keys[i - 1]) throw wrongPack(path, `train.idx has key ${keys[i]} twice`);
    if (offsets[i]! % 4 !== 0 || offsets[i]! >= file.bytes)
      throw wrongPack(
        path,
        `train.idx puts key ${keys[i]} at byte ${offsets[i]} of train.rec, which has ${file.bytes} bytes in multiples of 4; the two files are not of one pack`,
      );
  }
  return { keys, offsets };
}

function inOrder(index: RecordIndex, order: Uint32Array): RecordIndex {
  const keys = index.keys.slice();
  const offsets = new Float64Array(new SharedArrayBuffer(8 * order.length));
  for (let i = 0; i < order.length; i++) {
    keys[i] = index.keys[order[i]!]!;
    offsets[i] = index.offsets[order[i]!]!;
  }
  return { keys, offsets };
}

/**
 * The header record at key 0, when there is one, names the keys of the images; without it all are images.
 * Places in the sorted index.
 */
async function imageRange(
  path: string,
  file: RecordFile,
  { keys, offsets }: RecordIndex,
): Promise<{ from: number; to: number; identitiesTo: number }> {
  const all = { from: 0, to: keys.length, identitiesTo: keys.length };
  if (keys[0] !== 0) return all;
  const header = await file.readHeaderAt(offsets[0]!).catch((caught: unknown) => {
    if (!(caught instanceof FleetError) || caught.code !== 'invalidArgument') throw caught;
    return undefined;
  });
  // A first record that cannot be read counts as an image, and is found broken with the others.
  if (header === undefined || header.headerFlag === 0 || header.hasImage) return all;
  const end = header.labels[0]!;
  // A float32 label counts exactly up to 2^24. Beyond that the header may be off by one, so the index
  // decides: records of identities have no image and are left out by that.
  const last = end < 2 ** 24 ? end : end + 1;
  let to = 1;
  while (to < keys.length && keys[to]! < last) to += 1;
  while (to > 1 && end >= 2 ** 24 && !(await file.readHeaderAt(offsets[to - 1]!)).hasImage) to -= 1;
  if (end < 2 ** 24 && to - 1 !== end - 1)
    throw wrongPack(
      path,
      `the header record counts ${end - 1} images, but train.idx has ${to - 1} keys from 1 to ${end - 1}; the two files are not of one pack`,
    );
  if (to === 1) throw wrongPack(path, 'the header record counts no images');
  return { from: 1, to, identitiesTo: keys.length };
}

function statedClasses(path: string): number | undefined {
  let text: string;
  try {
    text = readFileSync(join(path, 'property'), 'utf8');
  } catch {
    return undefined;
  }
  const stated = /^[\s\ufeff]*(\d+)/.exec(text)?.[1];
  if (stated === undefined) throw wrongPack(path, 'property does not begin with the number of classes');
  return Number(stated);
}

interface Head extends Pick<RecordTable, 'firstKey' | 'broken' | 'stated' | 'labelsFrom'> {
  readonly format: typeof FORMAT;
  /** Keys are doubles. */
  readonly wide: boolean;
}

function keep(cache: DataCache, table: RecordTable): void {
  const { keys, offsets, labels, firstKey, broken, stated, labelsFrom } = table;
  const wide = keys instanceof Float64Array;
  const head: Head = { format: FORMAT, firstKey, broken, labelsFrom, stated, wide };
  cache.write(table.identity, head, [offsets, labels, ...(keys === undefined ? [] : [keys])]);
}

function fromEntry(identity: string, entry: ReturnType<DataCache['read']>): RecordTable | undefined {
  if (entry === undefined) return undefined;
  const head = entry.head as Head;
  const [offsets, labels, keys] = entry.arrays;
  if (head.format !== FORMAT || offsets === undefined || labels === undefined) return undefined;
  return {
    identity,
    keys: keys === undefined ? undefined : head.wide ? new Float64Array(keys) : new Uint32Array(keys),
    offsets: new Float64Array(offsets),
    labels: new Int32Array(labels),
    firstKey: head.firstKey,
    broken: head.broken,
    stated: head.stated,
    labelsFrom: head.labelsFrom,
  };
}

/** An error about a pack: `data.path: records PATH: WHAT`. */
export function wrongPack(path: string, what: string): FleetError {
  return new FleetError('invalidArgument', `data.path: records ${path}: ${what}`, {
    details: { field: 'data.path' },
  });
}
