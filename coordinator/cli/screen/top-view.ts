// What computes now, and what waits: workers, runs by pace, and the queue with its reasons, as lines of text. Decides
// the order and how many rows each part gets.

import { clip, formatNumber, formatSeconds, formatSteps, UNKNOWN } from '../../../core/report/format.ts';
import { printable } from '../../../core/text/printable.ts';
import type { Run, Snapshot, Worker } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import type { Size } from './screen.ts';
import { headline, storeTroubles } from './status-view.ts';
import { type Column, table } from './table.ts';

const RUNS: readonly Column<Run>[] = [
  { head: 'RUN', cell: (run) => run.id },
  { head: 'NAME', cell: (run) => run.name },
  { head: 'STATE', cell: (run) => run.state },
  { head: 'IMG/S', align: 'right', cell: (run) => formatNumber(run.imagesPerSecond, 1) },
  { head: 'STEP', align: 'right', cell: formatSteps },
  {
    head: 'LEFT',
    align: 'right',
    cell: (run) => (run.remainingSeconds > 0 ? formatSeconds(run.remainingSeconds) : UNKNOWN),
  },
  { head: 'WORKERS', cell: (run) => run.workerIds.join(' ') || UNKNOWN },
];

const WORKERS: readonly Column<Worker>[] = [
  { head: 'WORKER', cell: (worker) => worker.id },
  { head: 'STATE', cell: (worker) => worker.state },
  { head: 'IMG/S', align: 'right', cell: (worker) => formatNumber(worker.imagesPerSecond, 1) },
  { head: 'RUNS', cell: (worker) => worker.runIds.join(' ') || UNKNOWN },
  { head: 'DEVICE', cell: (worker) => worker.deviceName || worker.deviceClass },
];

const QUEUE: readonly Column<Run>[] = [
  { head: 'QUEUED', cell: (run) => run.id },
  { head: 'NAME', cell: (run) => run.name },
  { head: 'WAITS FOR', cell: (run) => run.reason || UNKNOWN },
];

const HOLDS_WORKERS: ReadonlySet<string> = new Set(['running', 'waiting', 'pausing']);

/** Fastest first; equal ones in the order of their ids. */
const byPace = <T extends { readonly id: string; readonly imagesPerSecond: number }>(
  all: readonly T[],
): T[] =>
  [...all].sort(
    (a, b) => b.imagesPerSecond - a.imagesPerSecond || a.id.localeCompare(b.id, 'en', { numeric: true }),
  );

/** At most `rows` lines, none longer than `columns`. */
export function topLines(snapshot: Snapshot, { rows, columns }: Size): string[] {
  const workers = byPace(snapshot.workers.filter(({ state }) => state !== 'lost'));
  const runs = byPace(snapshot.runs.filter(({ state }) => HOLDS_WORKERS.has(state)));
  const queue = snapshot.runs.filter(({ state }) => state === 'queued');
  const pace = runs.reduce((sum, run) => sum + (run.imagesPerSecond || 0), 0);
  const head = [
    headline(snapshot),
    ...storeTroubles(snapshot),
    `${formatNumber(pace, 1)} images a second in all`,
  ];
  // A part takes an empty line and its heads beside its rows; what one part leaves goes to the next.
  const parts = [part(runs, RUNS), part(workers, WORKERS), part(queue, QUEUE)].filter(({ size }) => size > 0);
  let room = rows - head.length;
  const lines = parts.flatMap(({ size, lines }, i) => {
    const given = Math.min(size + 2, Math.floor(room / (parts.length - i)));
    room -= given;
    return given < 3 ? [] : lines(given, columns);
  });
  return [...head, ...lines].slice(0, rows).map((line) => clip(printable(line), columns));
}

function part<T>(all: readonly T[], layout: readonly Column<T>[]) {
  return {
    size: all.length,
    lines(given: number, columns: number): string[] {
      const isCut = all.length + 2 > given;
      const shown = all.slice(0, isCut ? Math.max(1, given - 3) : all.length);
      const rest = all.length - shown.length;
      return [
        '',
        ...table(shown, layout, columns).split('\n'),
        ...(rest > 0 && given > 3 ? [`and ${rest} more`] : []),
      ];
    },
  };
}
