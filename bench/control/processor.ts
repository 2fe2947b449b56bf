// Processor time of this process: what decides on a machine that has other work.

import { readFileSync } from 'node:fs';

/** Milliseconds of processor time, user and system, that this process has used so far. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/**
 * Milliseconds of processor time that the calling thread has used, so that the threads beside it, which collect garbage
 * and compile, are counted apart; its own pauses for that are in it. The kernel counts at each of its ticks, some
 * milliseconds apart. Without such a count, on another system than Linux, that of the process.
 */
export function threadMs(): number {
  try {
    return Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[0]) / 1e6;
  } catch {
    return cpuMs();
  }
}

/** The value at this share of the sorted values, 0 to 1. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
}
