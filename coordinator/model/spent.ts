// What something with a budget has used of the fleet: counted where gangs change, and exact at any time between.

import type { RunBudget } from '../../core/spec/budget.ts';

/** Use of the fleet since the first worker began. */
export interface Spent {
  /** Worker-milliseconds up to `atMs`. */
  readonly workerMs: number;
  readonly atMs: number;
  /** Workers since then. */
  readonly workers: number;
  /** When the first began, milliseconds since the epoch. */
  readonly fromMs: number;
}

/** With so many workers more, or less, from now on. */
export function withWorkers(spent: Spent | undefined, nowMs: number, by: number): Spent {
  if (spent === undefined) return { workerMs: 0, atMs: nowMs, workers: by, fromMs: nowMs };
  return { ...spent, workerMs: workerMsAt(spent, nowMs), atMs: nowMs, workers: spent.workers + by };
}

/** After time that passed for nobody. */
export function skipped(
  spent: Spent,
  { fromMs, nowMs }: { readonly fromMs: number; readonly nowMs: number },
): Spent {
  const workerMs = workerMsAt(spent, fromMs);
  return {
    ...spent,
    workerMs,
    atMs: nowMs,
    fromMs: spent.fromMs + Math.max(0, nowMs - Math.max(fromMs, spent.fromMs)),
  };
}

function workerMsAt({ workerMs, atMs, workers }: Spent, nowMs: number): number {
  return workerMs + workers * Math.max(0, nowMs - atMs);
}

/** Which part of a budget is spent at this time, as `budget of 3,600 worker-seconds spent (3,601)`; undefined: none. */
export function overspent(
  { workerSeconds, wallSeconds }: RunBudget,
  spent: Spent | undefined,
  nowMs: number,
): string | undefined {
  if (spent === undefined) return undefined;
  const used = workerMsAt(spent, nowMs) / 1000;
  if (workerSeconds !== undefined && used >= workerSeconds)
    return text(workerSeconds, 'worker-seconds', used);
  const passed = (nowMs - spent.fromMs) / 1000;
  if (wallSeconds !== undefined && passed >= wallSeconds)
    return text(wallSeconds, 'seconds of wall time', passed);
  return undefined;
}

function text(budget: number, unit: string, used: number): string {
  return `budget of ${budget.toLocaleString('en')} ${unit} spent (${Math.floor(used).toLocaleString('en')})`;
}
