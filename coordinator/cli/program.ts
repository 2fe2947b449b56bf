// The command line as a tree of commands: each group of commands is a file of its own, which is loaded when
// it is asked for.

import { Command } from 'commander';
import { packageVersion } from '../../core/system/version.ts';
import { refuseUnknownWords, unknownText } from './words.ts';

/** Commands that are declared together, by their first words. */
interface Group {
  readonly words: readonly string[];
  add(program: Command): Promise<void>;
}

/** In the order in which help lists them. */
const GROUPS: readonly Group[] = [
  {
    words: ['demo'],
    add: async (program) => (await import('./commands/demo-command.ts')).addDemoCommand(program),
  },
  {
    words: ['up', 'join', 'down'],
    add: async (program) => (await import('./commands/fleet-commands.ts')).addFleetCommands(program),
  },
  {
    words: [
      'submit',
      'plan',
      'watch',
      'cancel',
      'pause',
      'resume',
      'priority',
      'drain',
      'verify',
      'export',
      'report',
    ],
    add: async (program) => (await import('./commands/work-commands.ts')).addWorkCommands(program),
  },
  {
    words: ['plans', 'sweeps', 'trials', 'leaderboard', 'runs', 'workers', 'checkpoints', 'logs', 'why'],
    add: async (program) => (await import('./commands/list-commands.ts')).addListCommands(program),
  },
  {
    words: ['goodput'],
    add: async (program) => (await import('./commands/goodput-command.ts')).addGoodputCommand(program),
  },
  {
    words: ['pareto'],
    add: async (program) => (await import('./commands/pareto-command.ts')).addParetoCommand(program),
  },
  {
    words: ['tau'],
    add: async (program) => (await import('./commands/tau-command.ts')).addTauCommand(program),
  },
  {
    words: ['genotype'],
    add: async (program) => (await import('./commands/genotype-command.ts')).addGenotypeCommand(program),
  },
  {
    words: ['compare'],
    add: async (program) => (await import('./commands/compare-command.ts')).addCompareCommand(program),
  },
  {
    words: ['top'],
    add: async (program) => (await import('./commands/top-command.ts')).addTopCommand(program),
  },
  {
    words: ['artefacts', 'rm', 'prune'],
    add: async (program) => (await import('./commands/artefact-commands.ts')).addArtefactCommands(program),
  },
  {
    words: ['ledger', 'replay', 'bisect'],
    add: async (program) => (await import('./commands/proof-commands.ts')).addProofCommands(program),
  },
  {
    words: ['journal'],
    add: async (program) => (await import('./commands/journal-commands.ts')).addJournalCommands(program),
  },
  {
    words: ['token'],
    add: async (program) => (await import('./commands/token-commands.ts')).addTokenCommands(program),
  },
  {
    words: ['keys'],
    add: async (program) => (await import('./commands/keys-commands.ts')).addKeysCommands(program),
  },
  {
    words: ['schema'],
    add: async (program) => (await import('./commands/schema-command.ts')).addSchemaCommand(program),
  },
  {
    words: ['completion', 'completion-ids'],
    add: async (program) =>
      (await import('./commands/completion-command.ts')).addCompletionCommands(program, () =>
        createProgram(),
      ),
  },
  {
    words: ['model', 'data'],
    add: async (program) => (await import('./commands/describe-command.ts')).addLocalCommands(program),
  },
];

/**
 * `words`: the command line. Only the group of its command is loaded; no group for the version and for the help of
 * the whole program, which the summaries are enough for; and all of them where a refusal looks for a command, or
 * there is no command line.
 */
export function createProgram(words?: readonly string[]): Promise<Command> {
  if (words === undefined) return createFrom(GROUPS);
  return createFrom(listsCommands(words) ? [SUMMARISED] : groupsFor(words));
}

/** Whether a command line has the help of the whole program printed, and nothing done. */
const listsCommands = (words: readonly string[]): boolean =>
  words.length < 2 && ['help', '--help', '-h'].includes(words[0] ?? 'help');

/** Commands that can be listed, and do nothing. */
const SUMMARISED: Group = {
  words: [],
  async add(program) {
    const { SUMMARIES } = await import('./summaries.ts');
    for (const { usage, description, hasOptions } of SUMMARIES) {
      const command = program.command(usage).description(description);
      if (hasOptions) command.option('--json');
    }
  },
};

async function createFrom(groups: readonly Group[]): Promise<Command> {
  const program = new Command('pocketfleet')
    .description('Trains compact face-recognition networks on a fleet of machines.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpCommand(false)
    .showHelpAfterError('(--help after the command says what it takes)')
    .configureHelp({ showGlobalOptions: false })
    .addHelpText('after', EXIT_CODES);
  for (const group of groups) await group.add(program);
  addWordsAboutItself(program);
  for (const command of [program, ...allCommands(program)]) {
    command.exitOverride();
    if (command.commands.length === 0) continue;
    refuseUnknownWords(command);
    // Options behind `checkpoints keep` are those of `keep`, though `checkpoints` has some of the same name.
    command.enablePositionalOptions();
  }
  program.hook('preAction', (_program, command) => refuseEmptyValues(command));
  return program;
}

function groupsFor([first = '', second = '']: readonly string[]): readonly Group[] {
  if (['version', '--version', '-V'].includes(first)) return [];
  const word = first === 'help' ? second : first;
  const group = GROUPS.find(({ words }) => words.includes(word));
  return group === undefined ? GROUPS : [group];
}

/**
 * `--dir "$DIR"` with a variable that is not set is a mistake: as a path, the empty text would be the current
 * folder.
 */
function refuseEmptyValues(command: Command): void {
  for (const option of command.options) {
    const name = option.attributeName();
    if (command.getOptionValue(name) !== '') continue;
    const source = command.getOptionValueSource(name);
    // An environment variable with an empty value counts as unset.
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
--json, --dir, --coordinator, --token and --token-file may stand before or after the command.`;

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
