// Which files of a data set may be opened: regular files beneath the roots, after links are resolved. A set
// may lie in a folder that others can write to, and a link in it may lead anywhere.

import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { FleetError } from '../errors.ts';
import type { DataSpec } from '../spec/data.ts';
import { admittedPath, assertRegular, type Roots } from '../system/file-access.ts';
import { PACK_FILES } from './packs/record-table.ts';

const WHAT = 'data.path';

/**
 * Refuses a set that lies outside the roots with its folder or with a file of its pack. Links inside a folder
 * of images are admitted one by one.
 */
export async function admitSet(data: Exclude<DataSpec, { kind: 'synthetic' }>, roots: Roots): Promise<void> {
  await guarded(() => admittedPath(data.path, { roots, what: WHAT }));
  if (data.kind !== 'recordio') return;
  for (const name of PACK_FILES) {
    const path = join(data.path, name);
    if ((await lstat(path).catch(() => undefined)) !== undefined) await guarded(() => admitFile(path, roots));
  }
}

/** Refuses a link that leads out of the roots. */
export async function admitLink(path: string, roots: Roots): Promise<void> {
  if (roots.length > 0) await guarded(() => admittedPath(path, { roots, what: WHAT }));
}

async function admitFile(path: string, roots: Roots): Promise<void> {
  await assertRegular(await admittedPath(path, { roots, what: WHAT }), WHAT);
}

/** A file that is missing or broken passes here; reading the set refuses it with the words of its kind. */
async function guarded(admit: () => Promise<unknown>): Promise<void> {
  try {
    await admit();
  } catch (caught) {
    if (!(caught instanceof FleetError)) throw caught;
    if (caught.code === 'permissionDenied' || caught.code === 'invalidArgument')
      throw new FleetError(caught.code, caught.message, { cause: caught, details: { field: WHAT } });
  }
}
