// A data set, whatever it is made of: images with labels in two splits, training and held out. Decides which
// identities are held out (the last `holdout` in their order) and refuses a set with too few.

import { existsSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { FleetError, toFleetError } from '../errors.ts';
import type { DataSpec } from '../spec/data.ts';
import { ANYWHERE, type Roots } from '../system/file-access.ts';
import { printable } from '../text/printable.ts';
import { folderNotes, openFolderSet } from './folder.ts';
import { classesLeft } from './holdout.ts';
import { fitSquare, IMAGE_BYTES, type Pixels, SIDE } from './images/pixels.ts';
import { digestOfFiles } from './inspection/content-digest.ts';
import type { DataCache } from './inspection/data-cache.ts';
import { identityKey } from './inspection/set-identity.ts';
import { skippedPlaces } from './inspection/skipped.ts';
import { openRecordSet } from './packs/record-set.ts';
import { PACK_FILES, packIdentity, type RecordTable } from './packs/record-table.ts';
import { createProgressPace, type ProgressPace } from './progress-pace.ts';
import { admitSet } from './set-files.ts';

export interface Split {
  readonly size: number;
  /** Class of an image: 0..classes-1 in training, 0..holdout-1 among the held out. */
  label(index: number): number;
  /** Writes 112 x 112 RGB bytes. */
  read(index: number, into: Uint8Array): Promise<void>;
  /** The whole image in its own size. */
  decoded(index: number): Promise<Pixels>;
  /** Where a person finds it: a file, a record's key, or the numbers of a synthetic image. */
  nameOf(index: number): string;
}

export interface Dataset {
  readonly training: Split;
  readonly heldOut: Split;
  /** Identities of the training split. */
  readonly classes: number;
  readonly heldOutIdentities: number;
  /** Where a person finds the images of a class of the training split. */
  nameOfClass(label: number): string;
  /** Labels of the set in the order of its classes, as ranges; undefined where a label is its class. */
  readonly labelMap: string | undefined;
  /** What a person should know of the set, as sentences. */
  readonly notes: readonly string[];
  /** What was found out about a pack, for the other threads of the process. */
  readonly table: RecordTable | undefined;
  close(): Promise<void>;
}

/** A source before it is split: labels are 0..classes-1. */
export interface Source {
  readonly size: number;
  readonly classes: number;
  /** 0..classes-1; -1 for a record that is broken. */
  label(index: number): number;
  /** Whether labels rise with the index, so that identities lie one after the other. */
  readonly rises: boolean;
  readonly labelMap?: string | undefined;
  readonly table?: RecordTable;
  /** What a person should know of the set, as sentences. */
  readonly notes?: readonly string[];
  /** Places of images that opening the set has already found unreadable. */
  readonly broken?: readonly number[];
  read(index: number, into: Uint8Array): Promise<void>;
  decoded(index: number): Promise<Pixels>;
  nameOf(index: number): string;
  nameOfClass(label: number): string;
  /** Encoded bytes, where images are stored; undefined where they are drawn. */
  encoded?(index: number): Promise<Uint8Array>;
  /** Equal for a set that has not changed; undefined where nothing is stored. */
  contentKey?(): Promise<string>;
  /**
   * SHA-256 of all names, sizes and bytes, equal wherever the set lies; undefined where nothing is stored.
   * `lanes`: files in hand at once.
   */
  contentDigest?(lanes: number): Promise<string>;
  close(): Promise<void>;
}

export interface OpenOptions {
  readonly cache?: DataCache;
  readonly pace?: ProgressPace;
  /** Folders beneath which files may be read; absent: everywhere. */
  readonly roots?: Roots | undefined;
  /** The table of a pack, when another thread has made it. */
  readonly table?: RecordTable | undefined;
}

export async function openDataset(spec: DataSpec, options: OpenOptions = {}): Promise<Dataset> {
  const skipped = skippedPlaces(spec.kind === 'synthetic' ? undefined : spec.skipped);
  const source = await openSource(spec, { ...options, allowBroken: skipped.length > 0 });
  try {
    return splitSource(source, spec.holdout, skipped);
  } catch (caught) {
    await source.close();
    throw caught;
  }
}

/** `skipped`: places in rising order that are in neither split. */
export function splitSource(source: Source, holdout: number, skipped: ArrayLike<number>): Dataset {
  const classes = classesLeft(source.classes, holdout);
  const { training, heldOut } = placesOf(source, classes, skipped);
  return {
    training: splitOf(source, training, 0),
    heldOut: splitOf(source, heldOut, classes),
    classes,
    heldOutIdentities: holdout,
    nameOfClass: (label) => source.nameOfClass(label),
    labelMap: source.labelMap,
    notes: source.notes ?? [],
    table: source.table,
    close: () => source.close(),
  };
}

/** Which images of the source a split has: a range, or a list where they are scattered. */
type Places = { readonly from: number; readonly size: number } | Uint32Array;

function placesOf(
  source: Source,
  classes: number,
  skipped: ArrayLike<number>,
): { training: Places; heldOut: Places } {
  if (source.rises && skipped.length === 0) {
    const size = firstAtLeast(source, classes);
    return { training: { from: 0, size }, heldOut: { from: size, size: source.size - size } };
  }
  const left = new Uint32Array(source.classes);
  let [size, next] = [0, 0];
  for (let pass = 0; ; pass++) {
    // The first pass counts, the second fills.
    const training = new Uint32Array(pass === 0 ? 0 : size);
    const heldOut = new Uint32Array(pass === 0 ? 0 : source.size - size);
    let [trained, held] = [0, 0];
    next = 0;
    for (let i = 0; i < source.size; i++) {
      if (skipped[next] === i) {
        next += 1;
        continue;
      }
      const label = source.label(i);
      if (label < 0) continue;
      if (pass === 0) left[label]! += 1;
      if (label < classes) training[trained++] = i;
      else heldOut[held++] = i;
    }
    if (pass > 0) return { training, heldOut: heldOut.subarray(0, held) };
    const empty = left.indexOf(0);
    if (empty >= 0)
      throw new FleetError(
        'invalidArgument',
        `data.path: ${printable(source.nameOfClass(empty))} has no image left without the corrupt ones; remove it or repair one of its images`,
        { details: { field: 'data.path' } },
      );
    size = trained;
  }
}

/** The first place whose label is at least that, by halving. */
function firstAtLeast(source: Source, label: number): number {
  let [low, high] = [0, source.size];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (source.label(middle) < label) low = middle + 1;
    else high = middle;
  }
  return low;
}

function splitOf(source: Source, places: Places, firstLabel: number): Split {
  const size = places instanceof Uint32Array ? places.length : places.size;
  const at = (index: number) => {
    if (!(index >= 0 && index < size))
      throw new FleetError('outOfRange', `image ${index} of a split with ${size} images`);
    return places instanceof Uint32Array ? places[index]! : places.from + index;
  };
  return {
    size,
    label: (index) => source.label(at(index)) - firstLabel,
    read: (index, into) => source.read(at(index), into),
    decoded: (index) => source.decoded(at(index)),
    nameOf: (index) => source.nameOf(at(index)),
  };
}

/**
 * `allowBroken`: records that cannot be read are images that cannot be read, and do not refuse the whole
 * pack.
 */
export async function openSource(
  spec: DataSpec,
  options: OpenOptions & { readonly allowBroken?: boolean } = {},
): Promise<Source> {
  if (spec.kind !== 'synthetic') await admitSet(spec, options.roots ?? ANYWHERE);
  switch (spec.kind) {
    case 'synthetic': {
      const { createRenderer } = await import('./synthetic/renderer.ts');
      const renderer = createRenderer({ seed: spec.seed, difficulty: spec.difficulty });
      const draw = (index: number, into: Uint8Array) =>
        renderer.render(Math.floor(index / spec.images), index % spec.images, into);
      return {
        size: spec.identities * spec.images,
        classes: spec.identities,
        rises: true,
        label: (index) => Math.floor(index / spec.images),
        read: async (index, into) => draw(index, into),
        async decoded(index) {
          const rgb = new Uint8Array(IMAGE_BYTES);
          draw(index, rgb);
          return { width: SIDE, height: SIDE, rgb };
        },
        nameOf: (index) =>
          `synthetic identity ${Math.floor(index / spec.images)}, image ${index % spec.images}`,
        nameOfClass: (label) => `synthetic identity ${label}`,
        close: async () => undefined,
      };
    }
    case 'folder': {
      const pace = options.pace ?? createProgressPace();
      const folder = await openFolderSet(spec.path, pace, options.roots);
      return {
        ...stored(folder.read, folder.path),
        size: folder.size,
        classes: folder.classes,
        rises: true,
        label: folder.label,
        notes: folderNotes(folder),
        broken: [...folder.broken.keys()],
        nameOfClass: (label) => `identity folder ${folder.identity(label)}`,
        contentKey: () => folder.contentKey(pace),
        contentDigest: (lanes) =>
          digestOfFiles({
            kind: 'folder',
            count: folder.size,
            fileAt: (index) => ({
              name: relative(spec.path, folder.path(index)),
              path: folder.path(index),
              isReadable: !folder.broken.has(index),
            }),
            lanes,
            pace,
          }),
        close: async () => undefined,
      };
    }
    case 'recordio': {
      const set = await openRecordSet(spec.path, {
        ...options,
        ...(spec.labels === undefined ? {} : { labels: spec.labels }),
      });
      return {
        ...stored(set.read, (index) => `key ${set.key(index)} of ${set.file.path}`),
        size: set.size,
        classes: set.classes,
        rises: rises(set),
        label: set.label,
        labelMap: set.labelMap,
        table: set.table,
        broken: set.table.broken.map(({ index }) => index),
        nameOfClass: (label) => `class ${label} of ${spec.path}`,
        contentKey: async () => identityKey([set.table.identity, packIdentity(spec.path)]),
        async contentDigest(lanes) {
          const names = PACK_FILES.filter((name) => existsSync(join(spec.path, name)));
          return digestOfFiles({
            kind: 'recordio',
            count: names.length,
            fileAt: (index) => ({
              name: names[index]!,
              path: join(spec.path, names[index]!),
              isReadable: true,
            }),
            totalBytes: names.reduce((sum, name) => sum + statSync(join(spec.path, name)).size, 0),
            lanes,
            pace: options.pace ?? createProgressPace(),
          });
        },
        close: set.close,
      };
    }
  }
}

function rises({ size, label }: { readonly size: number; label(index: number): number }): boolean {
  for (let i = 0, before = 0; i < size; i++) {
    const now = label(i);
    if (now < before) return false;
    before = now;
  }
  return true;
}

/** Stored images; one that cannot be decoded is an error that names it. */
function stored(encoded: (index: number) => Promise<Uint8Array>, nameOf: (index: number) => string) {
  async function decoded(index: number): Promise<Pixels> {
    try {
      // The image library is loaded with the first image, because many callers need labels alone.
      const { decodeImage } = await import('./images/image.ts');
      return await decodeImage(await encoded(index));
    } catch (caught) {
      // Errors of reading the file name it already.
      const error = toFleetError(caught);
      throw error.message.startsWith('data.path:')
        ? error
        : toFleetError(error, `data.path: image ${printable(nameOf(index))}`);
    }
  }
  return {
    encoded,
    nameOf,
    decoded,
    read: async (index: number, into: Uint8Array) => fitSquare(await decoded(index), into),
  };
}
