// The token that a program sends with its calls: a text, or a file that is read again for each connection, so
// that another token in it needs no restart. Decides which of them counts.

import { readFileSync } from 'node:fs';
import { advised, toFleetError } from '../errors.ts';
import { singleToken } from './token-book.ts';

/** Gives the token for the next call. */
export type TokenSource = () => string;

/**
 * The token in the file where one is named, else the text. Throws when the file cannot be read now; later the
 * last token that it had is used.
 */
export function tokenSource(options: { readonly token: string; readonly tokenFile: string }): TokenSource {
  const { token, tokenFile } = options;
  if (tokenFile === '') return () => token;
  let last = tokenIn(tokenFile);
  return () => {
    try {
      last = tokenIn(tokenFile);
    } catch {
      // It may be written just now; the server refuses a token that is no longer good.
    }
    return last;
  };
}

/** The token in a file. Throws one sentence. */
export function tokenIn(file: string): string {
  try {
    return singleToken(readFileSync(file, 'utf8'), file);
  } catch (caught) {
    const error = toFleetError(caught, 'token file');
    throw advised(error, 'it has a token alone, as `pocketfleet token create` prints one');
  }
}
