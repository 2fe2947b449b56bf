// The command lines that start the programs of this package: compiled, or from TypeScript through tsx,
// whichever runs now.

import { join } from 'node:path';
import { PROGRAMS, RUNS_TYPESCRIPT } from '../../../core/system/places.ts';
import { loaderArguments } from '../../../core/system/script-arguments.ts';

export interface ProgramCommand {
  readonly command: string;
  readonly args: readonly string[];
}

export function programCommand(program: 'coordinator' | 'worker'): ProgramCommand {
  return startOf(`${program}/main`);
}

/** The process that verifies a model file; it loads TensorFlow, which the CLI never does. */
export function verifyFileCommand(): ProgramCommand {
  return startOf('worker/verification/verify-file');
}

/** The process that scores a network at its initial weights. */
export function scoreNetworkCommand(): ProgramCommand {
  return startOf('worker/requests/score-network');
}

/** The CLI itself, for `up --detach`. */
export function cliCommand(): ProgramCommand {
  return startOf('coordinator/cli/main');
}

/** `module`: path from the root without extension. */
function startOf(module: string): ProgramCommand {
  return {
    command: process.execPath,
    args: [...loaderArguments(), join(PROGRAMS, `${module}.${RUNS_TYPESCRIPT ? 'ts' : 'js'}`)],
  };
}
