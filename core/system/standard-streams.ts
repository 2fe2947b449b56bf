// What becomes of a program when nobody reads what it writes: the reader of a pipe has ended, a terminal was
// closed, the disk under a log file is full. Decides that work goes on: a failed write of messages is no
// reason to end it.

import { closeSync, openSync } from 'node:fs';
import { isatty } from 'node:tty';

/** Called once, before a program writes anything. It covers what libraries write to stderr as well. */
export function outliveListeners(): void {
  process.stderr.on('error', () => undefined);
  const terminals = [0, 1, 2].filter((descriptor) => isatty(descriptor));
  process.once('exit', () => {
    for (const descriptor of terminals) if (!isatty(descriptor)) replaceByNothing(descriptor);
  });
}

/**
 * Points the descriptor of a closed terminal to /dev/null. At its end Node restores the settings of each
 * terminal that it was started at, aborts when one has gone since, and skips descriptors that lead elsewhere
 * by then. `open` takes the lowest free descriptor, so closing one and opening /dev/null replaces it.
 */
function replaceByNothing(descriptor: number): void {
  closeSync(descriptor);
  openSync('/dev/null', 'r+');
}
