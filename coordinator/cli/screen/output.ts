// What commands print: data on stdout (text for people, JSON for scripts), talk on stderr.

import { printableLines } from '../../../core/text/printable.ts';
import { STDOUT } from '../output-file.ts';

/**
 * A message on stderr: progress, hint or warning, never data. Control characters are made visible, as in all
 * that is printed.
 */
export function say(text: string): void {
  process.stderr.write(`${printableLines(text)}\n`);
}

/** JSON escapes control characters itself. */
export function print(text: string): void {
  const shown = printableLines(text);
  process.stdout.write(shown.endsWith('\n') ? shown : `${shown}\n`);
}

/** Width of the terminal that reads stdout; undefined for a pipe or a file, which take any. */
export const terminalColumns = (): number | undefined =>
  process.stdout.isTTY ? process.stdout.columns : undefined;

/** Reports what a command wrote: on stdout, or on stderr where the written bytes themselves are on stdout. */
export function tellWritten(
  written: { readonly file: string },
  text: string,
  flags: { readonly json?: boolean | undefined },
): void {
  if (written.file === STDOUT)
    say(flags.json ? toJson(written) : `stdout: ${text.replace(/^- ?/, '')}`.trimEnd());
  else if (flags.json) printJson(written);
  else print(text);
}

/** JSON for scripts: bytes as base64, and null for numbers that are not known. */
export function toJson(value: unknown, indent?: number): string {
  return JSON.stringify(
    value,
    function (this: Record<string, unknown>, key, encoded) {
      const original = this[key];
      return original instanceof Uint8Array ? Buffer.from(original).toString('base64') : encoded;
    },
    indent,
  );
}

export function printJson(value: unknown): void {
  print(toJson(value, 2));
}
