// What happens to a command whose output cannot be written. A command that only prints ends: a reader that
// closes its end (`| head`) is no failure, a full disk is one. A command that works or proves goes on and
// ends with its own exit code.

import { outliveListeners } from '../../core/system/standard-streams.ts';
import { say } from './screen/output.ts';

/** Installs the rule for every command. Called before the first line is written. */
export function guardOutput(): void {
  outliveListeners();
  process.stdout.on('error', endCommand);
}

/**
 * Called by commands that own a fleet, wait for work or prove something: from now on they go on without a
 * reader.
 */
export function outliveReader(): void {
  process.stdout.removeListener('error', endCommand);
  process.stdout.on('error', goOn);
}

function endCommand(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(0);
  say(`pocketfleet: ${sentenceFor(error)}`);
  process.exit(1);
}

function goOn(error: NodeJS.ErrnoException): void {
  // Every further write fails in the same way; one sentence is enough.
  process.stdout.removeListener('error', goOn);
  process.stdout.on('error', () => undefined);
  if (error.code === 'EPIPE') return;
  say(`pocketfleet: ${sentenceFor(error)}`);
  process.exitCode = 1;
}

/** A failure to write to stdout, for a person. */
function sentenceFor(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return 'the output cannot be written: no space is left where stdout goes; make room, or send it elsewhere';
    case 'EIO':
      return 'the output cannot be written: the terminal or disk that stdout goes to answers with an input/output error';
    case 'EFBIG':
      return 'the output cannot be written: the file that stdout goes to has reached its size limit; send it elsewhere';
    default:
      return `the output cannot be written (${error.code ?? error.message}); check where stdout goes`;
  }
}
