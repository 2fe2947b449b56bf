// What came out of a plan, sweep or run, gathered through the public calls and laid out as tables: candidates, then
// trained networks with their verification. Used by `submit --wait` and by the demo.

import { toFleetError } from '../../core/errors.ts';
import type { EvaluationReport, Plan, Run, Sweep, Trial } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { FleetClient } from './client.ts';
import { evaluationColumns } from './columns.ts';
import { COMPARISON_NOTE, comparisonsOf } from './comparisons.ts';
import { formatCount, formatNumber, formatPercent, formatSeconds, UNKNOWN } from './format.ts';
import { table } from './output.ts';
import type { Selection } from './watching.ts';

export interface Results {
  readonly plan: Plan | undefined;
  readonly sweeps: readonly Sweep[];
  /** By number. */
  readonly trials: readonly Trial[];
  /** Teacher and students; the candidates' own runs are left to their trials. */
  readonly runs: readonly Run[];
  /** Of those runs that were verified, by id. */
  readonly evaluations: ReadonlyMap<string, EvaluationReport>;
}

export async function gatherResults(client: FleetClient, selection: Selection): Promise<Results> {
  const [{ plans }, { sweeps }, { runs }] = await Promise.all([
    client.ask((service) => service.listPlans, {}),
    client.ask((service) => service.listSweeps, {}),
    client.ask((service) => service.listRuns, { planId: '', sweepId: '' }),
  ]);
  const selected = <T extends { id: string }>(kind: Selection['kind'], all: readonly T[]): T[] =>
    selection.kind === 'fleet'
      ? [...all]
      : all.filter((one) => selection.kind === kind && one.id === selection.id);
  const plan = selection.kind === 'plan' ? plans.find((one) => one.id === selection.id) : undefined;
  const chosenSweeps = plan ? sweeps.filter((sweep) => sweep.id === plan.sweepId) : selected('sweep', sweeps);
  const chosenRuns = plan ? runs.filter((run) => plan.runIds.includes(run.id)) : selected('run', runs);
  const lists = await Promise.all(
    chosenSweeps.map(({ id }) => client.ask((service) => service.listTrials, { sweepId: id })),
  );
  const trained = chosenRuns.filter((run) => run.sweepId === '');
  return {
    plan,
    sweeps: chosenSweeps,
    trials: lists.flatMap(({ trials }) => trials),
    runs: trained,
    evaluations: await gatherEvaluations(client, trained),
  };
}

async function gatherEvaluations(
  client: FleetClient,
  runs: readonly Run[],
): Promise<ReadonlyMap<string, EvaluationReport>> {
  const found = new Map<string, EvaluationReport>();
  for (const run of runs) {
    const report = await evaluationOf(client, run);
    if (report !== undefined) found.set(run.id, report);
  }
  return found;
}

/** A run that has not been verified yet has none. */
async function evaluationOf(client: FleetClient, run: Run): Promise<EvaluationReport | undefined> {
  if (run.evaluation === undefined) return undefined;
  try {
    return await client.ask((service) => service.getEvaluation, { runId: run.id });
  } catch (caught) {
    const error = toFleetError(caught);
    if (error.code === 'notFound') return undefined;
    throw error;
  }
}

/** Tables for a person; a result that is not there has no table. */
export function resultLines(results: Results): string[] {
  const lines: string[] = [];
  if (results.trials.length > 0) lines.push('', 'Candidates, best first', candidateTable(results));
  if (results.runs.length > 0)
    lines.push(
      '',
      'Trained networks, verified on identities that none of them was trained on',
      runTable(results),
    );
  const comparisons = comparisonsOf(results.runs, results.evaluations, results.plan?.winnerRunId ?? '');
  if (comparisons.length > 0) lines.push('', ...comparisons.map(({ sentence }) => sentence), COMPARISON_NOTE);
  return lines;
}

function candidateTable(results: Results): string {
  const best = new Set(results.sweeps.map((sweep) => sweep.bestTrialId));
  const ranked = [...results.trials].sort((a, b) => rank(b) - rank(a) || a.number - b.number);
  return table(ranked, [
    { head: '#', align: 'right', cell: (trial) => String(trial.number) },
    { head: 'ACCURACY', align: 'right', cell: (trial) => formatPercent(trial.objective) },
    { head: 'PARAMS', align: 'right', cell: (trial) => formatCount(trial.parameters) },
    { head: 'MFLOPS', align: 'right', cell: (trial) => formatNumber(trial.mflops, 2) },
    { head: '', cell: (trial) => (best.has(trial.id) ? 'best' : trial.state === 'done' ? '' : trial.state) },
    { head: 'NORMAL CELL', cell: (trial) => cellText(trial.genotypeJson) },
  ]);
}

const rank = (trial: Trial): number =>
  trial.state === 'done' && Number.isFinite(trial.objective) ? trial.objective : -1;

function runTable(results: Results): string {
  return table(results.runs, [
    { head: 'NETWORK', cell: (run) => run.name },
    { head: 'KIND', cell: (run) => learning(run) },
    { head: 'STATE', cell: (run) => run.state },
    {
      head: 'PARAMS',
      align: 'right',
      cell: (run) => (run.parameters > 0 ? formatCount(run.parameters) : UNKNOWN),
    },
    ...evaluationColumns<Run>((run) => run.evaluation),
    { head: 'TOOK', align: 'right', cell: (run) => formatSeconds(secondsOf(run)) },
    { head: '', cell: (run) => (results.plan?.winnerRunId === run.id ? 'exported' : '') },
  ]);
}

export function secondsOf(run: Run): number {
  return run.endedAtMs > 0 && run.startedAtMs > 0 ? (run.endedAtMs - run.startedAtMs) / 1000 : Number.NaN;
}

/** How a run learnt: a student with a teacher is distilled. */
export function learning(run: Run): string {
  return run.teacherRunId === '' ? run.kind : `${run.kind}, distilled`;
}

/** The eight operations of the normal cell, short: "dw3 dw1 · dw3 dw5 · …"; empty for a text that is no genotype. */
export function cellText(genotypeJson: string): string {
  try {
    const { normal } = JSON.parse(genotypeJson) as { normal: [[string, number], [string, number]][] };
    return normal.map((node) => node.map(([op]) => shortOp(op)).join(' ')).join(' · ');
  } catch {
    return '';
  }
}

function shortOp(op: string): string {
  const size = /(\d)x\d$/.exec(op)?.[1] ?? '';
  if (op.startsWith('dw_conv')) return `dw${size}`;
  if (op.endsWith('pool_3x3')) return op.startsWith('max') ? 'max' : 'avg';
  return 'skip';
}
