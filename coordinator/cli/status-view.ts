// The status of a fleet as lines of text: a pure function of a snapshot and a width. `watch` prints it; nothing here
// knows a terminal.

import type { Plan, Run, Snapshot, Sweep, Worker } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { clip, formatCount, formatNumber, formatPercent, formatSteps, formatTime } from './format.ts';
import { progressItems } from './progress-model.ts';

const BAR = 20;

export function statusLines(snapshot: Snapshot, width = 110): string[] {
  const lines = [
    `fleet at ${formatTime(snapshot.atMs)}: ${summary(snapshot)}, journal at ${formatCount(snapshot.journalSequence)}`,
    ...section('PLANS', snapshot.plans.map(planLine)),
    ...section('SWEEPS', snapshot.sweeps.map(sweepLine)),
    ...section('WORK', workLines(snapshot)),
    ...section(
      'WORKERS',
      snapshot.workers.map((worker) => workerLine(worker, snapshot.runs)),
    ),
  ];
  return lines.map((line) => clip(line, width));
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', title, ...lines.map((line) => `  ${line}`)];
}

function summary(snapshot: Snapshot): string {
  const there = snapshot.workers.filter((worker) => worker.state !== 'lost');
  const busy = there.filter((worker) => worker.runIds.length > 0).length;
  const active = snapshot.runs.filter((run) => run.state === 'running' || run.state === 'waiting').length;
  const queued = snapshot.runs.filter((run) => run.state === 'queued').length;
  return `${there.length} workers (${busy} busy), ${active} runs active, ${queued} queued`;
}

function planLine(plan: Plan): string {
  const why = plan.reason === '' ? '' : `: ${plan.reason}`;
  return `${plan.id}  ${plan.name}  ${plan.state}${why}`;
}

function sweepLine(sweep: Sweep): string {
  const best =
    sweep.bestTrialId === '' ? '' : `, best ${formatPercent(sweep.bestObjective)} (${sweep.bestTrialId})`;
  const failed = sweep.trialsFailed === 0 ? '' : `, ${sweep.trialsFailed} failed`;
  return `${sweep.id}  ${sweep.name}  ${sweep.state}: ${sweep.trialsDone}/${sweep.trialsTotal} trials${failed}${best}`;
}

/** The bars of the sweeps and training runs, then the candidates that are being evaluated now. */
function workLines(snapshot: Snapshot): string[] {
  const items = progressItems(snapshot).map(
    (item) => `${clip(item.label, 26).padEnd(26)} ${bar(item.fraction)} ${item.note}`,
  );
  const candidates = snapshot.runs
    .filter((run) => run.sweepId !== '' && (run.state === 'running' || run.state === 'waiting'))
    .map(candidateLine);
  return [...items, ...candidates];
}

function candidateLine(run: Run): string {
  const loss = run.step > 0 ? `, loss ${formatNumber(run.loss)}` : '';
  return `  ${run.name}: step ${formatSteps(run)}${loss} on ${run.workerIds.join(', ')}`;
}

function bar(fraction: number): string {
  const full = Math.round(Math.min(1, Math.max(0, fraction)) * BAR);
  return `${'█'.repeat(full)}${'░'.repeat(BAR - full)} ${formatPercent(fraction, 0).padStart(5)}`;
}

function workerLine(worker: Worker, runs: readonly Run[]): string {
  const names = worker.runIds.map((id) => runs.find((run) => run.id === id)?.name ?? id);
  const doing = names.length === 0 ? worker.reason : names.join(', ');
  const rate = worker.imagesPerSecond > 0 ? `  ${formatNumber(worker.imagesPerSecond, 0)} img/s` : '';
  return `${worker.id}  ${worker.state}${rate}${doing === '' ? '' : `  ${doing}`}`;
}
