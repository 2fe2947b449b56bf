// Instructions that the processor of this machine offers to this process, as the kernel lists them.

import { readFileSync } from 'node:fs';

/** Flags such as `avx512f`; empty where the system has no such list. */
export function cpuFlags(): ReadonlySet<string> {
  try {
    const line = readFileSync('/proc/cpuinfo', 'utf8').match(/^flags\s*:(.*)$/m);
    return new Set(line?.[1]?.trim().split(/\s+/) ?? []);
  } catch {
    return new Set();
  }
}
