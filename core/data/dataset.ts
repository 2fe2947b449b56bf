// A data set, whatever it is made of: images with labels in two splits, training and held out. Decides which identities are
// held out (the last `holdout` in their order) and refuses a set with too few; where images come from is folder.ts', record-set.ts'
// and synthetic/'s, whether every image is sound is inspect.ts'.

import { FleetError, toFleetError } from '../errors.ts';
import type { DataSpec } from '../spec.ts';
import { openFolderSet } from './folder.ts';
import { readImage } from './image.ts';
import { openRecordSet } from './record-set.ts';
import { createRenderer } from './synthetic/renderer.ts';

export interface Split {
  readonly size: number;
  /** Class of an image: 0..classes-1 in training, 0..holdout-1 among the held out. */
  label(index: number): number;
  /** Writes 112 x 112 RGB bytes. */
  read(index: number, into: Uint8Array): Promise<void>;
  /** What a person would look for: a file, a record's key, or the numbers of a synthetic image. */
  nameOf(index: number): string;
  /** Encoded bytes, where images are stored; undefined where they are drawn. */
  encoded?(index: number): Promise<Uint8Array>;
}

export interface Dataset {
  readonly training: Split;
  readonly heldOut: Split;
  /** Identities of the training split. */
  readonly classes: number;
  readonly heldOutIdentities: number;
  close(): Promise<void>;
}

/** A source before it is split: labels are 0..classes-1. */
interface Source {
  readonly size: number;
  readonly classes: number;
  label(index: number): number;
  read(index: number, into: Uint8Array): Promise<void>;
  nameOf(index: number): string;
  encoded?(index: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

export async function openDataset(spec: DataSpec): Promise<Dataset> {
  const source = await openSource(spec);
  try {
    return splitSource(source, spec.holdout);
  } catch (caught) {
    await source.close();
    throw caught;
  }
}

function splitSource(source: Source, holdout: number): Dataset {
  // Training a classifier needs two classes.
  if (source.classes < holdout + 2)
    throw new FleetError(
      'invalidArgument',
      `data.holdout: ${source.classes} identities, of which ${holdout} are to be held out, leave ${Math.max(0, source.classes - holdout)} for training; at least 2 are needed`,
      { details: { field: 'data.holdout' } },
    );
  const classes = source.classes - holdout;
  const training: number[] = [];
  const heldOut: number[] = [];
  for (let i = 0; i < source.size; i++) (source.label(i) < classes ? training : heldOut).push(i);
  return {
    training: splitOf(source, Uint32Array.from(training), 0),
    heldOut: splitOf(source, Uint32Array.from(heldOut), classes),
    classes,
    heldOutIdentities: holdout,
    close: () => source.close(),
  };
}

function splitOf(source: Source, indices: Uint32Array, firstLabel: number): Split {
  const at = (index: number) => {
    const found = indices[index];
    if (found === undefined)
      throw new FleetError('outOfRange', `image ${index} of a split with ${indices.length} images`);
    return found;
  };
  return {
    size: indices.length,
    label: (index) => source.label(at(index)) - firstLabel,
    read: (index, into) => source.read(at(index), into),
    nameOf: (index) => source.nameOf(at(index)),
    ...(source.encoded === undefined ? {} : { encoded: (index: number) => source.encoded!(at(index)) }),
  };
}

async function openSource(spec: DataSpec): Promise<Source> {
  switch (spec.kind) {
    case 'synthetic': {
      const renderer = createRenderer({ seed: spec.seed, difficulty: spec.difficulty });
      return {
        size: spec.identities * spec.images,
        classes: spec.identities,
        label: (index) => Math.floor(index / spec.images),
        read: async (index, into) =>
          renderer.render(Math.floor(index / spec.images), index % spec.images, into),
        nameOf: (index) =>
          `synthetic identity ${Math.floor(index / spec.images)}, image ${index % spec.images}`,
        close: async () => undefined,
      };
    }
    case 'folder': {
      const folder = await openFolderSet(spec.path);
      return stored(folder, {
        encoded: folder.read,
        nameOf: folder.path,
        close: async () => undefined,
      });
    }
    case 'recordio': {
      const set = await openRecordSet(spec.path);
      return stored(set, {
        encoded: set.read,
        nameOf: (index) => `key ${set.key(index)} of ${set.file.path}`,
        close: set.close,
      });
    }
  }
}

/** A source of encoded images; an image that cannot be decoded is an error that names it. */
function stored(
  set: { readonly size: number; readonly classes: number; label(index: number): number },
  io: {
    encoded(index: number): Promise<Uint8Array>;
    nameOf(index: number): string;
    close(): Promise<void>;
  },
): Source {
  return {
    size: set.size,
    classes: set.classes,
    label: set.label,
    ...io,
    async read(index, into) {
      const bytes = await io.encoded(index);
      await readImage(bytes, into).catch((caught: unknown) => {
        throw toFleetError(caught, `data.path: image ${io.nameOf(index)}`);
      });
    },
  };
}
