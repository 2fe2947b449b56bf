// The results of a plan, sweep or run, gathered through the public calls and laid out as tables: first
// candidates, then trained networks with their verification.

import { toFleetError } from '../../../core/errors.ts';
import { COMPARISON_NOTE, comparisonsOf, gateSentences } from '../../../core/report/comparisons.ts';
import { formatCount, formatSeconds, UNKNOWN } from '../../../core/report/format.ts';
import { bestTrialFirst } from '../../../core/report/objectives.ts';
import { cellText, learning, secondsOf } from '../../../core/report/runs.ts';
import type { EvaluationReport, Plan, Run, Sweep, Trial } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import type { FleetClient } from '../client.ts';
import type { Selection } from '../watching.ts';
import { trialsOf } from '../whole-lists.ts';
import { evaluationColumns, objectiveColumns } from './columns.ts';
import { table } from './table.ts';

export interface Results {
  readonly plan: Plan | undefined;
  readonly sweeps: readonly Sweep[];
  /** By number. */
  readonly trials: readonly Trial[];
  /** Teacher and students. The runs of candidates are listed with their trials. */
  readonly runs: readonly Run[];
  /** Reports of the runs that were verified, by run id. */
  readonly evaluations: ReadonlyMap<string, EvaluationReport>;
}

const NOTHING: Results = { plan: undefined, sweeps: [], trials: [], runs: [], evaluations: new Map() };

export async function gatherResults(client: FleetClient, selection: Selection): Promise<Results> {
  switch (selection.kind) {
    case 'fleet':
      return NOTHING;
    case 'run':
      return { ...NOTHING, ...(await gatherRuns(client, [selection.id])) };
    case 'sweep':
      return gatherSweep(client, selection.id);
    case 'plan': {
      const plan = await client.ask((service) => service.getPlan, { id: selection.id });
      const search = plan.sweepId === '' ? NOTHING : await gatherSweep(client, plan.sweepId);
      return { ...search, plan, ...(await gatherRuns(client, plan.runIds)) };
    }
  }
}

async function gatherRuns(
  client: FleetClient,
  ids: readonly string[],
): Promise<Pick<Results, 'runs' | 'evaluations'>> {
  const all: Run[] = [];
  for (const id of ids) all.push(await client.ask((service) => service.getRun, { id }));
  // The candidates' own runs are left to their trials.
  const runs = all.filter((run) => run.sweepId === '');
  return { runs, evaluations: await gatherEvaluations(client, runs) };
}

async function gatherSweep(client: FleetClient, id: string): Promise<Results> {
  const [sweep, trials] = await Promise.all([
    client.ask((service) => service.getSweep, { id }),
    trialsOf(client, id),
  ]);
  return { ...NOTHING, sweeps: [sweep], trials };
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

/** The report of a run; undefined before it is verified. */
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

/** Tables for a person. Results that do not exist have no table. */
export function resultLines(results: Results, candidatesMax = Number.POSITIVE_INFINITY): string[] {
  const lines: string[] = [];
  if (results.trials.length > 0)
    lines.push('', 'Candidates, best first', candidateTable(results, candidatesMax));
  if (results.runs.length > 0)
    lines.push(
      '',
      'Trained networks, verified on identities that none of them was trained on',
      runTable(results),
    );
  const comparisons = comparisonsOf(results.runs, results.evaluations, results.plan?.winnerRunId ?? '');
  if (comparisons.length > 0)
    lines.push(
      '',
      ...comparisons.map(({ sentence }) => sentence),
      ...gateSentences(comparisons),
      COMPARISON_NOTE,
    );
  return lines;
}

function candidateTable(results: Results, candidatesMax: number): string {
  const best = new Set(results.sweeps.map((sweep) => sweep.bestTrialId));
  const ranked = [...results.trials].sort(bestTrialFirst(results.sweeps[0]));
  const left = ranked.length - candidatesMax;
  const more =
    left > 0 ? `\nand ${formatCount(left)} more: \`pocketfleet trials ${results.sweeps[0]?.id} --all\`` : '';
  return `${table(ranked.slice(0, Math.min(ranked.length, candidatesMax)), [
    { head: '#', align: 'right', cell: (trial) => String(trial.number) },
    ...objectiveColumns(results.sweeps[0] ?? { objectives: [] }),
    { head: '', cell: (trial) => (best.has(trial.id) ? 'best' : trial.state === 'done' ? '' : trial.state) },
    { head: 'NORMAL CELL', cell: (trial) => cellText(trial.genotypeJson) },
  ])}${more}`;
}

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
