// A copy of what set-up needs of the tree, in which a test may break things.

import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { PACKAGE_ROOT } from '../../core/system/places.ts';

const PARTS = ['scripts', 'core/tensor/native', 'core/system/native', 'package.json', 'package-lock.json'];

/** Copies it into the folder `clone`. */
export function copySetUp(clone: string): void {
  for (const name of PARTS) cpSync(join(PACKAGE_ROOT, name), join(clone, name), { recursive: true });
}
