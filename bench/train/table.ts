// How speeds are shown: a line a way. Decides the form only.

import type { Goal } from '../goals.ts';
import { bestOf, type Speed } from './ways.ts';

export function speedTable(speeds: readonly Speed[]): string[] {
  const ours = bestOf(speeds, 'ours');
  const head = row('way', 'processes x threads', 'best', 'median', 'images/s; ours is so many times');
  return [
    head,
    ...speeds.map(({ maker, processes, threads, best, median }) =>
      row(maker, `${processes} x ${threads}`, best.toFixed(1), median.toFixed(1), (ours / median).toFixed(2)),
    ),
  ];
}

function row(way: string, form: string, best: string, median: string, rest: string): string {
  return `  ${way.padEnd(16)} ${form.padEnd(20)} ${best.padStart(8)} ${median.padStart(8)}   ${rest}`;
}

/** A goal that could not be checked does not hold. */
export function notMeasured(name: string, target: number, unit: string): Goal {
  return { name: `${name} (not measured)`, value: Number.NaN, target, unit, bound: 'at least', holds: false };
}
