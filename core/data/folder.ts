// An image folder: one folder an identity, images within. Decides what is an identity, what is an image, and their order
// (natural: s2 before s10), on which labels and the held-out identities depend. Bytes become pixels in image.ts.

import { readdir, readFile, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { FleetError, toFleetError } from '../errors.ts';

export interface FolderSet {
  readonly size: number;
  readonly classes: number;
  label(index: number): number;
  path(index: number): string;
  read(index: number): Promise<Buffer>;
}

const EXTENSIONS: ReadonlySet<string> = new Set(['.pgm', '.ppm', '.png', '.jpg', '.jpeg', '.webp']);

/** Folders and images whose names begin with a dot, and files of other kinds (notes, thumbnails), are passed over. */
export async function openFolderSet(path: string): Promise<FolderSet> {
  if (!(await stat(path).catch(() => undefined))?.isDirectory()) throw wrong(`there is no folder ${path}`);
  const identities = await subfolders(path);
  if (identities.length === 0)
    throw wrong(`folder ${path} has no identity: one folder for each person is expected in it`);
  const names: string[] = [];
  const labels: number[] = [];
  for (const [label, identity] of identities.entries()) {
    const images = await imagesIn(join(path, identity));
    if (images.length === 0)
      throw wrong(`identity folder ${join(path, identity)} has no image (${[...EXTENSIONS].join(', ')})`);
    for (const image of images) {
      names.push(image);
      labels.push(label);
    }
  }
  const pathOf = (index: number) => join(path, identities[labels[index]!]!, names[index]!);
  return {
    size: names.length,
    classes: identities.length,
    label: (index) => labels[index]!,
    path: pathOf,
    read: (index) =>
      readFile(pathOf(index)).catch((caught: unknown) => {
        throw toFleetError(caught, `data.path: image ${pathOf(index)}`);
      }),
  };
}

async function subfolders(path: string): Promise<string[]> {
  const names: string[] = [];
  for (const entry of await entriesOf(path))
    if (entry.isDirectory() || (entry.isSymbolicLink() && (await stat(join(path, entry.name))).isDirectory()))
      names.push(entry.name);
  return names.sort(naturalOrder);
}

async function imagesIn(path: string): Promise<string[]> {
  return (await entriesOf(path))
    .filter((entry) => !entry.isDirectory() && EXTENSIONS.has(extname(entry.name).toLowerCase()))
    .map((entry) => entry.name)
    .sort(naturalOrder);
}

async function entriesOf(path: string) {
  const entries = await readdir(path, { withFileTypes: true }).catch((caught: unknown) => {
    throw toFleetError(caught, `data.path: folder ${path}`);
  });
  return entries.filter((entry) => !entry.name.startsWith('.'));
}

/** Numbers within names compare by value, all else by code unit: the same on every machine, whatever its locale. */
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
  return new FleetError('invalidArgument', `data.path: ${what}`, { details: { field: 'data.path' } });
}
