// What Node is started with to run a file of this repository: TypeScript needs a loader, compiled files need nothing.

import { fileURLToPath } from 'node:url';
import { RUNS_TYPESCRIPT } from './places.ts';

/** `file`: the module as `new URL('./name.ts', import.meta.url)`; a build makes `.js` of it. */
export function scriptArguments(file: URL): string[] {
  return [...loaderArguments(), fileURLToPath(file)];
}

/** What Node needs to run modules of this tree in the form in which this one runs. */
export function loaderArguments(): string[] {
  return RUNS_TYPESCRIPT ? ['--import', import.meta.resolve('tsx')] : [];
}
