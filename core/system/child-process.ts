// Starts a file of this repository as a child process that is talked to by messages. Decides only how the child gets the loader of
// TypeScript, and that it ends with its parent; what is said is the caller's. A child, and not a thread, is for work that may hang in
// the kernel: neither such a thread nor the process around it can be ended by anything but SIGKILL.

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { childEnvironment } from '../config.ts';

/** `file`: the module beside the caller's, as `new URL('./name.ts', import.meta.url)`; `.ts` becomes `.js` in a build. */
export function startChild(
  file: URL,
  options: { readonly heapMiB: number; readonly environment?: Readonly<Record<string, string>> },
): ChildProcess {
  const typeScript = import.meta.url.endsWith('.ts');
  const path = fileURLToPath(file);
  return fork(typeScript ? path : path.replace(/\.ts$/, '.js'), [], {
    execArgv: [
      `--max-old-space-size=${options.heapMiB}`,
      // Young objects are copied between two spaces that take 48 MiB at their default size.
      '--max-semi-space-size=4',
      ...(typeScript ? ['--import', import.meta.resolve('tsx')] : []),
    ],
    env: childEnvironment(options.environment ?? {}),
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
}

/** What Node is started with to run a file of this repository that is not talked to. */
export function scriptArguments(file: URL): string[] {
  const path = fileURLToPath(file);
  return import.meta.url.endsWith('.ts')
    ? ['--import', import.meta.resolve('tsx'), path]
    : [path.replace(/\.ts$/, '.js')];
}

/** In the child: takes each message, and ends with the parent. */
export function serveParent<Request>(take: (request: Request) => void): { send(message: object): void } {
  if (process.send === undefined) throw new Error('assertion: this module runs as a child process');
  process.on('message', take);
  process.on('disconnect', () => process.exit(0));
  // A terminal sends Ctrl-C to all its processes; when this one ends is its parent's to decide.
  process.on('SIGINT', () => undefined);
  return {
    send: (message) => {
      if (process.connected) process.send?.(message);
    },
  };
}
