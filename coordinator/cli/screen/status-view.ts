// The status of a fleet as lines of text: a pure function of a snapshot and the size of a screen. Open work
// comes first, by plan, then the workers, then what has ended, newest first. Rows that do not fit are
// counted. Every row has its id, because names may occur twice.

import {
  clip,
  formatCount,
  formatNumber,
  formatPercent,
  formatSteps,
  formatTime,
} from '../../../core/report/format.ts';
import { hasEnded, type ProgressItem, progressItems } from '../../../core/report/progress-model.ts';
import { printable } from '../../../core/text/printable.ts';
import { stateText } from '../../../core/text/state-text.ts';
import type { Plan, Run, Snapshot, Sweep, Worker } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import type { Size } from './screen.ts';

const BAR = 20;
/** Columns of id, kind and name before a bar. */
const LABEL = 34;

/** Lines that fit: at most `rows`, none longer than `columns`. */
export function statusLines(snapshot: Snapshot, { rows, columns }: Size): string[] {
  const work = workLines(snapshot);
  const workers = [...snapshot.workers].sort(byUse).map((worker) => workerLine(worker, snapshot.runs));
  const ended = endedLines(snapshot);
  const left = snapshot.leftOut;
  const troubles = storeTroubles(snapshot);
  const room = Math.max(0, rows - 1 - troubles.length);
  // Workers keep a third of the rows when there is more work than fits. Things that have ended get the rest.
  const workersRoom = Math.min(
    sectionRows(workers),
    Math.max(room - sectionRows(work), Math.floor(room / 3)),
  );
  const workRoom = Math.min(sectionRows(work), room - (workersRoom < SECTION_MIN ? 0 : workersRoom));
  const shown = [
    ...section('WORK', work, { room: workRoom, more: 0 }),
    ...section('WORKERS', workers, { room: workersRoom, more: left?.workers ?? 0 }),
  ];
  const more = left === undefined ? 0 : left.plans + left.sweeps + left.runs;
  const lines = [
    headline(snapshot),
    ...troubles,
    ...shown,
    ...section('ENDED, newest first', ended, { room: room - shown.length, more }),
  ];
  return lines.slice(0, rows).map((line) => clip(printable(line), columns));
}

/** An empty line, a title and one row. */
const SECTION_MIN = 3;
const sectionRows = (lines: readonly string[]): number => (lines.length === 0 ? 0 : lines.length + 2);

function section(
  title: string,
  lines: readonly string[],
  { room, more }: { room: number; more: number },
): string[] {
  if (lines.length === 0 || room < SECTION_MIN) return [];
  const all = lines.length + more;
  const fits = lines.length + 2 <= room && more === 0;
  const kept = lines.slice(0, fits ? lines.length : Math.max(1, room - 3));
  const rest = all - kept.length;
  const tail = rest > 0 && kept.length + 3 <= room ? [`  and ${formatCount(rest)} more`] : [];
  return ['', title, ...kept.map((line) => `  ${line}`), ...tail];
}

/** The reason why nothing is decided or nothing stored. It stands below the first line in every view. */
export function storeTroubles({ store }: Snapshot): string[] {
  return store === undefined ? [] : [store.halted, store.reason].filter((text) => text !== '');
}

/** The first line: time, workers, runs, journal. */
export function headline(snapshot: Snapshot): string {
  const there = snapshot.workers.filter((worker) => worker.state !== 'lost');
  const busy = there.filter((worker) => worker.runIds.length > 0).length;
  const active = snapshot.runs.filter((run) => isActive(run)).length;
  const queued = snapshot.runs.filter((run) => run.state === 'queued').length;
  return `fleet at ${formatTime(snapshot.atMs)}: ${there.length} workers (${busy} busy), ${active} runs active, ${queued} queued, journal at ${formatCount(snapshot.journalSequence)}`;
}

/** One line for a plan without its parts. */
export function planLine(plan: Plan): string {
  return `${plan.id} plan ${plan.name}  ${stateText(plan.state, plan.reason)}`;
}

/**
 * Open plans with their searches and runs below them, and work of no plan. Runs that compute now come first.
 */
function workLines(snapshot: Snapshot): string[] {
  const items = new Map(progressItems(snapshot).map((item) => [item.key, item]));
  const rows = [
    ...snapshot.sweeps.map((sweep) => ({
      one: sweep,
      lines: () => sweepLines(sweep, items.get(sweep.id)!, snapshot),
    })),
    ...snapshot.runs
      .filter((run) => run.sweepId === '')
      .map((run) => ({ one: run, lines: () => [workLine(run.id, items.get(run.id)!)] })),
  ]
    .filter(({ one }) => !hasEnded(one.state))
    .map((row) => ({ ...row, rank: rankOf(row.one, snapshot) }))
    .sort((a, b) => a.rank - b.rank);
  const open = snapshot.plans.filter((plan) => !hasEnded(plan.state));
  const known = new Set(open.map((plan) => plan.id));
  const blocks = [
    ...open.map((plan) => {
      const own = rows.filter(({ one }) => one.planId === plan.id);
      const lines = own.flatMap((row) => row.lines().map((line) => `  ${line}`));
      return { rank: own[0]?.rank ?? WAITING, lines: [planLine(plan), ...lines] };
    }),
    ...rows.filter(({ one }) => !known.has(one.planId)).map(({ rank, lines }) => ({ rank, lines: lines() })),
  ];
  return blocks.sort((a, b) => a.rank - b.rank).flatMap(({ lines }) => lines);
}

/** Whether it has workers. */
const isActive = ({ state }: Run): boolean =>
  state === 'running' || state === 'waiting' || state === 'pausing';

const RUNNING = 0;
const WAITING = 1;
const QUEUED = 2;

function rankOf(one: Sweep | Run, snapshot: Snapshot): number {
  if ('trialsTotal' in one) {
    const computes = snapshot.runs.some((run) => run.sweepId === one.id && run.state === 'running');
    return computes ? RUNNING : WAITING;
  }
  return one.state === 'running' ? RUNNING : one.state === 'waiting' ? WAITING : QUEUED;
}

/** The search, and the candidates that are computed now below it. */
function sweepLines(sweep: Sweep, item: ProgressItem, snapshot: Snapshot): string[] {
  const candidates = snapshot.runs
    .filter((run) => run.sweepId === sweep.id && isActive(run))
    .map(candidateLine);
  return [workLine(sweep.id, item), ...candidates];
}

function workLine(id: string, item: ProgressItem): string {
  return `${clip(`${id} ${item.label}`, LABEL).padEnd(LABEL)} ${bar(item.fraction)} ${item.note}`;
}

function candidateLine(run: Run): string {
  const loss = run.step > 0 ? `, loss ${formatNumber(run.loss)}` : '';
  return `  ${run.id} ${run.name}: step ${formatSteps(run)}${loss} on ${run.workerIds.join(', ')}`;
}

function bar(fraction: number): string {
  const full = Math.round(Math.min(1, Math.max(0, fraction)) * BAR);
  return `${'█'.repeat(full)}${'░'.repeat(BAR - full)} ${formatPercent(fraction, 0).padStart(5)}`;
}

/** Busy workers first, lost ones last, each by name: worker-2 before worker-10. */
function byUse(a: Worker, b: Worker): number {
  const rank = (worker: Worker) => (worker.state === 'lost' ? 2 : worker.runIds.length > 0 ? 0 : 1);
  return rank(a) - rank(b) || a.id.localeCompare(b.id, 'en', { numeric: true });
}

function workerLine(worker: Worker, runs: readonly Run[]): string {
  const names = worker.runIds.map((id) => {
    const run = runs.find((one) => one.id === id);
    return run === undefined ? id : `${run.name} (${id})`;
  });
  const doing = names.length === 0 ? worker.reason : names.join(', ');
  const rate = worker.imagesPerSecond > 0 ? `  ${formatNumber(worker.imagesPerSecond, 0)} img/s` : '';
  return `${worker.id}  ${worker.state}${rate}${doing === '' ? '' : `  ${doing}`}`;
}

/** Plans, searches and runs that have ended; candidates belong to their search. */
function endedLines(snapshot: Snapshot): string[] {
  const items = new Map(progressItems(snapshot).map((item) => [item.key, item]));
  const line = (one: Sweep | Run) => {
    const { label, note } = items.get(one.id)!;
    return `${clip(`${one.id} ${label}`, LABEL).padEnd(LABEL)} ${note}${one.planId === '' ? '' : ` (${one.planId})`}`;
  };
  const all = [
    ...snapshot.plans.map((plan) => ({ one: plan, text: () => planLine(plan) })),
    ...snapshot.sweeps.map((sweep) => ({ one: sweep, text: () => line(sweep) })),
    ...snapshot.runs.filter((run) => run.sweepId === '').map((run) => ({ one: run, text: () => line(run) })),
  ];
  return all
    .filter(({ one }) => hasEnded(one.state))
    .sort((a, b) => b.one.endedAtMs - a.one.endedAtMs)
    .map(({ text }) => text());
}
