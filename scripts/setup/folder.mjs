// The folder of the cache, made before anything is put there. Node's recursive mkdir is not used: on a file
// system that takes no folders (/proc) it never returns, and no signal ends it.

import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { SetupError } from './report.mjs';

/** Makes it and those above it, unless they are there. */
export function makeCacheFolder(folder) {
  try {
    make(folder);
  } catch (caught) {
    throw new SetupError(
      `the cache folder ${folder} cannot be made (${caught.message}): name another with XDG_CACHE_HOME.`,
    );
  }
}

function make(folder) {
  try {
    mkdirSync(folder);
  } catch (caught) {
    if (statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return;
    if (caught.code !== 'ENOENT' || dirname(folder) === folder) throw caught;
    make(dirname(folder));
    // Refused once more, this is no matter of what is above; made in between by another process, it is there.
    if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) mkdirSync(folder);
  }
}
