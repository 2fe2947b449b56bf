// MegaFace's files: features in the devkit's binary form (four little-endian int32, then float32), the
// devkit's lists of images, and lists of noisy images. Decides what a well-formed one is.

import { readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { FleetError } from '../../errors.ts';
import { ANYWHERE, readRegular } from '../../system/file-access.ts';
import { makeFolder } from '../../system/folder.ts';
import { readListedImage } from './listed-image.ts';
import { lineBatches } from './text-lines.ts';

const HEADER_BYTES = 16;
/** Bytes of a float32, and OpenCV's type code of one channel of them. */
const FLOAT_BYTES = 4;
const FLOAT_CODE = 5;

const FEATURE_BYTES_MAX = 1 << 20;
/** Bytes of a list; those of a million distractors have 60 MB. */
const LIST_BYTES_MAX = 512 << 20;

/** The name that the devkit expects beside an image. */
export function featurePath(image: string, algorithm: string): string {
  return `${image}_${algorithm}.bin`;
}

export function encodeFeature(feature: Float32Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + FLOAT_BYTES * feature.length);
  const view = new DataView(bytes.buffer);
  [feature.length, 1, FLOAT_BYTES, FLOAT_CODE].forEach((value, i) => {
    view.setInt32(4 * i, value, true);
  });
  feature.forEach((value, i) => {
    view.setFloat32(HEADER_BYTES + 4 * i, value, true);
  });
  return bytes;
}

/** `where` names the file in errors. */
export function decodeFeature(bytes: Uint8Array, where: string): Float32Array {
  if (bytes.length < HEADER_BYTES)
    throw new FleetError(
      'dataLoss',
      `${where} has ${bytes.length} bytes, a feature's header has ${HEADER_BYTES}`,
    );
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const [rows = 0, columns, size, code] = [0, 1, 2, 3].map((i) => view.getInt32(4 * i, true));
  if (rows < 1 || columns !== 1 || size !== FLOAT_BYTES || code !== FLOAT_CODE)
    throw new FleetError(
      'invalidArgument',
      `${where} is a ${rows}x${columns} matrix of ${size} bytes, type ${code}; a feature is Nx1 of 4 bytes, type 5`,
    );
  if (bytes.length !== HEADER_BYTES + FLOAT_BYTES * rows)
    throw new FleetError(
      'dataLoss',
      `${where} has ${bytes.length} bytes where ${rows} numbers make ${HEADER_BYTES + FLOAT_BYTES * rows}`,
    );
  return Float32Array.from({ length: rows }, (_, i) => view.getFloat32(HEADER_BYTES + 4 * i, true));
}

export async function readFeature(path: string): Promise<Float32Array> {
  const bytes = await readRegular(path, { roots: ANYWHERE, what: 'feature', bytesMax: FEATURE_BYTES_MAX });
  return decodeFeature(bytes, path);
}

export async function writeFeature(path: string, feature: Float32Array): Promise<void> {
  makeFolder(dirname(path));
  await writeFile(path, encodeFeature(feature));
}

/** An image of a list: its path below the images' folder, and the person; distractors have none. */
export interface ListedImage {
  readonly path: string;
  readonly person: string;
}

/**
 * The devkit's JSON, {"id": [...], "path": [...]}, or one path on each line, whose first folder is the
 * person.
 */
export async function readImageList(path: string): Promise<ListedImage[]> {
  if (!path.endsWith('.json')) return textList(path);
  const bytes = await readRegular(path, { roots: ANYWHERE, what: 'list', bytesMax: LIST_BYTES_MAX });
  const { id, path: paths } = parsedList(bytes.toString('utf8'), path);
  return paths.map((image, i) => ({ path: image, person: id?.[i] ?? personOf(image) }));
}

/** Names of noisy images, one on each line, with or without folder and extension; remarks follow a `#`. */
export async function readNoiseList(path: string): Promise<(image: string) => boolean> {
  const names = new Set<string>();
  for await (const lines of lineBatches(path))
    for (const line of lines) if (!line.startsWith('#')) names.add(withoutExtension(line.split(/\s+/)[0]!));
  return (image) => {
    const name = withoutExtension(image);
    return names.has(name) || names.has(name.slice(name.lastIndexOf('/') + 1));
  };
}

async function textList(path: string): Promise<ListedImage[]> {
  const images: ListedImage[] = [];
  for await (const lines of lineBatches(path))
    for (const line of lines) images.push({ path: line, person: personOf(line) });
  return images;
}

function parsedList(text: string, where: string): { id: string[] | undefined; path: string[] } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new FleetError('invalidArgument', `list ${where} is not JSON`, { cause });
  }
  const { id, path } = (value ?? {}) as { id?: unknown; path?: unknown };
  const isTexts = (list: unknown): list is string[] =>
    Array.isArray(list) && list.every((item) => typeof item === 'string');
  if (!isTexts(path) || (id !== undefined && (!isTexts(id) || id.length !== path.length)))
    throw new FleetError('invalidArgument', `list ${where} has no "path" texts with as many "id"`);
  return { id: id as string[] | undefined, path };
}

const personOf = (image: string): string => image.split('/')[0]!;
const withoutExtension = (image: string): string => image.replace(/\.[A-Za-z]{2,5}$/, '');

/**
 * The folder as InsightFace's test suite has it: images aligned already, text lists, and lists of noisy
 * images.
 */
export interface MegafaceSet {
  readonly probes: readonly ListedImage[];
  readonly distractors: number;
  /** Paths of distractors in batches; a million of them need not be in memory. */
  distractorPaths(): AsyncGenerator<readonly string[]>;
  readProbe(path: string): Promise<Uint8Array>;
  readDistractor(path: string): Promise<Uint8Array>;
  /** undefined where the folder has no noise lists. */
  readonly noise:
    | { readonly probe: (image: string) => boolean; readonly distractor: (image: string) => boolean }
    | undefined;
}

/** undefined where the folder is no MegaFace set. */
export async function openMegaface(folder: string): Promise<MegafaceSet | undefined> {
  const names = new Set(await readdir(folder).catch((): string[] => []));
  if (!names.has('facescrub_lst')) return undefined;
  for (const name of ['megaface_lst', 'facescrub_images', 'megaface_images'])
    if (!names.has(name)) throw new FleetError('notFound', `${folder} is a MegaFace set without ${name}`);
  const noisy = names.has('facescrub_noises.txt') && names.has('megaface_noises.txt');
  const list = join(folder, 'megaface_lst');
  let distractors = 0;
  for await (const lines of lineBatches(list)) distractors += lines.length;
  return {
    probes: await readImageList(join(folder, 'facescrub_lst')),
    distractors,
    distractorPaths: () => lineBatches(list),
    readProbe: (path) => readListedImage(join(folder, 'facescrub_images'), path),
    readDistractor: (path) => readListedImage(join(folder, 'megaface_images'), path),
    noise: noisy
      ? {
          probe: await readNoiseList(join(folder, 'facescrub_noises.txt')),
          distractor: await readNoiseList(join(folder, 'megaface_noises.txt')),
        }
      : undefined,
  };
}
