// Which signals stop a program. SIGINT and SIGTERM always do. SIGHUP means that a terminal was closed: it
// stops a program that was started at that terminal, and none that was started without one. Node resets the
// ignored SIGHUP that `nohup` leaves; but `nohup` also takes the terminal away from all three standard
// streams, and that is visible.

import { isatty } from 'node:tty';

/** Calls `listener` for each signal that stops; the returned function ends that. */
export function onStopSignals(listener: (signal: NodeJS.Signals) => void): () => void {
  const signals: readonly NodeJS.Signals[] = hasTerminal()
    ? ['SIGINT', 'SIGTERM', 'SIGHUP']
    : ['SIGINT', 'SIGTERM'];
  if (!hasTerminal()) outliveHangup();
  for (const signal of signals) process.on(signal, listener);
  return () => {
    for (const signal of signals) process.removeListener(signal, listener);
  };
}

/**
 * Lets a program that was started without a terminal go on after SIGHUP; others keep their handling of it.
 */
export function outliveHangup(): void {
  if (!hasTerminal() && !process.listeners('SIGHUP').includes(goOn)) process.on('SIGHUP', goOn);
}

function goOn(): void {}

/** Evaluated at the start: later, a terminal that has gone looks like any other file. */
function hasTerminal(): boolean {
  return [0, 1, 2].some((descriptor) => isatty(descriptor));
}
