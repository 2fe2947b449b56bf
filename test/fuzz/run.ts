// Runs the cases in a thread of limited heap and watches it: a case that hangs or takes too much memory ends
// the thread, counts as found, and another thread goes on behind it.

import type { Worker } from 'node:worker_threads';
import { startThread } from '../../core/thread.ts';
import type { Done, Found, Order } from './orders.ts';
import { targets } from './targets.ts';

/** Which cases, as a person names them. */
export interface Selection {
  readonly seed: number;
  /** Names of targets; empty: all. */
  readonly only: readonly string[];
  /** Time of the whole; undefined: the numbers of cases that the targets name. */
  readonly seconds?: number | undefined;
  /** This case of each target alone. */
  readonly single?: number | undefined;
  readonly onDone?: (done: Done) => void;
}

/** Every case that is wrong, and what was run of each target. */
export interface Report {
  readonly found: readonly Found[];
  readonly done: readonly Done[];
}

/** Longer than any case takes, on a machine that does much else. */
const CASE_MS_MAX = 10_000;
/** Resident bytes of the process beyond which a case is stopped before the machine suffers. */
const RESIDENT_MAX = 2 ** 31;
const HEAP_MB = 512;
const LOOK_MS = 20;

/** Runs what is selected, to the end. */
export async function fuzz(selection: Selection): Promise<Report> {
  const { seed, only, single, seconds } = selection;
  for (const name of only)
    if (!targets.some((target) => target.name === name))
      throw new Error(
        `there is no target ${name}; known are ${targets.map((target) => target.name).join(', ')}`,
      );
  const chosen = only.length === 0 ? targets.length : only.length;
  const msEach = seconds === undefined ? undefined : (1000 * seconds) / chosen;
  const found: Found[] = [];
  const done: Done[] = [];
  let from: Order['from'] | undefined = { target: 0, number: 0 };
  while (from !== undefined) {
    const watch = new SharedArrayBuffer(24);
    const order: Order = { seed, watch, only, from, msEach, single };
    const end = await runThread(order, (report) => {
      if (report.kind === 'found') found.push(report);
      else {
        done.push(report);
        selection.onDone?.(report);
      }
    });
    from = undefined;
    if (end === undefined) continue;
    if (new Float64Array(watch)[2] === 0) throw new Error(`between two cases: ${end}`);
    const [target = 0, number = 0] = new Float64Array(watch);
    found.push({ kind: 'found', target: targets[target]!.name, number, fault: end });
    if (single === undefined) from = { target, number: number + 1 };
  }
  return { found, done };
}

/** What ended the thread before its time; undefined when all was run. */
function runThread(order: Order, take: (report: Done | Found) => void): Promise<string | undefined> {
  const thread: Worker = startThread(new URL('./thread.ts', import.meta.url), {
    name: 'fuzz',
    workerData: order,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
  });
  const state = new Float64Array(order.watch);
  return new Promise((resolve) => {
    let reason: string | undefined;
    const looking = setInterval(() => {
      const beganAt = state[2]!;
      const tookMs = performance.timeOrigin + performance.now() - beganAt;
      if (beganAt > 0 && tookMs > CASE_MS_MAX) reason ??= `it does not end within ${CASE_MS_MAX} ms`;
      if (process.memoryUsage.rss() > RESIDENT_MAX) reason ??= `it takes more than ${RESIDENT_MAX} bytes`;
      if (reason !== undefined) void thread.terminate();
    }, LOOK_MS);
    thread.on('message', (report: Done | Found) => {
      state[2] = 0;
      take(report);
    });
    thread.on('error', (error) => {
      reason ??= `it ends the thread: ${error.stack}`;
    });
    thread.on('exit', () => {
      clearInterval(looking);
      resolve(reason);
    });
  });
}

/** The command that repeats a case. */
export const repetition = (seed: number, { target, number }: Found): string =>
  `POCKETFLEET_SEED=${seed} npm run soak:fuzz -- --only ${target} --case ${number}`;
