// `demo`: a fleet in a temporary folder, one plan, its results, and nothing left running. It uses only the
// plan's YAML and public calls, so a user can do everything that it does.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { systemClock } from '../../../core/clock.ts';
import { FleetError, toFleetError } from '../../../core/errors.ts';
import { formatBytes, formatSeconds } from '../../../core/report/format.ts';
import { fileFailure } from '../../../core/system/folder.ts';
import { PACKAGE_ROOT } from '../../../core/system/places.ts';
import { exitCodeOf, interruptedBy, onInterrupt, wholeNumber } from '../context.ts';
import { type RunningFleet, startFleet } from '../local/up.ts';
import { outliveReader } from '../lost-output.ts';
import { checkFilePlace, STDOUT } from '../output-file.ts';
import { print, say } from '../screen/output.ts';
import { gatherResults, resultLines } from '../screen/results.ts';
import { folderOverrides } from './demo-data.ts';
import { exportRun } from './export-file.ts';
import { checkModelPlace, type ModelOutput, modelOutput } from './model-output.ts';
import { writeReport } from './report-file.ts';
import { submitFile } from './submitting.ts';
import { failuresOf, showUntilFinished, type Talk } from './waiting.ts';

interface DemoFlags {
  readonly data?: string;
  readonly workers?: number;
  readonly keep?: boolean;
  readonly report: string;
  readonly model: string;
  readonly plan: string;
}

/** At least 2, so that work is shared; at most 8, because the demo's batches have few shards. */
const WORKERS = { atLeast: 2, atMost: 8 } as const;

export function addDemoCommand(program: Command): void {
  program
    .command('demo')
    .description('search, teacher, distillation and verification in minutes, on this machine')
    .option('--data <dir>', 'real photographs: one folder a person; instead of drawn faces')
    .option(
      '--workers <n>',
      'worker processes (default: one a GPU, else one a core; 2 at least, 8 at most)',
      wholeNumber(2, 64),
    )
    .option('--plan <file>', 'plan to submit', join(PACKAGE_ROOT, 'examples', 'demo.yaml'))
    .option('--report <file>', 'HTML report to write', join('out', 'demo-report.html'))
    .option(
      '--model <file>',
      'exported network to write; its extension chooses the format (export --help)',
      join('out', 'demo-network.safetensors'),
    )
    .option('--keep', "keep the fleet's folder (journal, checkpoints, logs)")
    .action(demo);
}

async function demo(flags: DemoFlags): Promise<void> {
  outliveReader();
  // Refused before minutes of work, not after.
  const model = modelOutput(flags.model);
  for (const { path } of [model, { path: flags.report }])
    if (path === STDOUT)
      throw new FleetError(
        'invalidArgument',
        'demo prints its tables on stdout, so --model and --report need the name of a file',
      );
  await checkModelPlace(model);
  await checkFilePlace(flags.report);
  const overrides = flags.data === undefined ? {} : await folderOverrides(flags.data, flags.plan);
  const started = systemClock.monotonic();
  const talk: Talk = { say };
  let fleet: RunningFleet | undefined;
  const { signal, release } = onInterrupt(() => {
    fleet?.kill();
    process.exit(exitCodeOf('SIGINT'));
  });
  const dir = await mkdtemp(join(tmpdir(), 'pocketfleet-demo-')).catch((caught: unknown) => {
    const doing = 'no folder can be made in it for the fleet of the demo';
    throw fileFailure(caught, { path: tmpdir(), doing, remedy: 'name another with TMPDIR' });
  });
  let keep = flags.keep ?? false;
  try {
    const workers = { ...WORKERS, workers: flags.workers };
    fleet = await startFleet({ dir, ...workers, signal, say: (text) => talk.say(text) });
    await runPlan(fleet, { ...flags, output: model }, overrides, { signal, talk });
    say(`took ${formatSeconds((systemClock.monotonic() - started) / 1000)}`);
  } catch (caught) {
    if (!signal.aborted) {
      // The logs show what went wrong, so they stay.
      keep = true;
      throw caught;
    }
    process.exitCode = interruptedBy(toFleetError(signal.reason)) ?? exitCodeOf('SIGINT');
  } finally {
    say('stopping workers, coordinator and broker');
    await fleet?.close();
    release();
    if (keep) say(`the fleet's folder is ${dir}`);
    else await rm(dir, { recursive: true, force: true });
    say('nothing is left running');
  }
}

async function runPlan(
  fleet: RunningFleet,
  flags: DemoFlags & { readonly output: ModelOutput },
  overrides: Readonly<Record<string, string>>,
  { signal, talk }: { signal: AbortSignal; talk: Talk },
): Promise<void> {
  const { client } = fleet;
  const { planIds } = await submitFile(client, { file: flags.plan, overrides, dryRun: false });
  const [planId] = planIds;
  if (planId === undefined)
    throw new FleetError(
      'invalidArgument',
      `${flags.plan} holds no plan; the demo needs a document of kind: plan`,
    );
  say(`submitted ${flags.plan} as plan ${planId}`);
  const selection = { kind: 'plan', id: planId } as const;
  const last = await showUntilFinished(client, selection, signal, talk);
  signal.throwIfAborted();
  const results = await gatherResults(client, selection);
  for (const line of resultLines(results)) print(line);
  print('');
  const winner = results.runs.find((run) => run.id === results.plan?.winnerRunId);
  if (winner !== undefined) {
    const model = await exportRun(client, { runId: winner.id, stage: 0 }, flags.output, {
      signal,
      say: talk.say,
    });
    print(`network  ${model.file} (${winner.name}, ${formatBytes(model.bytes)})`);
  }
  print(`report   ${await writeReport(client, planId, flags.report)}`);
  const [failure] = failuresOf(last, selection);
  if (failure !== undefined) throw new FleetError('aborted', failure);
}
