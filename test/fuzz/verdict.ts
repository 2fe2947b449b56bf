// Whether what a decoder did with an input is right: a value, or one sentence of the family. Decides what a
// sentence is.

import { FleetError } from '../../core/errors.ts';
import { printable, printableLines } from '../../core/text/printable.ts';
import type { Target } from './target.ts';

/** Characters of a message of a decoder that names no other number. */
const CHARS_MAX = 1_000;

/** What is wrong with an error; undefined for a sentence of the family. */
export function faultOf(caught: unknown, target: Pick<Target, 'lines' | 'charsMax'>): string | undefined {
  if (!(caught instanceof FleetError))
    return `it throws ${caught instanceof Error ? caught.stack : String(caught)}`;
  const { code, message } = caught;
  if (code === 'internal') return `its refusal counts as a fault of this program: ${shown(caught)}`;
  const most = target.charsMax ?? CHARS_MAX;
  if (message.length > most) return `its refusal has ${message.length} characters: ${message.slice(0, 300)}`;
  const clean = target.lines ? printableLines(message) : printable(message);
  if (clean !== message) return `its refusal has characters that are not shown: ${JSON.stringify(message)}`;
  return message.length === 0 ? 'its refusal is empty' : undefined;
}

function shown(error: Error): string {
  return `${error.message.slice(0, 500)}\n${error.cause instanceof Error ? error.cause.stack : error.stack}`;
}
