// Completion of the command line in a shell: the script, and the hidden command that the script asks for ids. Decides
// that a fleet has a second to answer and that a failure says nothing, because somebody is typing.

import { Argument, type Command } from 'commander';
import { after } from '../../../core/clock.ts';
import { NOUNS, type Noun } from '../../../core/text/naming.ts';
import type { FleetClient } from '../client.ts';
import { type FleetOptions, fleetCommand, withFleet } from '../context.ts';
import { print } from '../screen/output.ts';
import { completionScript, IDS_COMMAND, SHELLS, type Shell } from './completion-scripts.ts';
import { nodesOf } from './completion-tree.ts';

/** `whole` makes the program with all of its commands. */
export function addCompletionCommands(program: Command, whole: () => Promise<Command>): void {
  program
    .command('completion')
    .description('print the completion script of a shell, for its start-up file')
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .action(async (shell: Shell) => {
      print(completionScript(shell, nodesOf(await whole())));
    });
  const ids = fleetCommand(program, `${IDS_COMMAND} <nouns...>`, 'print the ids and names of the fleet');
  // Commander hides a command that is declared as hidden, and `fleetCommand` declares it for all.
  Object.assign(ids, { _hidden: true });
  ids.action(async (nouns: readonly string[], flags: FleetOptions) => {
    const words = await Promise.race([idsOf(nouns, flags), silence()]);
    if (words.length > 0) print(words.join('\n'));
    // The connection that is still being tried keeps the process alive.
    process.exit(0);
  });
}

const WITHIN_MS = 1_000;
/** Newest things of each kind; a person chooses among few. */
const NEWEST = 200;
/** Trials are listed by sweep; of older sweeps they are not offered. */
const NEWEST_SWEEPS = 4;

/** Nothing, after the time that the fleet has. */
const silence = (): Promise<readonly string[]> => new Promise((done) => after(WITHIN_MS, () => done([])));

async function idsOf(nouns: readonly string[], flags: FleetOptions): Promise<readonly string[]> {
  const wanted = NOUNS.filter((noun) => nouns.includes(noun));
  const found = await withFleet(flags, (client) =>
    Promise.all(wanted.map((noun) => thingsOf(client, noun).catch(() => []))),
  ).catch(() => []);
  const words = found.flat().flatMap(({ id, name }) => [id, ...(name === undefined ? [] : [name])]);
  return [...new Set(words)].filter((word) => /^[\w.-]+$/.test(word));
}

type Thing = { readonly id: string; readonly name?: string };

async function thingsOf(client: FleetClient, noun: Noun): Promise<readonly Thing[]> {
  const page = { pageSize: NEWEST, pageToken: '', newestFirst: true };
  switch (noun) {
    case 'plan':
      return (await client.ask((service) => service.listPlans, page, WITHIN_MS)).plans;
    case 'sweep':
      return (await client.ask((service) => service.listSweeps, page, WITHIN_MS)).sweeps;
    case 'run': {
      const request = { ...page, planId: '', sweepId: '' };
      return (await client.ask((service) => service.listRuns, request, WITHIN_MS)).runs;
    }
    case 'worker': {
      const { workers } = await client.ask((service) => service.listWorkers, page, WITHIN_MS);
      return workers.map(({ id }) => ({ id }));
    }
    case 'trial': {
      const sweeps = { ...page, pageSize: NEWEST_SWEEPS };
      const { sweeps: newest } = await client.ask((service) => service.listSweeps, sweeps, WITHIN_MS);
      const lists = newest.map(({ id: sweepId }) =>
        client.ask((service) => service.listTrials, { ...page, sweepId }, WITHIN_MS),
      );
      return (await Promise.all(lists)).flatMap(({ trials }) => trials.map(({ id }) => ({ id })));
    }
  }
}
