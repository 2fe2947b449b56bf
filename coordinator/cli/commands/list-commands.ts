// Commands that only look: plans, sweeps, trials, leaderboard, runs, workers, checkpoints, logs, why. Each
// asks once and prints a table, or JSON.

import type { Command } from 'commander';
import { FleetError } from '../../../core/errors.ts';
import {
  formatBytes,
  formatCount,
  formatNumber,
  formatPercent,
  formatTime,
  UNKNOWN,
} from '../../../core/report/format.ts';
import { cellText } from '../../../core/report/runs.ts';
import { NOUNS } from '../../../core/text/naming.ts';
import type { Checkpoint, Sweep, Trial } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import type { FleetClient } from '../client.ts';
import {
  type FleetOptions,
  findOne,
  fleetCommand,
  interruptible,
  STAGE_MAX,
  wholeNumber,
  withFleet,
} from '../context.ts';
import { logLines, logText } from '../log-lines.ts';
import { type Listed, listAll, listNewest } from '../pages.ts';
import { PLAN_COLUMNS, RUN_COLUMNS, SWEEP_COLUMNS, trialColumns, WORKER_COLUMNS } from '../screen/columns.ts';
import { type ListFlags, listLimit, printList } from '../screen/lists.ts';
import { print, printJson, say, toJson } from '../screen/output.ts';
import type { Column } from '../screen/table.ts';

export function addListCommands(program: Command): void {
  listCommand(program, 'plans', 'list plans').action((options: FleetOptions) =>
    withList(options, async (client) => {
      const plans = await listNewest(
        limitOf(options),
        (page) => client.ask((service) => service.listPlans, page),
        (answer) => answer.plans,
      );
      printList(plans, PLAN_COLUMNS, { ...options, none: 'no plans' });
    }),
  );
  listCommand(program, 'sweeps', 'list sweeps').action((options: FleetOptions) =>
    withList(options, async (client) => {
      const sweeps = await listNewest(
        limitOf(options),
        (page) => client.ask((service) => service.listSweeps, page),
        (answer) => answer.sweeps,
      );
      printList(sweeps, SWEEP_COLUMNS, { ...options, none: 'no sweeps' });
    }),
  );
  listCommand(
    program,
    'trials <sweep>',
    'list the candidates of a sweep in the order of their numbers',
  ).action((sweep: string, options: FleetOptions) =>
    withList(options, async (client) => {
      const of = await client.ask((service) => service.getSweep, { id: sweep });
      const trials = await listNewest(
        limitOf(options),
        (page) => client.ask((service) => service.listTrials, { sweepId: of.id, ...page }),
        (answer) => answer.trials,
      );
      printTrials(of, trials, options);
    }),
  );
  fleetCommand(program, 'leaderboard <sweep>', 'list the finished candidates of a sweep, best first')
    .option('--limit <n>', 'at most this many', wholeNumber(1, 1_000_000), 20)
    .action((sweep: string, options: FleetOptions & { limit: number }) =>
      withList(options, async (client) => {
        const of = await client.ask((service) => service.getSweep, { id: sweep });
        const trials = await listAll(
          ({ pageSize: limit, pageToken }) =>
            client.ask((service) => service.leaderboard, { sweepId: of.id, limit, pageToken }),
          (answer) => answer.trials,
          options.limit,
        );
        const { items } = trials;
        printTrials(of, { items, total: items.length }, options);
      }),
    );
  listCommand(program, 'runs', 'list training runs')
    .option('--plan <plan>', 'only those of a plan', '')
    .option('--sweep <sweep>', 'only those of a sweep', '')
    .action((options: FleetOptions & { plan: string; sweep: string }) =>
      withList(options, async (client) => {
        const request = { planId: options.plan, sweepId: options.sweep };
        const runs = await listNewest(
          limitOf(options),
          (page) => client.ask((service) => service.listRuns, { ...request, ...page }),
          (answer) => answer.runs,
        );
        printList(runs, RUN_COLUMNS, { ...options, none: 'no runs' });
      }),
    );
  listCommand(program, 'workers', 'list workers').action((options: FleetOptions) =>
    withList(options, async (client) => {
      const workers = await listAll(
        (page) => client.ask((service) => service.listWorkers, page),
        (answer) => answer.workers,
      );
      printList(workers, WORKER_COLUMNS, { ...options, none: 'no workers have attached' });
    }),
  );
  const checkpoints = listCommand(program, 'checkpoints <run>', 'list the checkpoints of a run');
  checkpoints.action((run: string, options: FleetOptions) =>
    withList(options, async (client) => {
      const stages = await listAll(
        (page) => client.ask((service) => service.listCheckpoints, { runId: run, ...page }),
        (answer) => answer.checkpoints,
      );
      printList(stages, checkpointColumns(stages.items), { ...options, none: 'no checkpoints yet' });
    }),
  );
  fleetCommand(checkpoints, 'keep <run>', 'keep a stored stage whatever checkpoints.keep says')
    .argument('<stage>', 'its number', wholeNumber(1, STAGE_MAX))
    .option('--release', 'let checkpoints.keep decide about it again')
    .option('--reason <text>', 'kept in the journal', 'kept by a user')
    .action((run: string, stage: number, flags: FleetOptions & { release?: boolean; reason: string }) =>
      withFleet(flags, async (client) => {
        const { release = false, reason } = flags;
        await client.ask((service) => service.keepCheckpoint, { runId: run, stage, release, reason });
        if (flags.json) printJson({ run, stage, kept: !release });
        else
          say(
            `stage ${stage} of ${run} is ${release ? 'kept no longer than checkpoints.keep says' : 'kept'}`,
          );
      }),
    );
  fleetCommand(program, 'logs <run-or-worker>', 'print the log of a run (of all its workers) or of a worker')
    .option('-f, --follow', 'go on with the lines to come')
    .action((id: string, options: FleetOptions & { follow?: boolean }) =>
      withFleet(options, (client) => interruptible((signal) => printLogs(client, id, options, signal))),
    );
  listCommand(
    program,
    'why <id-or-queue-or-gang> [id]',
    'the decisions about a plan, sweep, trial, run or worker, and what is so now; `queue`: who waits, in which order; `gang RUN`: who trains it',
  ).action((first: string, second: string | undefined, options: FleetOptions) =>
    withList(options, async (client) => {
      const request = whyRequest(first, second);
      const id = request.id || 'the queue';
      const decisions = await listAll(
        (page) => client.ask((service) => service.why, { ...request, ...page }),
        (answer) => answer.decisions,
      );
      printList(
        decisions,
        [
          { head: '#', align: 'right', cell: (d) => formatCount(d.sequence) },
          { head: 'TIME', cell: (d) => formatTime(d.atMs) },
          { head: 'EVENT', cell: (d) => d.event },
          { head: 'WHAT AND WHY', cell: (d) => d.text },
        ],
        { ...options, none: `nothing was decided about ${id}` },
      );
    }),
  );
}

/** What two words ask about: `queue`, `gang RUN`, an id, or a noun with its id. */
function whyRequest(first: string, second: string | undefined): { id: string; about?: string } {
  if (second === undefined) return first === 'queue' ? { id: '', about: 'queue' } : { id: first };
  if (first === 'gang') return { id: second, about: 'gang' };
  if ((NOUNS as readonly string[]).includes(first)) return { id: second };
  throw new FleetError(
    'invalidArgument',
    `${first} is nothing that can be asked about by an id; one of ${[...NOUNS, 'gang'].join(', ')}, or the id alone`,
  );
}

const limitOf = (flags: ListFlags): number => listLimit(flags, process.stdout.isTTY);

/**
 * `withFleet`, with a warning on stderr when the fleet makes no decisions: its list may then lack what was
 * submitted lately.
 */
function withList(options: FleetOptions, use: (client: FleetClient) => Promise<void>): Promise<void> {
  return withFleet(options, async (client) => {
    await use(client);
    // The list is printed by now, and stays good when this cannot be asked.
    const store = await client.ask((service) => service.getStore, {}).catch(() => undefined);
    if (store !== undefined && store.halted !== '') say(`what is shown may be incomplete: ${store.halted}`);
  });
}

/** A command that prints a list; on a terminal its newest rows. */
function listCommand(parent: Command, nameAndArguments: string, description: string): Command {
  return fleetCommand(parent, nameAndArguments, description)
    .option('--limit <n>', 'the newest n', wholeNumber(1, 10_000_000))
    .option('--all', 'all of them; on a terminal the newest 50 are shown without it');
}

const CHECKPOINT_COLUMNS: readonly Column<Checkpoint>[] = [
  { head: 'STAGE', align: 'right', cell: (c) => String(c.stage) },
  { head: 'STEP', align: 'right', cell: (c) => formatCount(c.step) },
  { head: 'SIZE', align: 'right', cell: (c) => formatBytes(c.bytes) },
  { head: 'STORED', cell: (c) => formatTime(c.storedAtMs, true) },
  { head: 'HELD', cell: (c) => (c.note === '' ? c.held : `${c.held} (${c.note})`) },
  { head: 'SHA-256', cell: (c) => c.digest },
];

/** Of a search also what each stage has found. */
const checkpointColumns = (stages: readonly Checkpoint[]): readonly Column<Checkpoint>[] =>
  stages.some(({ found }) => found !== undefined)
    ? [
        ...CHECKPOINT_COLUMNS.slice(0, 2),
        ...FOUND_COLUMNS,
        ...(stages.some(({ found }) => found?.evaluation !== undefined) ? EVALUATION_COLUMNS : []),
        ...CHECKPOINT_COLUMNS.slice(2),
      ]
    : CHECKPOINT_COLUMNS;

const FOUND_COLUMNS: readonly Column<Checkpoint>[] = [
  { head: 'LOSS', align: 'right', cell: ({ found }) => formatNumber(found?.trainingLoss ?? Number.NaN) },
  { head: 'ALPHAS', align: 'right', cell: ({ found }) => formatNumber(found?.validationLoss ?? Number.NaN) },
  {
    head: 'SKIPS',
    align: 'right',
    cell: ({ found }) => (found === undefined ? UNKNOWN : String(found.skips)),
  },
  { head: 'NEW EDGES', align: 'right', cell: ({ found }) => String(found?.changedEdges ?? UNKNOWN) },
  { head: 'NORMAL CELL', cell: ({ found }) => cellText(found?.genotypeJson ?? '') },
];

const EVALUATION_COLUMNS: readonly Column<Checkpoint>[] = [
  {
    head: 'EVALUATED',
    align: 'right',
    cell: ({ found }) => formatNumber(found?.evaluation?.loss ?? Number.NaN),
  },
  {
    head: 'RIGHT',
    align: 'right',
    cell: ({ found }) => formatPercent(found?.evaluation?.accuracy ?? Number.NaN),
  },
];

function printTrials(sweep: Sweep, trials: Listed<Trial>, options: ListFlags): void {
  printList(trials, trialColumns(sweep, trials.items), { ...options, none: 'no trials yet' });
}

async function printLogs(
  client: FleetClient,
  idOrName: string,
  options: { follow?: boolean; json?: boolean },
  signal: AbortSignal,
): Promise<void> {
  const { kind, id } = await findOne(client, idOrName, ['worker', 'run']);
  const request = {
    workerId: kind === 'worker' ? id : '',
    runId: kind === 'run' ? id : '',
    follow: options.follow ?? false,
  };
  for await (const line of logLines(client, request, { signal, say }))
    print(options.json ? toJson(line) : logText(line));
}
