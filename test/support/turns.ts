// How long some work holds up the event loop.

import { readFileSync } from 'node:fs';
import { PerformanceObserver, performance } from 'node:perf_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';

/** How often the work is done: other things of this process fall on one of them. */
const ATTEMPTS = 5;

/** One turn of the event loop; times are of `performance.now`. */
interface Turn {
  readonly fromMs: number;
  readonly toMs: number;
  readonly processorMs: number;
}

/**
 * The longest turn of the event loop while the work is done, milliseconds of processor without the collector of
 * garbage, which stops where it likes and as long as the whole process' objects make it; the least of several attempts,
 * so that it is the work's own.
 */
export async function longestTurnMs(work: () => Promise<unknown>): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) least = Math.min(least, await longestOf(work));
  return least;
}

async function longestOf(work: () => Promise<unknown>): Promise<number> {
  const collections: { startTime: number; duration: number }[] = [];
  const observer = new PerformanceObserver((list) => collections.push(...list.getEntries()));
  observer.observe({ entryTypes: ['gc'] });
  const turns: Turn[] = [];
  let ended = false;
  await nextTurn();
  let fromMs = performance.now();
  let before = processorMs();
  const working = work().finally(() => {
    ended = true;
  });
  while (!ended) {
    await nextTurn();
    const toMs = performance.now();
    const now = processorMs();
    turns.push({ fromMs, toMs, processorMs: now - before });
    fromMs = toMs;
    before = now;
  }
  await working;
  // The observer is told in a later turn.
  await nextTurn();
  await nextTurn();
  observer.disconnect();
  return Math.max(
    ...turns.map((turn) => {
      const inside = collections.filter(({ startTime }) => startTime >= turn.fromMs && startTime < turn.toMs);
      return turn.processorMs - inside.reduce((sum, { duration }) => sum + duration, 0);
    }),
  );
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
