// Gathers what the report of a plan shows, through the public calls, and writes the page to a file or stdout.

import { extname } from 'node:path';
import { systemClock } from '../../../core/clock.ts';
import { FleetError } from '../../../core/errors.ts';
import { type ReportData, type RunReport, reportHtml } from '../../../core/report/plan-report.ts';
import type { EvaluationReport, Run, StepPoint } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { persist } from '../absence.ts';
import type { FleetClient } from '../client.ts';
import { checkFilePlace, writeOutput } from '../output-file.ts';
import { say } from '../screen/output.ts';
import { gatherResults } from '../screen/results.ts';
import { checkpointsOf, runsOf } from '../whole-lists.ts';

/** Refuses a name that promises another format than HTML. */
function checkReportName(file: string): void {
  const extension = extname(file).toLowerCase();
  if (OTHER_FORMATS.has(extension))
    throw new FleetError(
      'invalidArgument',
      `-o ${file}: the report is an HTML page, and ${extension} names another format; use .html`,
    );
}

const OTHER_FORMATS = new Set(
  '.pdf .md .txt .json .csv .png .svg .doc .docx .odt .tex .xml .yaml .zip .onnx .safetensors'.split(' '),
);

/** The absolute path of the page; `-` is stdout. */
export async function writeReport(client: FleetClient, planId: string, file: string): Promise<string> {
  checkReportName(file);
  await checkFilePlace(file);
  return writeOutput(file, reportHtml(await gatherReport(client, planId)));
}

async function gatherReport(client: FleetClient, planId: string): Promise<ReportData> {
  const { plan, sweeps, trials, runs, evaluations } = await gatherResults(client, {
    kind: 'plan',
    id: planId,
  });
  if (plan === undefined)
    throw new FleetError(
      'notFound',
      `no plan has the id ${planId}; \`pocketfleet plans\` lists what there is`,
    );
  const [sweep] = sweeps;
  const candidateRuns = sweep === undefined ? [] : await runsOf(client, sweep.id);
  return {
    plan,
    sweep,
    trials,
    candidateRuns,
    seedSearches: await Promise.all(
      candidateRuns
        .filter(({ kind }) => kind === 'search')
        .map(async (run) => ({ run, checkpoints: await checkpointsOf(client, run.id) })),
    ),
    runs: await Promise.all(runs.map((run) => gatherRun(client, run, evaluations.get(run.id)))),
    generatedAtMs: systemClock.now(),
  };
}

async function gatherRun(
  client: FleetClient,
  run: Run,
  evaluation: EvaluationReport | undefined,
): Promise<RunReport> {
  const history = await historyOf(client, run.id);
  return { run, history, evaluation, checkpoints: await checkpointsOf(client, run.id) };
}

/** The history of a run. It is read again from its first point when the coordinator restarts meanwhile. */
function historyOf(client: FleetClient, runId: string): Promise<StepPoint[]> {
  return persist(
    async () => {
      const history: StepPoint[] = [];
      for await (const point of client.follow((service) => service.history, { runId })) history.push(point);
      return history;
    },
    { say },
  );
}
