// Where this package lies on the disk. Decides how a program finds what belongs to it (package.json, proto/,
// the other programs), from TypeScript and compiled. No other module counts the folders above itself, so a
// move breaks one line.

import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(import.meta.url);

/** True where the modules that run are TypeScript, which needs a loader; false where they are compiled. */
export const RUNS_TYPESCRIPT: boolean = here.endsWith('.ts');

/** Folder of `core/`, `coordinator/`, `worker/` and `proto/` in the form that runs now. */
export const PROGRAMS: string = dirname(dirname(dirname(here)));

/**
 * Folder of package.json: that of the programs, or the one above where they are compiled into a folder of
 * their own.
 */
export const PACKAGE_ROOT: string = RUNS_TYPESCRIPT ? PROGRAMS : dirname(PROGRAMS);
