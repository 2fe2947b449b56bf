// What the fleet stores: `artefacts` lists it, says what a text would add and lets it go, `rm` and `prune` take
// what has ended out of the lists with all that it has stored. Decides what is assumed where neither a text nor
// its data says a number, and what is asked before anything goes.

import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { systemClock } from '../../../core/clock.ts';
import { cacheFolder } from '../../../core/config.ts';
import { createInspections } from '../../../core/data/inspection/inspections.ts';
import { FleetError, toFleetError } from '../../../core/errors.ts';
import { formatBytes } from '../../../core/report/format.ts';
import type { DataSpec } from '../../../core/spec/data.ts';
import type { DocumentSpec } from '../../../core/spec/document.ts';
import { foundText } from '../../../core/text/printable.ts';
import type { RunArtefacts, StageArtefact } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import type { FleetClient } from '../client.ts';
import {
  type FleetOptions,
  fleetCommand,
  interruptible,
  STAGE_MAX,
  wholeNumber,
  withFleet,
} from '../context.ts';
import { listAll } from '../pages.ts';
import { confirmed } from '../screen/confirm.ts';
import { print, printJson, say } from '../screen/output.ts';
import { progressLine } from '../screen/progress-line.ts';
import { type Column, table } from '../screen/table.ts';
import { runsOf } from '../whole-lists.ts';
import { submittable } from '../yaml-file.ts';
import { footprintsOf, type RunFootprint } from './footprints.ts';

interface ArtefactFlags extends FleetOptions {
  readonly file?: string;
  readonly classes?: number;
  readonly workers: number;
  readonly delete?: boolean;
  readonly dryRun?: boolean;
  readonly reason: string;
}

interface RemoveFlags extends FleetOptions {
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly reason: string;
}

interface PruneFlags extends RemoveFlags {
  readonly days: number;
}

export function addArtefactCommands(program: Command): void {
  fleetCommand(
    program,
    'artefacts [id]',
    'what is stored of plans, sweeps and runs, and who holds it; with -f what a text would store',
  )
    .option('--delete', 'let go of what a run that has ended, or its stage RUN/STAGE, has stored')
    .option('--dry-run', 'only say what would go, or with -f what would be stored')
    .option('-f, --file <file>', 'plan, sweep or runs as YAML, before they are submitted')
    .option(
      '--classes <n>',
      'with -f: identities of the training data, which is not looked at then',
      wholeNumber(2, 1e8),
    )
    .option(
      '--workers <n>',
      'with -f: candidates at once where a search leaves that to the fleet',
      wholeNumber(1, 1e6),
      4,
    )
    .option('--reason <text>', 'kept in the journal', 'deleted by a user')
    .action((id: string | undefined, flags: ArtefactFlags) => {
      if (flags.file !== undefined) return estimate({ ...flags, file: flags.file });
      if (flags.dryRun && !flags.delete)
        throw new FleetError(
          'invalidArgument',
          '--dry-run goes with --delete, for what would go, or with -f FILE, for what a text would store',
        );
      return withFleet(flags, (client) =>
        flags.delete ? deleteOf(client, id, flags) : list(client, id ?? '', flags),
      );
    });
  fleetCommand(
    program,
    'rm <id>',
    'take a plan, a sweep or a run that has ended out of the lists, with all that it has stored',
  )
    .option('--dry-run', 'only say what would go')
    .option('--yes', 'do not ask')
    .option('--reason <text>', 'kept in the journal', 'removed by a user')
    .action((id: string, flags: RemoveFlags) => withFleet(flags, (client) => removeAll(client, [id], flags)));
  fleetCommand(program, 'prune', 'rm for every plan, sweep and run that has ended')
    .option('--days <n>', 'only those that ended so many days ago or earlier', wholeNumber(0, 100_000), 0)
    .option('--dry-run', 'only say what would go')
    .option('--yes', 'do not ask')
    .option('--reason <text>', 'kept in the journal', 'pruned by a user')
    .action((flags: PruneFlags) =>
      withFleet(flags, async (client) => removeAll(client, await endedBefore(client, flags.days), flags)),
    );
}

/** What is stored, run by run and stage by stage. */
async function list(client: FleetClient, id: string, flags: FleetOptions): Promise<void> {
  const { items } = await listAll(
    (page) => client.ask((service) => service.listArtefacts, { id, ...page }),
    (answer) => answer.runs,
  );
  const runs = largestFirst(items);
  const totalBytes = runs.reduce((sum, { bytes }) => sum + bytes, 0);
  if (flags.json) {
    printJson({ totalBytes, runs });
    return;
  }
  print(table(runs.flatMap(rowsOf), ARTEFACT_COLUMNS));
  say(runs.length === 0 ? 'nothing is stored' : `${formatBytes(totalBytes)} of ${runs.length} runs`);
}

/** One entry a run: the items of a run with very many stages are put together. */
function largestFirst(items: readonly RunArtefacts[]): RunArtefacts[] {
  const byRun = new Map<string, RunArtefacts>();
  for (const item of items) {
    const found = byRun.get(item.runId);
    if (found === undefined) byRun.set(item.runId, item);
    else for (const stage of item.stages) found.stages.push(stage);
  }
  return [...byRun.values()].sort((a, b) => b.bytes - a.bytes);
}

interface ArtefactRow {
  readonly run: string;
  readonly what: string;
  readonly bytes: number;
  readonly parts: string;
  readonly heldBy: string;
}

function rowsOf({
  runId,
  name,
  kind,
  state,
  bytes,
  reportBytes,
  stages,
  steps,
}: RunArtefacts): ArtefactRow[] {
  const whole = { run: name === '' ? runId : `${runId} (${name})`, what: [kind, state].join(' ').trim() };
  return [
    { ...whole, bytes, parts: '', heldBy: '' },
    ...stages.map((one) => checkpointRow(`stage ${one.stage}`, one)),
    ...steps.map((one) => checkpointRow(`paused at step ${one.step}`, one)),
    ...(reportBytes > 0 ? [{ run: '', what: 'report', bytes: reportBytes, parts: '', heldBy: '' }] : []),
  ];
}

function checkpointRow(
  what: string,
  { bytes, parts, heldBy }: Pick<StageArtefact, 'bytes' | 'parts' | 'heldBy'>,
): ArtefactRow {
  const texts = parts.map((part) => `${part.name} ${formatBytes(part.bytes)}`);
  return { run: '', what, bytes, parts: texts.join(', '), heldBy };
}

const ARTEFACT_COLUMNS: readonly Column<ArtefactRow>[] = [
  { head: 'RUN', cell: (row) => row.run },
  { head: 'WHAT', cell: (row) => row.what },
  { head: 'SIZE', align: 'right', cell: (row) => formatBytes(row.bytes) },
  { head: 'PARTS', cell: (row) => row.parts },
  { head: 'HELD BY', cell: (row) => row.heldBy },
];

/** In a request, the whole run. */
const WHOLE_RUN = 0;

async function deleteOf(client: FleetClient, id: string | undefined, flags: ArtefactFlags): Promise<void> {
  const [, run, named] = /^([^/]+)(?:\/(\d+))?$/.exec(id ?? '') ?? [];
  const stage = Number(named ?? WHOLE_RUN);
  if (run === undefined || stage > STAGE_MAX || (named !== undefined && stage === WHOLE_RUN))
    throw new FleetError(
      'invalidArgument',
      `--delete needs a run, or a stage of it from 1 on: artefacts --delete RUN/STAGE${id === undefined ? '' : `, found ${foundText(id)}`}`,
    );
  const { dryRun = false, reason } = flags;
  const request = { runId: run, stage, dryRun, reason };
  const { bytes } = await client.ask((service) => service.deleteArtefacts, request);
  if (flags.json) printJson({ id, bytes, dryRun });
  else if (bytes === 0) say(`nothing of ${id} is stored any more`);
  else say(`${formatBytes(bytes)} of ${id} ${dryRun ? 'would go' : 'go'}`);
}

interface Removal {
  readonly removed: { readonly id: string; readonly bytes: number }[];
  readonly refused: { readonly id: string; readonly reason: string }[];
}

/** Asks for each thing in turn; what cannot go is refused, and stays. */
async function removed(client: FleetClient, ids: readonly string[], reason: string, dryRun: boolean) {
  const all: Removal = { removed: [], refused: [] };
  for (const id of ids)
    try {
      const { removedId, bytes } = await client.ask((service) => service.remove, { id, reason, dryRun });
      all.removed.push({ id: removedId, bytes });
    } catch (caught) {
      if (ids.length === 1) throw caught;
      all.refused.push({ id, reason: toFleetError(caught).message });
    }
  return all;
}

async function removeAll(client: FleetClient, ids: readonly string[], flags: RemoveFlags): Promise<void> {
  const { dryRun = false, yes = false, reason } = flags;
  let done = await removed(client, ids, reason, true);
  const what = ({ removed: gone }: Removal) =>
    `${gone.map(({ id }) => id).join(', ')} with ${formatBytes(gone.reduce((sum, { bytes }) => sum + bytes, 0))} in the store`;
  if (!dryRun && done.removed.length > 0) {
    if (!yes && !(await confirmed(`remove ${what(done)}?`, 'remove it')))
      throw new FleetError('cancelled', 'nothing was removed');
    // What something learned from can go once that has gone.
    done = await removed(client, ids, reason, false);
  }
  if (flags.json) printJson({ ...done, dryRun });
  else {
    for (const { id, reason: why } of done.refused) say(`${id} stays: ${why}`);
    if (done.removed.length === 0) say('nothing has ended that could be removed');
    else say(`${dryRun ? 'would remove' : 'removed'} ${what(done)}`);
  }
}

/** Whatever stands by itself and ended so many days ago, what learned from something before what it learned from. */
async function endedBefore(client: FleetClient, days: number): Promise<string[]> {
  const until = systemClock.now() - days * 86_400_000;
  const isDue = ({ endedAtMs }: { readonly endedAtMs: number }) => endedAtMs > 0 && endedAtMs <= until;
  const { items: plans } = await listAll(
    (page) => client.ask((service) => service.listPlans, page),
    (answer) => answer.plans,
  );
  const { items: sweeps } = await listAll(
    (page) => client.ask((service) => service.listSweeps, page),
    (answer) => answer.sweeps,
  );
  const runs = await runsOf(client);
  const alone = <T extends { readonly planId: string }>(things: readonly T[]) =>
    things.filter(({ planId }) => planId === '');
  return [
    ...alone(runs)
      .filter((run) => run.sweepId === '' && isDue(run))
      .reverse(),
    ...alone(sweeps).filter(isDue),
    ...plans.filter(isDue),
  ].map(({ id }) => id);
}

/** The most that each run of a file would store at one time. */
async function estimate(flags: ArtefactFlags & { readonly file: string }): Promise<void> {
  const documents = await submittable(flags.file);
  const classes = await classesOf(documents, flags);
  const runs = footprintsOf(documents, { classes, workers: flags.workers });
  const bytes = runs.reduce((sum, run) => sum + run.bytes, 0);
  if (flags.json) {
    printJson({ bytes, runs });
    return;
  }
  print(table(runs, COLUMNS));
  say(`at most ${formatBytes(bytes)} at one time, if all of it trains at once; nothing is stored yet`);
}

const COLUMNS: readonly Column<RunFootprint>[] = [
  { head: 'RUN', cell: (run) => run.name },
  { head: 'KIND', cell: (run) => run.kind },
  { head: 'STAGES', align: 'right', cell: (run) => String(run.stages) },
  { head: 'CHECKPOINT', align: 'right', cell: (run) => formatBytes(wholeBytes(run)) },
  { head: 'NETWORK', align: 'right', cell: (run) => formatBytes(run.parts.backbone ?? 0) },
  { head: 'KEPT WHOLE', align: 'right', cell: (run) => String(run.wholeStages) },
  { head: 'NETWORKS', align: 'right', cell: (run) => String(run.networks) },
  { head: 'AT MOST', align: 'right', cell: (run) => formatBytes(run.bytes) },
];

const wholeBytes = ({ parts }: RunFootprint): number =>
  Object.values(parts).reduce((sum, bytes) => sum + bytes, 0);

/** Classes of each data set: as given, of drawn faces as the text says, otherwise by a look at the set. */
async function classesOf(
  documents: readonly DocumentSpec[],
  { classes, file }: Pick<ArtefactFlags, 'classes'> & { readonly file: string },
): Promise<(data: DataSpec) => number> {
  if (classes !== undefined) return () => classes;
  const known = new Map<DataSpec, number>();
  const progress = progressLine();
  const inspections = createInspections({ cacheDir: join(cacheFolder(), 'data') });
  try {
    await interruptible(async (signal) => {
      for (const { data } of documents) {
        const set = data.kind === 'synthetic' ? data : { ...data, path: resolve(file, '..', data.path) };
        const { facts } = await inspections.set(set, {
          signal,
          onProgress: (at) => progress.show('path' in set ? set.path : 'faces', at),
        });
        known.set(data, facts.classes);
      }
    });
  } finally {
    progress.close();
    await inspections.close();
  }
  return (data) => {
    const found = known.get(data);
    if (found === undefined) throw new FleetError('internal', 'a data set that was not looked at');
    return found;
  };
}
