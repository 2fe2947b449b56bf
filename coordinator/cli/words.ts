// Words on the command line that name no command. Options that may stand anywhere are moved to the command
// that they belong to; mistyped words, and words that other programs use, are answered with the nearest
// command that exists.

import type { Command } from 'commander';
import { nearest } from '../../core/text/nearest.ts';

/** Words that other programs use, and the command here that does the same. */
const HABITS: Readonly<Record<string, string>> = {
  status: 'watch',
  ps: 'runs',
  ls: 'runs',
  list: 'runs',
  get: 'runs',
  jobs: 'runs',
  experiments: 'sweeps',
  describe: 'why',
  info: 'why',
  explain: 'why',
  history: 'why',
  log: 'logs',
  tail: 'logs',
  start: 'up',
  serve: 'up',
  stop: 'down',
  kill: 'cancel',
  delete: 'cancel',
  run: 'submit',
  apply: 'submit',
  create: 'submit',
  train: 'submit',
  download: 'export',
  models: 'model',
  nodes: 'workers',
};

/** Options that many commands take. They mean the same before the command and behind it. */
const ANYWHERE: Readonly<Record<string, 'flag' | 'value'>> = {
  '--json': 'flag',
  '--dir': 'value',
  '--coordinator': 'value',
  '--token': 'value',
  '--token-file': 'value',
};

/** `--json runs` is `runs --json`, `-h runs` is `help runs`, `runs -V` is `-V`. */
export function reordered(argv: readonly string[]): string[] {
  let at = 0;
  while (at < argv.length) {
    const word = argv[at]!;
    const takes =
      ANYWHERE[word] ?? (word.includes('=') ? ANYWHERE[word.slice(0, word.indexOf('='))] : undefined);
    if (takes === undefined) break;
    at += takes === 'value' && !word.includes('=') ? 2 : 1;
  }
  const rest = argv.slice(at);
  const asksHelp = (rest[0] === '-h' || rest[0] === '--help') && rest[1] !== undefined;
  if (asksHelp) return ['help', ...rest.slice(1)];
  // After `--` there are only arguments.
  const end = rest.includes('--') ? rest.indexOf('--') : rest.length;
  if (rest.slice(0, end).some((word) => word === '-V' || word === '--version')) return ['--version'];
  return [...rest.slice(0, end), ...argv.slice(0, at), ...rest.slice(end)];
}

/** The group of commands that received an unknown word. */
export function refuseUnknownWords(group: Command): void {
  group.on('command:*', ([word = '']: readonly string[]) => {
    group.error(`error: ${unknownText(group, word)}`, { exitCode: 2, code: 'commander.unknownCommand' });
  });
}

export function unknownText(group: Command, word: string): string {
  const names = group.commands.map((command) => command.name()).filter((name) => name !== 'help');
  const near = (group.parent === null ? HABITS[word] : undefined) ?? nearest(word, names);
  const path = pathOf(group);
  const command = group.commands.find((one) => one.name() === near);
  const refusal = `${path} has no command ${JSON.stringify(word)}`;
  if (command !== undefined)
    return `${refusal}; did you mean \`${pathOf(command)}\` (${command.description()})?`;
  const [only, ...others] = names;
  return others.length === 0
    ? `${refusal}; did you mean \`${path} ${only} ${word}\`?`
    : `${refusal}; its commands are ${names.join(', ')}`;
}

/** A command with those above it: `pocketfleet ledger verify`. */
function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}
