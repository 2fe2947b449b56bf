// Starts a file of this repository as a worker thread, whether it is TypeScript (run by tsx) or compiled.
// Decides only how the thread gets the loader of TypeScript, which on Node 20 neither inheritance nor
// `--import` gives it.

import { Worker, type WorkerOptions } from 'node:worker_threads';

/**
 * `file`: the module beside the caller's, as `new URL('./name.ts', import.meta.url)`; a build makes `.js` of
 * it.
 */
export function startThread(
  file: URL,
  options: Pick<WorkerOptions, 'workerData' | 'name' | 'resourceLimits'>,
): Worker {
  if (!file.href.endsWith('.ts')) return new Worker(file, options);
  const loader = import.meta.resolve('tsx/esm/api');
  const script = `import { register } from ${JSON.stringify(loader)}; register(); await import(${JSON.stringify(file.href)});`;
  return new Worker(new URL(`data:text/javascript,${encodeURIComponent(script)}`), options);
}
