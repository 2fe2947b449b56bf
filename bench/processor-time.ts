// Processor time of other processes, as the kernel counts it.

import { readFileSync } from 'node:fs';

/** Of the kernel's clock in /proc; the same on every Linux that Node supports. */
export const TICKS_PER_SECOND = 100;

/** User and system time of the processes so far, in seconds, all threads. Throws where a process has gone. */
export function cpuSeconds(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    // The name in the second field may have spaces and brackets of its own.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ');
    return sum + (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  }, 0);
}
