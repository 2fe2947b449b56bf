// Columns of the tables that commands print: titles, alignment, and the text of each cell.

import {
  clip,
  formatBytes,
  formatCount,
  formatNumber,
  formatPercent,
  formatSteps,
  formatTime,
  UNKNOWN,
} from '../../../core/report/format.ts';
import { ALWAYS_KNOWN, measuredOf, objectivesOf, objectiveText } from '../../../core/report/objectives.ts';
import { searchFoundText } from '../../../core/report/runs.ts';
import type { Evaluation, Plan, Run, Sweep, Trial, Worker } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import type { Column } from './table.ts';

export const PLAN_COLUMNS: readonly Column<Plan>[] = [
  { head: 'PLAN', cell: (plan) => plan.id },
  { head: 'NAME', cell: (plan) => plan.name },
  { head: 'STATE', cell: (plan) => plan.state },
  { head: 'CREATED', cell: (plan) => formatTime(plan.createdAtMs, true) },
  { head: 'EXPORTED', cell: (plan) => plan.winnerRunId || UNKNOWN },
  { head: 'WHAT AND WHY', cell: (plan) => plan.reason },
];

export const SWEEP_COLUMNS: readonly Column<Sweep>[] = [
  { head: 'SWEEP', cell: (sweep) => sweep.id },
  { head: 'NAME', cell: (sweep) => sweep.name },
  { head: 'STATE', cell: (sweep) => sweep.state },
  { head: 'TRIALS', align: 'right', cell: (sweep) => `${sweep.trialsDone}/${sweep.trialsTotal}` },
  { head: 'FAILED', align: 'right', cell: (sweep) => String(sweep.trialsFailed) },
  {
    head: 'BEST',
    align: 'right',
    cell: (sweep) => (sweep.bestTrialId === '' ? UNKNOWN : formatPercent(sweep.bestObjective)),
  },
  { head: 'STRATEGY', cell: (sweep) => sweep.strategy },
  { head: 'WHAT AND WHY', cell: (sweep) => sweep.reason },
];

/** Of candidates; what their sweep looks for comes first, and an arrow is its direction. */
export const trialColumns = (
  sweep: Pick<Sweep, 'objectives'>,
  trials: readonly Pick<Trial, 'screening' | 'searchAttempts'>[],
): readonly Column<Trial>[] => [
  { head: '#', align: 'right', cell: (trial) => String(trial.number) },
  { head: 'TRIAL', cell: (trial) => trial.id },
  { head: 'STATE', cell: (trial) => trial.state },
  ...objectiveColumns(sweep),
  ...(trials.some(({ screening }) => screening !== undefined) ? SCREENING_COLUMNS : []),
  ...(trials.some(({ searchAttempts }) => searchAttempts > 0) ? SEARCH_COLUMNS : []),
  { head: 'TRIES', align: 'right', cell: (trial) => String(trial.attempts) },
  { head: 'RUN', cell: (trial) => trial.runId || UNKNOWN },
  { head: 'WHAT AND WHY', cell: (trial) => clip(trial.reason, 60) },
];

/** Of candidates that were chosen by scores. */
const SCREENING_COLUMNS: readonly Column<Trial>[] = [
  {
    head: 'SCORE',
    cell: ({ screening }) =>
      Object.entries(screening?.scores ?? {})
        .map(([name, value]) => `${name} ${value.toPrecision(4)}`)
        .join(' ') || UNKNOWN,
  },
  {
    head: 'RANK',
    align: 'right',
    cell: ({ screening }) => (screening === undefined ? UNKNOWN : `${screening.rank}/${screening.of}`),
  },
];

/** Of candidates whose cells a search of their own finds: the attempts at it. */
const SEARCH_COLUMNS: readonly Column<Trial>[] = [
  { head: 'SEARCHES', align: 'right', cell: (trial) => String(trial.searchAttempts) },
];

const HEADS: Readonly<Record<string, string>> = { parameters: 'PARAMS' };
const ARROWS: Readonly<Record<string, string>> = { maximise: ' ↑', minimise: ' ↓' };

/** What candidates of a sweep are judged by, and what is known of each beside that. */
export function objectiveColumns(sweep: Pick<Sweep, 'objectives'>): Column<Trial>[] {
  const own = objectivesOf(sweep);
  const others = ALWAYS_KNOWN.filter((name) => own.every((one) => one.name !== name));
  return [...own, ...others.map((name) => ({ name, direction: '' }))].map(({ name, direction }) => ({
    head: `${HEADS[name] ?? name.toUpperCase()}${ARROWS[direction] ?? ''}`,
    align: 'right',
    cell: (trial) => {
      if (name === 'accuracy') return trial.state === 'done' ? formatPercent(trial.objective) : UNKNOWN;
      return objectiveText(name, measuredOf(trial, name));
    },
  }));
}

export const RUN_COLUMNS: readonly Column<Run>[] = [
  { head: 'RUN', cell: (run) => run.id },
  { head: 'NAME', cell: (run) => run.name },
  { head: 'KIND', cell: (run) => run.kind },
  { head: 'STATE', cell: (run) => run.state },
  { head: 'STEP', align: 'right', cell: formatSteps },
  { head: 'LOSS', align: 'right', cell: (run) => (run.step > 0 ? formatNumber(run.loss) : UNKNOWN) },
  {
    head: 'IMG/S',
    align: 'right',
    cell: (run) => (run.state === 'running' ? formatNumber(run.imagesPerSecond, 1) : UNKNOWN),
  },
  { head: 'ACCURACY', align: 'right', cell: (run) => formatPercent(run.evaluation?.accuracy ?? Number.NaN) },
  { head: 'WORKERS', cell: (run) => run.workerIds.join(' ') || UNKNOWN },
  {
    head: 'WHAT AND WHY',
    cell: (run) => clip(run.found === undefined ? run.reason : searchFoundText(run.found), 60),
  },
];

export const WORKER_COLUMNS: readonly Column<Worker>[] = [
  { head: 'WORKER', cell: (worker) => worker.id },
  { head: 'STATE', cell: (worker) => worker.state },
  { head: 'RUNS', cell: (worker) => worker.runIds.join(' ') || UNKNOWN },
  { head: 'SLOTS', align: 'right', cell: (worker) => String(worker.slots) },
  { head: 'IMG/S', align: 'right', cell: (worker) => formatNumber(worker.imagesPerSecond, 1) },
  { head: 'DEVICE', cell: deviceText },
  { head: 'HOST', cell: (worker) => `${worker.host} (${worker.pid})` },
  { head: 'SEEN', cell: (worker) => formatTime(worker.lastSeenMs) },
  { head: 'WHAT AND WHY', cell: (worker) => worker.reason },
];

/**
 * A GPU is shown by name, memory and driver; a CPU by its device class, because nothing else distinguishes
 * two of them. Several are counted, and have their ids at the end.
 */
function deviceText({ deviceName, deviceClass, memoryBytes, gpu, devices }: Worker): string {
  const several = devices.length > 1;
  const count = several ? `${devices.length} x ` : '';
  const ids = several ? `: ${devices.map(({ id }) => id).join(' ')}` : '';
  if (gpu === undefined) return `${count}${deviceClass}${ids}`;
  const driver = gpu.driver === '' ? '' : `, driver ${gpu.driver}`;
  const facts = `${formatBytes(memoryBytes)}${several ? ' each' : ''}, sm_${gpu.computeCapability.replace('.', '')}${driver}`;
  return `${count}${deviceName} (${facts})${ids}`;
}

/** A run's verification beside that of its untrained network. */
export function evaluationColumns<Row>(
  evaluationOf: (row: Row) => Evaluation | undefined,
): readonly Column<Row>[] {
  const value = (row: Row, pick: (evaluation: Evaluation) => number) => {
    const evaluation = evaluationOf(row);
    return evaluation === undefined ? Number.NaN : pick(evaluation);
  };
  return [
    { head: 'ACCURACY', align: 'right', cell: (row) => formatPercent(value(row, (e) => e.accuracy)) },
    { head: '±', align: 'right', cell: (row) => formatPercent(value(row, (e) => e.accuracyStd)) },
    {
      head: 'UNTRAINED',
      align: 'right',
      cell: (row) => formatPercent(value(row, (e) => e.accuracyUntrained)),
    },
    {
      head: 'AUC',
      align: 'right',
      cell: (row) =>
        formatNumber(
          value(row, (e) => e.auc),
          3,
        ),
    },
    { head: 'EER', align: 'right', cell: (row) => formatPercent(value(row, (e) => e.eer)) },
    { head: 'TAR@FAR 1e-2', align: 'right', cell: (row) => formatPercent(value(row, (e) => e.tarAtFar)) },
    { head: 'PAIRS', align: 'right', cell: (row) => formatCount(value(row, (e) => e.pairs)) },
  ];
}
