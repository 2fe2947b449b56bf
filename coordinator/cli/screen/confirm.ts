// A question before something goes for good. Decides that nobody at a terminal means no.

import { createInterface } from 'node:readline/promises';
import { FleetError } from '../../../core/errors.ts';

/**
 * Whether a person at the terminal answers yes; without one the answer must come as --yes. `toDo`: what is
 * asked about, as in "cut the journal off".
 */
export async function confirmed(question: string, toDo: string): Promise<boolean> {
  if (!process.stdin.isTTY)
    throw new FleetError(
      'failedPrecondition',
      `nobody can be asked here; add --yes to ${toDo}, or run it in a terminal`,
    );
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await asking.question(`${question} [y/N] `)).trim());
  } finally {
    asking.close();
  }
}
