// What becomes of a program when nobody reads what it writes: a pipe whose reader has ended, a terminal that was closed, a
// full disk under a log file. Losing a listener never ends work, so failures to write talk are passed over; what becomes of
// lost data is the command line's decision.

import { closeSync, openSync } from 'node:fs';
import { isatty } from 'node:tty';

/** To be called once, before a program writes anything; it holds for what libraries write to stderr as well. */
export function outliveListeners(): void {
  process.stderr.on('error', () => undefined);
  const terminals = [0, 1, 2].filter((descriptor) => isatty(descriptor));
  process.once('exit', () => {
    for (const descriptor of terminals) if (!isatty(descriptor)) replaceByNothing(descriptor);
  });
}

/**
 * At its end Node restores the settings of each terminal that it was started at, and aborts when such a terminal has gone
 * since; it passes over descriptors that lead elsewhere by then. The lowest free descriptor is the one that open() takes.
 */
function replaceByNothing(descriptor: number): void {
  closeSync(descriptor);
  openSync('/dev/null', 'r+');
}
