// The command line as a tree of commands, and nothing else: each group of commands is a file of its own.

import { Command } from 'commander';
import { addDemoCommand } from './demo-command.ts';
import { addFleetCommands } from './fleet-commands.ts';
import { addListCommands } from './list-commands.ts';
import { addLocalCommands } from './local-commands.ts';
import { addProofCommands } from './proof-commands.ts';
import { addWorkCommands } from './work-commands.ts';

export function createProgram(): Command {
  const program = new Command('pocketfleet')
    .description('Trains compact face-recognition networks on a fleet of machines.')
    .helpCommand(true)
    .showHelpAfterError('(--help after the command says what it takes)')
    .configureHelp({ showGlobalOptions: false })
    .exitOverride();
  addDemoCommand(program);
  addFleetCommands(program);
  addWorkCommands(program);
  addListCommands(program);
  addProofCommands(program);
  addLocalCommands(program);
  for (const command of allCommands(program)) command.exitOverride();
  return program;
}

function allCommands(parent: Command): Command[] {
  return parent.commands.flatMap((command) => [command, ...allCommands(command)]);
}
