// Where a test finds real photographs of faces, a folder a person. They are no part of the repository. Decides where they
// are looked for: where PHOTOGRAPHS says, else in `shared/data/att_faces` of the checkout or beside it.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PACKAGE_ROOT } from '../../core/system/places.ts';

/** The folder; undefined where this machine has none. */
export function photographs(): string | undefined {
  const named = process.env.PHOTOGRAPHS ?? '';
  const places =
    named === '' ? ['.', '..'].map((at) => join(PACKAGE_ROOT, at, 'shared/data/att_faces')) : [named];
  return places.find((place) => existsSync(place));
}

/** Why a test that needs them is skipped, as an option of `test`; false where it is not. */
export const withoutPhotographs = (): string | false =>
  photographs() === undefined ? 'no photographs: PHOTOGRAPHS names a folder with a folder a person' : false;
