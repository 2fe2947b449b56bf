// A look at every image of whatever lies at a path: a pack, a folder of people, or a verification set.
// Decides which of them it is, and what the report of it contains.

import { stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { advised, FleetError, toFleetError } from '../../errors.ts';
import type { DataSpec } from '../../spec/data.ts';
import { readVerificationBin } from '../benchmarks/verification-bin.ts';
import { openSource, type Source } from '../dataset.ts';
import { type BadImage, checkImages } from '../images/image-check.ts';
import type { ProgressPace } from '../progress-pace.ts';
import type { DataCache } from './data-cache.ts';
import { fileIdentity, identityKey } from './set-identity.ts';

export interface CheckReport {
  readonly kind: 'recordio' | 'folder' | 'bin';
  readonly path: string;
  readonly images: number;
  /** Identities, or for a verification set pairs. */
  readonly classes: number;
  readonly bad: readonly BadImage[];
  /** Facts that are not about one image, as sentences. */
  readonly notes: readonly string[];
}

export async function checkPath(
  path: string,
  options: { readonly cache: DataCache; readonly pace: ProgressPace; readonly lanes: number },
): Promise<CheckReport> {
  const kind = await kindOf(path);
  const { cache, pace, lanes } = options;
  const source = await withoutField(() => (kind === 'bin' ? openBin(path) : openAny(path, kind, options)));
  try {
    const { bad, images, resized } = await checkImages(source, { all: true, lanes, cache, pace });
    return {
      kind,
      path,
      images,
      classes: source.classes,
      bad,
      notes: [
        ...(source.notes ?? []),
        ...(resized > 0 ? [`${resized} of ${images} images are not 112 x 112`] : []),
      ],
    };
  } finally {
    await source.close();
  }
}

/** Takes the field of a spec out of an error, because a path named alone is in no spec. */
async function withoutField<T>(open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (caught) {
    const error = toFleetError(caught);
    throw new FleetError(error.code, fieldless(error.message), { cause: caught, details: error.details });
  }
}

const fieldless = (message: string): string => message.replaceAll(/^data\.path: /gm, '');

async function kindOf(path: string): Promise<CheckReport['kind']> {
  const found = await stat(path).catch((caught: unknown) => {
    throw advised(toFleetError(caught, path), EXPECTED);
  });
  if (found.isFile() && extname(path).toLowerCase() === '.bin') return 'bin';
  if (found.isDirectory()) {
    const pack = await stat(join(path, 'train.rec')).catch(() => undefined);
    return pack === undefined ? 'folder' : 'recordio';
  }
  throw new FleetError('invalidArgument', `${path} is no data set: ${EXPECTED}`);
}

const EXPECTED = 'a folder of people, a folder with train.rec and train.idx, or a .bin file is expected';

/** Labels that strict numbering refuses are a note here: the images can be looked at all the same. */
async function openAny(
  path: string,
  kind: 'recordio' | 'folder',
  options: { readonly cache: DataCache; readonly pace: ProgressPace },
): Promise<Source> {
  const base = { path, holdout: 2 };
  const open = (spec: DataSpec) => openSource(spec, { ...options, allowBroken: true });
  if (kind === 'folder') return open({ kind, ...base });
  try {
    return await open({ kind, ...base });
  } catch (caught) {
    const source = await open({ kind, ...base, labels: 'renumber' }).catch(() => {
      throw caught;
    });
    return { ...source, notes: [...(source.notes ?? []), fieldless(toFleetError(caught).message)] };
  }
}

async function openBin(path: string): Promise<Source> {
  const { images, same } = await readVerificationBin(path);
  const elsewhere = async () => {
    throw new FleetError('internal', 'the images of a verification set are read where they are verified');
  };
  return {
    size: images.length,
    classes: same.length,
    rises: true,
    label: (index) => index >> 1,
    read: elsewhere,
    decoded: elsewhere,
    encoded: async (index) => images[index]!,
    nameOf: (index) => `image ${index} of ${path} (pair ${index >> 1})`,
    nameOfClass: (label) => `pair ${label}`,
    contentKey: async () => identityKey(['bin', fileIdentity(path)]),
    close: async () => undefined,
  };
}
