// How the programs of this package are started: from TypeScript through tsx, or compiled, as this file itself runs.

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface ProgramCommand {
  readonly command: string;
  readonly args: readonly string[];
}

const here = fileURLToPath(import.meta.url);
const isTypeScript = here.endsWith('.ts');

/** Folder that holds `coordinator/` and `worker/` in the form that runs now (the clone, or `dist`). */
const PROGRAMS = join(dirname(here), '..', '..');
/** Folder of package.json. */
export const PACKAGE_ROOT = isTypeScript ? PROGRAMS : join(PROGRAMS, '..');

export function programCommand(program: 'coordinator' | 'worker'): ProgramCommand {
  const main = join(PROGRAMS, program, isTypeScript ? 'main.ts' : 'main.js');
  return { command: process.execPath, args: [...tsx(), main] };
}

/** The process that verifies a model file; it loads TensorFlow, which the CLI never does. */
export function verifyFileCommand(): ProgramCommand {
  const script = join(PROGRAMS, 'worker', isTypeScript ? 'verify-file.ts' : 'verify-file.js');
  return { command: process.execPath, args: [...tsx(), script] };
}

/** The CLI itself, for `up --detach`. */
export function cliCommand(): ProgramCommand {
  const main = join(dirname(here), isTypeScript ? 'main.ts' : 'main.js');
  return { command: process.execPath, args: [...tsx(), main] };
}

function tsx(): string[] {
  return isTypeScript ? ['--import', import.meta.resolve('tsx')] : [];
}
