// A command as the help of the whole program lists it. Decides what of a command that is, so that help can be made
// from it without the command.

import type { Command } from 'commander';

/** A command as the help of the whole program lists it. */
export interface Summary {
  /** `watch [id]` */
  readonly usage: string;
  readonly description: string;
  readonly hasOptions: boolean;
}

/** The summaries of all commands that help lists, but for those of the program about itself. */
export function summariesOf(program: Command): Summary[] {
  const help = program.createHelp();
  return help
    .visibleCommands(program)
    .filter((command) => !ABOUT_ITSELF.includes(command.name()))
    .map((command) => {
      const values = command.registeredArguments.map((argument) =>
        argument.required
          ? `<${argument.name()}${argument.variadic ? '...' : ''}>`
          : `[${argument.name()}${argument.variadic ? '...' : ''}]`,
      );
      return {
        usage: [command.name(), ...values].join(' '),
        description: command.description(),
        hasOptions: command.options.length > 0,
      };
    });
}

const ABOUT_ITSELF: readonly string[] = ['help', 'version'];
