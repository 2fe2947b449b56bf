// Starts a file of this repository as a child process that exchanges messages with its parent. Decides its
// memory, and that it ends with its parent. A child instead of a thread is for work that may hang in the
// kernel: nothing can end a thread that hangs there, and the process around it ends by SIGKILL alone.

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { childEnvironment } from '../config.ts';
import { loaderArguments } from './script-arguments.ts';

/**
 * `file`: the module beside the caller's, as `new URL('./name.ts', import.meta.url)`; a build makes `.js` of
 * it.
 */
export function startChild(
  file: URL,
  options: { readonly heapMiB: number; readonly environment?: Readonly<Record<string, string>> },
): ChildProcess {
  return fork(fileURLToPath(file), [], {
    execArgv: [
      `--max-old-space-size=${options.heapMiB}`,
      // Young objects are copied between two spaces that take 48 MiB at their default size.
      '--max-semi-space-size=4',
      ...loaderArguments(),
    ],
    env: childEnvironment(options.environment ?? {}),
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
}

/** Used in the child: `take` receives each message, and the process ends with its parent. */
export function serveParent<Request>(take: (request: Request) => void): { send(message: object): void } {
  if (process.send === undefined) throw new Error('assertion: this module runs as a child process');
  process.on('message', take);
  process.on('disconnect', () => process.exit(0));
  // A terminal sends Ctrl-C to all its processes; the parent decides when this one ends.
  process.on('SIGINT', () => undefined);
  return {
    send: (message) => {
      if (process.connected) process.send?.(message);
    },
  };
}
