// The command line as a tree of commands, and nothing else: each group of commands is a file of its own.

import { Command } from 'commander';
import { packageVersion } from '../../core/system/version.ts';
import { addDemoCommand } from './commands/demo-command.ts';
import { addLocalCommands } from './commands/describe-command.ts';
import { addFleetCommands } from './commands/fleet-commands.ts';
import { addJournalCommands } from './commands/journal-commands.ts';
import { addListCommands } from './commands/list-commands.ts';
import { addProofCommands } from './commands/proof-commands.ts';
import { addWorkCommands } from './commands/work-commands.ts';
import { refuseUnknownWords, unknownText } from './words.ts';

export function createProgram(): Command {
  const program = new Command('pocketfleet')
    .description('Trains compact face-recognition networks on a fleet of machines.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpCommand(false)
    .showHelpAfterError('(--help after the command says what it takes)')
    .configureHelp({ showGlobalOptions: false })
    .addHelpText('after', EXIT_CODES);
  addDemoCommand(program);
  addFleetCommands(program);
  addWorkCommands(program);
  addListCommands(program);
  addProofCommands(program);
  addJournalCommands(program);
  addLocalCommands(program);
  addWordsAboutItself(program);
  for (const command of [program, ...allCommands(program)]) {
    command.exitOverride();
    if (command.commands.length > 0) refuseUnknownWords(command);
  }
  program.hook('preAction', (_program, command) => refuseEmptyValues(command));
  return program;
}

/** `--dir "$DIR"` with a variable that is not set is a mistake: as a path, the empty text would be the current folder. */
function refuseEmptyValues(command: Command): void {
  for (const option of command.options) {
    const name = option.attributeName();
    if (command.getOptionValue(name) !== '') continue;
    const source = command.getOptionValueSource(name);
    // A variable that is set to nothing is one that is not set.
    if (source === 'env') command.setOptionValueWithSource(name, option.defaultValue, 'default');
    else if (source === 'cli' && option.long !== '--token')
      command.error(`error: option '${option.flags}' has an empty value; give one, or leave the option out`, {
        exitCode: 2,
        code: 'pocketfleet.emptyValue',
      });
  }
}

const EXIT_CODES = `
Exit codes: 0 done; 1 failed, one sentence says why and what to do; 2 not understood; 130 after Ctrl-C, 143 after SIGTERM.
--json, --dir, --coordinator and --token may stand before or after the command.`;

/** `help` of any command, those of groups included, and `version` as a word. */
function addWordsAboutItself(program: Command): void {
  program
    .command('help [command...]')
    .description('what a command does and takes')
    .action((words: readonly string[]) => {
      let command = program;
      for (const word of words) {
        const next = command.commands.find((one) => one.name() === word);
        // A command without commands of its own is where the path ends; the rest are its arguments.
        if (next === undefined && command.commands.length === 0) break;
        if (next === undefined)
          command.error(`error: ${unknownText(command, word)}`, {
            exitCode: 2,
            code: 'commander.unknownCommand',
          });
        else command = next;
      }
      command.outputHelp();
    });
  program
    .command('version')
    .description('print the version')
    .option('--json', 'print JSON')
    .action(({ json }: { json?: boolean }) => {
      const version = packageVersion();
      process.stdout.write(`${json ? JSON.stringify({ version }) : version}\n`);
    });
}

function allCommands(parent: Command): Command[] {
  return parent.commands.flatMap((command) => [command, ...allCommands(command)]);
}
