// Commands that request work or its results: submit, plan, watch, cancel, resume, export, report; those that hold it
// back are pause-commands.ts. Decides flags, exit codes and what is printed.

import type { Command } from 'commander';
import type { ExportFormat } from '../../../core/model/export-format.ts';
import { formatBytes } from '../../../core/report/format.ts';
import type { Snapshot } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import type { FleetClient } from '../client.ts';
import {
  type FleetOptions,
  findRun,
  fleetCommand,
  interruptible,
  STAGE_MAX,
  wholeNumber,
  withFleet,
} from '../context.ts';
import { outliveReader } from '../lost-output.ts';
import { forecastText } from '../screen/forecast-view.ts';
import { print, printJson, say, tellWritten, terminalColumns } from '../screen/output.ts';
import { jsonDisplay, statusDisplay } from '../screen/status-display.ts';
import { userName } from '../user-name.ts';
import { selectionOf, watch } from '../watching.ts';
import { exportRun } from './export-file.ts';
import { formatOption, OUTPUT_HELP } from './model-commands.ts';
import { modelOutput } from './model-output.ts';
import { addPauseCommands } from './pause-commands.ts';
import { writeReport } from './report-file.ts';
import { collectOverrides, submitFile } from './submitting.ts';
import { addVerifyCommand } from './verify-command.ts';
import { failuresOf, printResults, waitFor } from './waiting.ts';

interface ExportFlags extends FleetOptions {
  readonly output: string;
  readonly stage: number;
  readonly evenFailed?: boolean;
  readonly format?: ExportFormat;
}

interface SubmitFlags extends FleetOptions {
  readonly set: Readonly<Record<string, string>>;
  readonly dryRun?: boolean;
  readonly fresh?: boolean;
  readonly wait?: boolean;
  readonly watch?: boolean;
}

export function addWorkCommands(program: Command): void {
  fleetCommand(program, 'submit <file>', 'submit a plan, sweep or run (YAML; - reads stdin)')
    .option(
      '--set <path=value>',
      'replace a field, e.g. --set search.strategy.trials=20 (repeatable)',
      collectOverrides,
      {},
    )
    .option('--dry-run', 'check it and show what it would do, as `plan` does')
    .option('--fresh', 'take no result of a run that computed the same; compute everything (reuse: none)')
    .option('--watch', 'show progress until all of it has ended; the exit code is 1 when any of it failed')
    .option('--wait', 'the same as --watch')
    .action((file: string, flags: SubmitFlags) => withFleet(flags, (client) => submit(client, file, flags)));
  fleetCommand(
    program,
    'plan <file>',
    'what a plan, sweep or run (YAML; - reads stdin) would do: runs, order, images, multiply-adds, worker time',
  )
    .option('--set <path=value>', 'replace a field (repeatable)', collectOverrides, {})
    .action((file: string, flags: SubmitFlags) =>
      withFleet(flags, (client) => submit(client, file, { ...flags, dryRun: true })),
    );
  fleetCommand(
    program,
    'watch [id]',
    'show the fleet as it changes, or one plan, sweep or run until it has ended; then the exit code is 1 when it failed',
  )
    .option('--until-finished', 'end when all of the fleet has ended, as for an id it always does')
    .action((id: string | undefined, flags: FleetOptions & { untilFinished?: boolean }) =>
      withFleet(flags, (client) => interruptible((signal) => show(client, id, flags, signal))),
    );
  fleetCommand(program, 'cancel <id>', 'end a plan, sweep, trial or run and all that belongs to it')
    .option('--reason <text>', 'kept in the journal', 'cancelled by a user')
    .action((id: string, flags: FleetOptions & { reason: string }) =>
      withFleet(flags, async (client) => {
        const request = { id, reason: flags.reason };
        const { cancelledIds } = await client.ask((service) => service.cancel, request);
        if (flags.json) printJson({ cancelledIds });
        else
          say(cancelledIds.length === 0 ? `${id} had ended already` : `cancelled ${cancelledIds.join(', ')}`);
      }),
    );
  addPauseCommands(program);
  fleetCommand(
    program,
    'resume <id>',
    'continue a plan, sweep, trial or run that failed, was cancelled or paused, with the same bits',
  )
    .option('--reason <text>', 'kept in the journal', `resumed by ${userName()}`)
    .action((id: string, flags: FleetOptions & { reason: string }) =>
      withFleet(flags, async (client) => {
        const request = { id, reason: flags.reason };
        const { resumedIds } = await client.ask((service) => service.resume, request);
        if (flags.json) printJson({ resumedIds });
        else say(`${resumedIds.join(', ')} ${resumedIds.length === 1 ? 'goes' : 'go'} on`);
      }),
    );
  addVerifyCommand(program);
  fleetCommand(program, 'export <run>', 'write the network of a run to a file')
    .requiredOption('-o, --output <file>', OUTPUT_HELP)
    .option('--stage <n>', 'checkpoint; 0 is the newest', wholeNumber(0, STAGE_MAX), 0)
    .option('--even-failed', 'also of a run that failed, and weights that are not finite')
    .addOption(formatOption())
    .action((run: string, flags: ExportFlags) => {
      const output = modelOutput(flags.output, flags.format);
      return withFleet(flags, (client) =>
        interruptible(async (signal) => {
          const { id } = await findRun(client, run);
          const request = { runId: id, stage: flags.stage, evenFailed: flags.evenFailed ?? false };
          const written = await exportRun(client, request, output, { signal, say });
          const text = `${written.file} (${formatBytes(written.bytes)}, SHA-256 ${written.digest})`;
          tellWritten(written, text, flags);
        }),
      );
    });
  fleetCommand(
    program,
    'report <plan>',
    'write an HTML report of a plan, in one file that needs nothing else',
  )
    .requiredOption('-o, --output <file>', 'file to write; - is stdout')
    .action((plan: string, flags: FleetOptions & { output: string }) =>
      withFleet(flags, async (client) => {
        const { id } = await client.ask((service) => service.getPlan, { id: plan });
        const path = await writeReport(client, id, flags.output);
        tellWritten({ file: path }, path, flags);
      }),
    );
}

async function submit(client: FleetClient, file: string, flags: SubmitFlags): Promise<void> {
  const { dryRun = false } = flags;
  const submitted = await interruptible((signal) =>
    submitFile(client, { file, overrides: flags.set, dryRun, fresh: flags.fresh, signal }),
  );
  for (const note of submitted.notes) say(`note: ${note}`);
  const ids = [...submitted.planIds, ...submitted.sweepIds, ...submitted.runIds];
  if (dryRun) {
    const { notes, forecast } = submitted;
    if (flags.json) printJson({ ok: true, notes, forecast });
    else {
      if (forecast !== undefined) print(forecastText(forecast, terminalColumns()));
      say(`${file} is right; nothing was submitted`);
    }
    return;
  }
  if (flags.json) printJson(submitted);
  else for (const id of ids) print(id);
  if (!flags.watch && !flags.wait) return;
  outliveReader();
  const failed = await interruptible((signal) =>
    waitFor(client, submitted, { signal, json: flags.json ?? false }),
  );
  failWith(failed);
}

/** How long a command waits for the first answer of a coordinator, milliseconds. */
const READY_MS = 5_000;

async function show(
  client: FleetClient,
  id: string | undefined,
  flags: { json?: boolean; untilFinished?: boolean },
  signal: AbortSignal,
): Promise<void> {
  const selection = id === undefined ? ({ kind: 'fleet' } as const) : await selectionOf(client, id);
  // A question about an id fails at once where nobody answers; for the whole fleet none was asked.
  if (id === undefined) await client.ready(READY_MS);
  const display = flags.json ? jsonDisplay() : statusDisplay({ isFleet: selection.kind === 'fleet' });
  // One thing that has ended changes no more; a fleet gets other work.
  const untilFinished = selection.kind !== 'fleet' || (flags.untilFinished ?? false);
  let last: Snapshot | undefined;
  try {
    for await (const snapshot of watch(client, selection, { signal, untilFinished, say: display.say })) {
      last = snapshot;
      display.show(snapshot);
    }
  } finally {
    display.close();
  }
  signal.throwIfAborted();
  if (selection.kind === 'fleet') return;
  // A script has the result in the last picture.
  if (!flags.json) await printResults(client, selection, { signal, json: false });
  failWith(failuresOf(last, selection));
}

/** One sentence for each, and the exit code of work that failed. */
function failWith(failures: readonly string[]): void {
  for (const reason of failures) say(`pocketfleet: ${reason}`);
  if (failures.length > 0) process.exitCode = 1;
}
