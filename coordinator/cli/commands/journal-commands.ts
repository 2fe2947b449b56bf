// `journal`: what a person does about the journal as a whole. Decides what is shown, asked and copied before
// anything is cut off; the coordinator does the rest, also when it cannot lead.

import { rmSync } from 'node:fs';
import type { Command } from 'commander';
import { systemClock } from '../../../core/clock.ts';
import { type Code, FleetError, toFleetError } from '../../../core/errors.ts';
import { formatCount } from '../../../core/report/format.ts';
import type { JournalReport } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import type { FleetClient } from '../client.ts';
import { type FleetOptions, fleetCommand, interruptible, wholeNumber, withFleet } from '../context.ts';
import { confirmed } from '../screen/confirm.ts';
import { print, printJson, say } from '../screen/output.ts';
import { type ExportFlags, exportTo, importFrom, journalFile, writeMessages } from './journal-files.ts';

interface TruncateFlags extends FleetOptions {
  readonly after: number;
  readonly yes?: boolean;
  readonly copy?: string;
  readonly reason: string;
}

export function addJournalCommands(program: Command): void {
  const journal = program
    .command('journal')
    .description('the record of all decisions: checked, cut off where it is damaged, copied, put back');
  fleetCommand(
    journal,
    'check',
    'read the whole journal and name the first damage; exit code 1 when there is one',
  ).action((options: FleetOptions) => withFleet(options, (client) => check(client, options)));
  fleetCommand(
    journal,
    'truncate',
    'cut the journal off after a message, so that the fleet goes on from there',
  )
    .requiredOption(
      '--after <sequence>',
      'the last message that is kept; 0 keeps none',
      wholeNumber(0, 2 ** 50),
    )
    .option('--copy <file>', 'where a copy of what is cut off is written; never an existing file')
    .option('--reason <text>', 'kept in the journal', 'journal truncate')
    .option('--yes', 'do not ask')
    .action((flags: TruncateFlags) => withFleet(flags, (client) => truncate(client, flags)));
  fleetCommand(journal, 'export', 'write every message of the journal to a file, one JSON line each')
    .requiredOption('-o, --output <file>', 'where it is written; never an existing file')
    .option('--events', 'with the events of each message as JSON')
    .action((flags: ExportFlags) => withFleet(flags, (client) => exportTo(client, flags, () => ask(client))));
  fleetCommand(
    journal,
    'import <file>',
    'begin with the journal of an export; only in a fleet to which nothing was submitted yet',
  ).action((file: string, options: FleetOptions) =>
    withFleet(options, (client) => importFrom(client, file, options)),
  );
}

async function check(client: FleetClient, options: FleetOptions): Promise<void> {
  const report = await ask(client);
  if (options.json) printJson(report);
  else print(summary(report));
  if (report.damage !== '') process.exitCode = 1;
}

/** Milliseconds; a journal with many trials takes minutes to read. */
const ASK_MS = 600_000;
const ask = (client: FleetClient): Promise<JournalReport> =>
  client.ask((service) => service.checkJournal, {}, ASK_MS);

function summary(report: JournalReport): string {
  // The mark of an import takes nothing out.
  const cuts = report.cuts
    .filter(({ after, mark }) => mark - after > 1)
    .map(({ after, mark }) => `; ${after + 1} to ${mark - 1} were cut out before`)
    .join('');
  const size = `${formatCount(report.lastSequence)} messages, ${formatCount(report.events)} events`;
  return report.damage === ''
    ? `the journal is whole: ${size}${cuts}`
    : `${report.damage}\n${size} before the damage${cuts}`;
}

/** With these errors the journal is as it was. */
const NOTHING_CUT: ReadonlySet<Code> = new Set([
  'cancelled',
  'aborted',
  'invalidArgument',
  'failedPrecondition',
]);

/** Asks, and cuts off; the sequence of the mark. */
async function cutOff(
  client: FleetClient,
  { yes, after, reason }: TruncateFlags,
  { question, lastSequence }: { readonly question: string; readonly lastSequence: number },
): Promise<number> {
  if (!yes && !(await confirmed(question, 'cut the journal off')))
    throw new FleetError('cancelled', 'nothing was cut off');
  const request = { after, lastSequence, reason };
  return (await client.ask((service) => service.truncateJournal, request, ASK_MS)).mark;
}

async function truncate(client: FleetClient, flags: TruncateFlags): Promise<void> {
  const report = await ask(client);
  if (flags.after > report.goodSequence)
    throw new FleetError(
      'invalidArgument',
      `--after ${flags.after}: the journal is whole up to ${report.goodSequence} only; take that or less`,
    );
  if (flags.after === report.lastSequence && report.damage === '')
    throw new FleetError(
      'invalidArgument',
      `--after ${flags.after}: the journal ends there and is whole; nothing is to be cut off`,
    );
  const made = `journal-after-${flags.after}-${new Date(systemClock.now()).toISOString().replace(/[:.]/g, '-')}.jsonl`;
  const copy = journalFile(flags.copy ?? made, '--copy');
  const copied = await interruptible((signal) =>
    writeMessages(client, { file: copy, after: flags.after, events: false, signal }),
  );
  const gone = report.lastSequence - flags.after;
  say(
    `${formatCount(gone)} messages after ${flags.after} are to be cut off, ${formatCount(copied)} of them are there; a copy is in ${copy}`,
  );
  const question = `cut the journal off after message ${flags.after}?`;
  const mark = await cutOff(client, flags, { question, lastSequence: report.lastSequence }).catch(
    (caught: unknown) => {
      const error = toFleetError(caught);
      // A copy of what is still there would be in the way of the next try; after any other error it may be the last.
      if (NOTHING_CUT.has(error.code)) rmSync(copy, { force: true });
      throw error;
    },
  );
  if (flags.json) printJson({ mark, copy, messages: copied });
  else print(`the journal goes on after ${flags.after}; the mark is message ${mark}`);
}
