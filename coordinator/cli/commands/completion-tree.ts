// What may follow each word of the command line, read from commander's own commands and options: the table that the
// completion of every shell follows. Decides what an argument is from its choices or its name.

import type { Argument, Command, Option } from 'commander';
import { NOUNS, type Noun } from '../../../core/text/naming.ts';

/** What a value may be. */
export interface Values {
  readonly words: readonly string[];
  /** A file or a folder. */
  readonly isFile: boolean;
  /** Things of the fleet, by their ids and names. */
  readonly nouns: readonly Noun[];
}

/** An option by its names, `-o` and `--output`. */
export interface CompletedOption {
  readonly names: readonly string[];
  /** Undefined for a flag. */
  readonly value: Values | undefined;
}

/** A command or a group of commands. */
export interface Node {
  /** `journal check`; empty for the program itself. */
  readonly path: string;
  readonly commands: readonly string[];
  readonly options: readonly CompletedOption[];
  /** What its arguments may be, all positions together: there are few, and a shell filters by what was typed. */
  readonly argument: Values;
}

/** Every command that help lists, the program first. */
export function nodesOf(program: Command): Node[] {
  return nodesAt(program, '');
}

function nodesAt(command: Command, path: string): Node[] {
  // Help knows which commands are hidden.
  const visible = command.createHelp().visibleCommands(command);
  const options = command.createHelp().visibleOptions(command);
  const node: Node = {
    path,
    commands: visible.map((one) => one.name()),
    options: options.map((option) => ({ names: namesOf(option), value: optionValue(option) })),
    argument: joined(command.registeredArguments.map(argumentValues)),
  };
  const below = visible.flatMap((one) => nodesAt(one, path === '' ? one.name() : `${path} ${one.name()}`));
  return [node, ...below];
}

const namesOf = ({ short, long }: Option): string[] => [short, long].filter((name) => name !== undefined);

const FILE = /^(file|path|dir|folder|output|prefix)$/;

function optionValue(option: Option): Values | undefined {
  if (option.isBoolean() || !(option.required || option.optional)) return undefined;
  const name = /[<[]([^>\]]+)[>\]]/.exec(option.flags)?.[1] ?? '';
  return valuesNamed(name.split('|'), option.argChoices);
}

const argumentValues = (argument: Argument): Values =>
  valuesNamed(argument.name().split('-or-'), argument.argChoices);

function valuesNamed(names: readonly string[], choices: readonly string[] | undefined): Values {
  const isNoun = (noun: Noun) => names.some((name) => name === 'id' || name.replace(/-[ab]$/, '') === noun);
  return {
    words: choices ?? [],
    isFile: names.some((name) => FILE.test(name)),
    nouns: NOUNS.filter(isNoun),
  };
}

const joined = (all: readonly Values[]): Values => ({
  words: all.flatMap(({ words }) => words),
  isFile: all.some(({ isFile }) => isFile),
  nouns: NOUNS.filter((noun) => all.some(({ nouns }) => nouns.includes(noun))),
});
