// How long some work holds up the event loop.

import { readFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';

/** How often the work is done: other things of this process, such as a collection of garbage, fall on one of them. */
const ATTEMPTS = 5;

/**
 * The longest turn of the event loop while the work is done, milliseconds of processor; the least of several
 * attempts, so that it is the work's own.
 */
export async function longestTurnMs(work: () => Promise<unknown>): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) least = Math.min(least, await longestOf(work));
  return least;
}

async function longestOf(work: () => Promise<unknown>): Promise<number> {
  let longest = 0;
  let ended = false;
  await nextTurn();
  let before = processorMs();
  const measure = () => {
    longest = Math.max(longest, processorMs() - before);
    before = processorMs();
  };
  const working = work().finally(() => {
    ended = true;
  });
  while (!ended) {
    await nextTurn();
    measure();
  }
  await working;
  return longest;
}

/** Of this thread alone where the system tells it: collectors of garbage and compilers have threads of their own. */
function processorMs(): number {
  try {
    return Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[0]) / 1e6;
  } catch {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1_000;
  }
}
