// An image folder: one folder for each identity, with images in it. Decides what is an identity, what is an
// image, and the order of both (natural: s2 before s10), because labels and held-out identities depend on it.
// Counts what is passed over, so that no image is missing without a word.

import { existsSync, type Stats } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { FleetError, toFleetError } from '../errors.ts';
import { ANYWHERE, type Roots } from '../system/file-access.ts';
import { printable } from '../text/printable.ts';
import { fileIdentityIfAny, startIdentity } from './inspection/set-identity.ts';
import { createProgressPace, type ProgressPace } from './progress-pace.ts';
import { admitLink } from './set-files.ts';

/** Files of one extension that are no images here. */
export interface PassedOver {
  /** `.bmp`; empty: no extension; `folder`: a folder. */
  readonly extension: string;
  readonly count: number;
  /** The first of them, below the set's folder. */
  readonly example: string;
}

export interface FolderSet {
  readonly size: number;
  readonly classes: number;
  label(index: number): number;
  /** Folder of a class. */
  identity(label: number): string;
  path(index: number): string;
  read(index: number): Promise<Buffer>;
  /** Images by name that cannot be read, each with what is wrong. */
  readonly broken: ReadonlyMap<number, string>;
  /** Files in the folders of identities that are no images, by extension. */
  readonly passedOver: readonly PassedOver[];
  /** Images beside the folders of identities, which have no identity. */
  readonly beside: readonly string[];
  /** 64 hex digits; equal as long as every file is where it was, with its size and time of change. */
  contentKey(pace: ProgressPace): Promise<string>;
}

/** Extensions of the formats that are decoded, in lower case; a file's own may be in any. */
const EXTENSIONS: ReadonlySet<string> = new Set([
  ...['.pgm', '.ppm', '.pnm', '.png', '.webp'],
  ...['.jpg', '.jpeg', '.jpe', '.jfif', '.jif', '.pjpeg', '.pjp'],
]);
const FORMATS = 'PGM, PPM, PNG, JPEG and WebP';

/**
 * Names that begin with a dot are passed over without being counted. `roots`: folders beneath which links may
 * lead; without them everywhere.
 */
export async function openFolderSet(
  path: string,
  pace: ProgressPace = createProgressPace(),
  roots: Roots = ANYWHERE,
): Promise<FolderSet> {
  const found: Found = { names: [], labels: [], broken: new Map(), others: new Map() };
  if (!(await statIfAny(path))?.isDirectory()) throw wrong(`there is no folder ${path}`);
  const { identities, beside } = await topLevel(path, roots);
  if (identities.length === 0)
    throw wrong(`folder ${path} has no identity: one folder for each person is expected in it`);
  for (const [label, identity] of identities.entries()) {
    await addImages(found, { path, roots }, identity, label);
    await pace.step({ doing: 'listing folders', done: label, total: identities.length, unit: 'identities' });
  }
  const { names, broken } = found;
  const labels = Uint32Array.from(found.labels);
  const pathOf = (index: number) => join(path, identities[labels[index]!]!, names[index]!);
  return {
    size: names.length,
    classes: identities.length,
    label: (index) => labels[index]!,
    identity: (label) => join(path, identities[label]!),
    path: pathOf,
    async read(index) {
      const reason = broken.get(index);
      if (reason !== undefined) throw new FleetError('invalidArgument', reason);
      return readFile(pathOf(index)).catch((caught: unknown) => {
        throw toFleetError(caught, `data.path: image ${printable(pathOf(index))}`);
      });
    },
    broken,
    passedOver: [...found.others.values()].sort((a, b) => b.count - a.count),
    beside,
    async contentKey(pace) {
      const content = startIdentity();
      for (let index = 0; index < names.length; index++) {
        const broken = found.broken.has(index);
        content.add(
          `${identities[labels[index]!]}/${names[index]} ${broken ? 'broken' : fileIdentityIfAny(pathOf(index))}`,
        );
        await pace.step({ doing: 'looking at files', done: index, total: names.length, unit: 'images' });
      }
      return content.key();
    },
  };
}

interface Found {
  readonly names: string[];
  readonly labels: number[];
  readonly broken: Map<number, string>;
  readonly others: Map<string, { extension: string; count: number; example: string }>;
}

async function topLevel(path: string, roots: Roots): Promise<{ identities: string[]; beside: string[] }> {
  const identities: string[] = [];
  const beside: string[] = [];
  for (const entry of await entriesOf(path)) {
    const at = join(path, entry.name);
    const target = entry.isSymbolicLink() ? await followed(at, roots) : entry;
    if (typeof target === 'string') throw wrong(`${at} ${target}`);
    if (target.isDirectory()) {
      if (!isUtf8Name(at)) throw wrong(`folder ${at} cannot be opened: ${NOT_UTF8}`);
      identities.push(entry.name);
    } else if (isImageName(entry.name)) beside.push(entry.name);
  }
  return { identities: identities.sort(naturalOrder), beside };
}

async function addImages(
  found: Found,
  { path, roots }: { readonly path: string; readonly roots: Roots },
  identity: string,
  label: number,
): Promise<void> {
  const folder = join(path, identity);
  const images: { name: string; reason: string | undefined }[] = [];
  const others: Found['others'] = new Map();
  for (const entry of await entriesOf(folder)) {
    if (entry.isDirectory() || !isImageName(entry.name)) {
      const sort = entry.isDirectory() ? FOLDER : extname(entry.name).toLowerCase();
      for (const counts of [others, found.others]) count(counts, sort, `${identity}/${entry.name}`);
      continue;
    }
    images.push({ name: entry.name, reason: await whyUnreadable(join(folder, entry.name), entry, roots) });
  }
  if (images.length === 0)
    throw wrong(
      `identity folder ${folder} has no image (${[...EXTENSIONS].join(', ')})${others.size > 0 ? `, only ${sortsText([...others.values()])}` : ''}`,
    );
  for (const { name, reason } of images.sort((a, b) => naturalOrder(a.name, b.name))) {
    if (reason !== undefined) found.broken.set(found.names.length, reason);
    found.names.push(name);
    found.labels.push(label);
  }
}

/** Stands in the place of an extension for a folder. */
const FOLDER = 'folder';

const isImageName = (name: string): boolean => EXTENSIONS.has(extname(name).toLowerCase());

function count(others: Found['others'], extension: string, example: string): void {
  const known = others.get(extension);
  if (known === undefined) others.set(extension, { extension, count: 1, example });
  else known.count += 1;
}

type Kind = Pick<Stats, 'isDirectory' | 'isFile'>;

/** Reading a pipe or a device could wait without end. */
async function whyUnreadable(
  path: string,
  entry: Kind & { isSymbolicLink(): boolean },
  roots: Roots,
): Promise<string | undefined> {
  const target = entry.isSymbolicLink() ? await followed(path, roots) : entry;
  if (typeof target === 'string') return target;
  if (!target.isFile()) return 'is not a regular file';
  return isUtf8Name(path) ? undefined : NOT_UTF8;
}

const NOT_UTF8 = 'its name is not UTF-8; rename it';

/** A name that is not UTF-8 arrives with U+FFFD in it, and no file has that name. */
const isUtf8Name = (path: string): boolean => !path.includes('\ufffd') || existsSync(path);

/** What a link leads to, or what is wrong with it. */
async function followed(path: string, roots: Roots): Promise<Kind | string> {
  await admitLink(path, roots);
  try {
    return await stat(path);
  } catch (caught) {
    const { code } = caught as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR')
      return 'is a link to something that is not there; repair or remove it';
    if (code === 'ELOOP') return 'is a link that leads to itself; repair or remove it';
    throw toFleetError(caught, `data.path: ${printable(path)}`);
  }
}

async function statIfAny(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (caught) {
    const { code } = caught as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw toFleetError(caught, `data.path: folder ${printable(path)}`);
  }
}

async function entriesOf(path: string) {
  const entries = await readdir(path, { withFileTypes: true }).catch((caught: unknown) => {
    throw toFleetError(caught, `data.path: folder ${printable(path)}`);
  });
  return entries.filter((entry) => !entry.name.startsWith('.'));
}

/** What was passed over and which images have no identity, as sentences. */
export function folderNotes({ passedOver, beside }: Pick<FolderSet, 'passedOver' | 'beside'>): string[] {
  const notes: string[] = [];
  const total = passedOver.reduce((sum, { count }) => sum + count, 0);
  if (total > 0) {
    notes.push(
      `${total} ${total === 1 ? 'entry' : 'entries'} beside the images of people ${total === 1 ? 'was' : 'were'} passed over: ${sortsText(passedOver)} (the first: ${printable(passedOver[0]!.example)}); ${FORMATS} are read`,
    );
  }
  if (beside.length > 0)
    notes.push(
      `${beside.length} ${beside.length === 1 ? 'image lies' : 'images lie'} beside the folders of people and ${beside.length === 1 ? 'belongs' : 'belong'} to nobody (the first: ${printable(beside[0]!)})`,
    );
  return notes;
}

/** How many of each extension. */
function sortsText(sorts: readonly PassedOver[]): string {
  const texts = sorts.map(({ extension, count }) => {
    if (extension === FOLDER) return count === 1 ? '1 folder' : `${count} folders`;
    return `${count} ${extension === '' ? 'without extension' : printable(extension)}`;
  });
  return (texts.length > 8 ? [...texts.slice(0, 8), `${texts.length - 8} more sorts`] : texts).join(', ');
}

/**
 * Numbers within names compare by value, all else by code unit: the same on every machine, whatever its
 * locale.
 */
export function naturalOrder(a: string, b: string): number {
  const partsA = a.match(/\d+|\D+/g) ?? [];
  const partsB = b.match(/\d+|\D+/g) ?? [];
  for (let i = 0; i < Math.min(partsA.length, partsB.length); i++) {
    const order = compareParts(partsA[i]!, partsB[i]!);
    if (order !== 0) return order;
  }
  // Equal by value, as 1 and 01 are: by text, so that the order is total.
  return partsA.length - partsB.length || compareText(a, b);
}

function compareParts(a: string, b: string): number {
  if (!/^\d/.test(a) || !/^\d/.test(b)) return compareText(a, b);
  const [x, y] = [a.replace(/^0+(?=\d)/, ''), b.replace(/^0+(?=\d)/, '')];
  return x.length - y.length || compareText(x, y);
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function wrong(what: string): FleetError {
  return new FleetError('invalidArgument', `data.path: ${printable(what)}`, {
    details: { field: 'data.path' },
  });
}
