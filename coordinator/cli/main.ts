// Entry of `pocketfleet`: parses, runs one command, and ends with 0 when it did what was asked, 1 when that
// failed, 2 when it was not understood, and 130 or 143 when a signal ended it. Every failure is one sentence
// on stderr; what is wrong in a text is a line a problem, and with --json a list on stdout too.

import { CommanderError } from 'commander';
import { errnoOf, type FleetError, toFleetError } from '../../core/errors.ts';
import { outliveHangup } from '../../core/system/stop-signals.ts';
import { interruptedBy } from './context.ts';
import { guardOutput } from './lost-output.ts';
import { createProgram } from './program.ts';
import { printJson, say } from './screen/output.ts';
import { reordered } from './words.ts';

guardOutput();
outliveHangup();
process.exitCode = await run(process.argv.slice(2));

async function run(argv: readonly string[]): Promise<number> {
  let json = false;
  try {
    const words = reordered(argv);
    const program = await createProgram(words);
    program.hook('preAction', (_program, command) => {
      json = command.opts<{ json?: boolean }>().json === true;
    });
    await program.parseAsync(words, { from: 'user' });
    // A command that reports a failure of the fleet and not its own has set the exit code.
    return Number(process.exitCode ?? 0);
  } catch (caught) {
    // Commander has printed its message; help and version are no failures.
    if (caught instanceof CommanderError) return caught.exitCode === 0 ? 0 : 2;
    const error = toFleetError(caught);
    const interrupted = interruptedBy(error);
    if (interrupted !== undefined) return interrupted;
    if (error.details.problems !== undefined) await sayProblems(error, json);
    else say(`pocketfleet: ${error.message}`);
    // A failure outside the family, and not of the operating system, is a mistake in this program; its stack
    // is what finds it.
    if (error.code === 'internal' && errnoOf(error) === undefined && error.cause instanceof Error)
      say(error.cause.stack ?? '');
    return 1;
  }
}

/** What is wrong in a text: each line begins with its file, so that editors and scripts find the place. */
async function sayProblems(error: FleetError, json: boolean): Promise<void> {
  const { problemsIn } = await import('../../core/text/text-problems.ts');
  const { file, more } = error.details;
  if (json) printJson({ problems: problemsIn(error).map((one) => ({ file, ...one })), more: more ?? 0 });
  say(error.message);
}
