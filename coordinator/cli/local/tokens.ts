// The file with the tokens of a fleet, as the commands read and write it. Decides that an edit replaces the
// whole file, that it is not lost to another edit at the same time, and that its permissions stay.

import { readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { FleetError, toFleetError } from '../../../core/errors.ts';
import { readTokens, type TokenEntry, tokensText } from '../../../core/net/token-file.ts';
import { fileFailure } from '../../../core/system/folder.ts';
import { temporaryBeside } from '../output-file.ts';

/** Attempts of an edit, each of which met another one. */
const ATTEMPTS = 5;

/** The entries of a file; none where it is not there. */
export function tokensIn(path: string): readonly TokenEntry[] {
  return readTokens(textOf(path) ?? '', path);
}

/** Replaces the entries of a file by what `change` makes of them. A new file is readable by its owner alone. */
export function editTokens(
  path: string,
  change: (tokens: readonly TokenEntry[]) => readonly TokenEntry[],
): void {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const before = textOf(path);
    const after = tokensText(change(readTokens(before ?? '', path)));
    // A link stays one: a new file takes the place of what it leads to.
    const place = before === undefined ? path : realpathSync(path);
    const temporary = temporaryBeside(place);
    const mode = before === undefined ? 0o600 : statSync(place).mode & 0o777;
    try {
      writeFileSync(temporary, after, { mode });
      if (textOf(path) !== before) continue;
      renameSync(temporary, place);
      return;
    } catch (caught) {
      throw fileFailure(caught, { path, doing: 'it cannot be written' });
    } finally {
      rmSync(temporary, { force: true });
    }
  }
  throw new FleetError('aborted', `${path} is being written by another command; try again`);
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (caught) {
    if ((caught as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw toFleetError(caught, path);
  }
}
