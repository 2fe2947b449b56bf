// The arguments with which Node runs a file of this repository: TypeScript needs a loader, compiled files
// need none.

import { fileURLToPath } from 'node:url';
import { RUNS_TYPESCRIPT } from './places.ts';

/**
 * Arguments that run a module. `file`: the module as `new URL('./name.ts', import.meta.url)`; a build makes
 * `.js` of it.
 */
export function scriptArguments(file: URL): string[] {
  return [...loaderArguments(), fileURLToPath(file)];
}

/** Arguments that let Node load modules of this tree in the form in which this one runs. */
export function loaderArguments(): string[] {
  return RUNS_TYPESCRIPT ? ['--import', import.meta.resolve('tsx')] : [];
}
