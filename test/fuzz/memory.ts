// The memory of this process at its highest since it was last asked, from Linux. What a decoder takes for a
// moment and gives back is seen too.

import { readFileSync, writeFileSync } from 'node:fs';

/** Bytes. */
export interface Memory {
  /** The most that was resident since the last `beginMemory`. */
  readonly residentMax: number;
  /** Memory that is asked for, touched or not, now. */
  readonly virtual: number;
}

/** Forgets what was resident before, and gives what is there now. */
export function beginMemory(): Memory {
  // proc(5): 5 resets the peak of the resident set.
  writeFileSync('/proc/self/clear_refs', '5');
  return memoryNow();
}

/** Since the last `beginMemory`. */
export function memoryNow(): Memory {
  const status = readFileSync('/proc/self/status', 'latin1');
  return { residentMax: field(status, 'VmHWM'), virtual: field(status, 'VmSize') };
}

function field(status: string, name: string): number {
  const kib = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1];
  if (kib === undefined) throw new Error(`/proc/self/status has no ${name}`);
  return 1024 * Number(kib);
}
