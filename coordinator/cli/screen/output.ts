// What commands print: data on stdout (a table for people, JSON for scripts), talk on stderr.

import { formatCount } from '../../../core/report/format.ts';
import { printableLines } from '../../../core/text/printable.ts';
import { STDOUT } from '../output-file.ts';
import { type Column, table } from './table.ts';

/** Talk: progress, hints, warnings. Never data. What a terminal would obey is shown instead, here as in all that is printed. */
export function say(text: string): void {
  process.stderr.write(`${printableLines(text)}\n`);
}

/** In JSON the escapes are JSON's own. */
export function print(text: string): void {
  const shown = printableLines(text);
  process.stdout.write(shown.endsWith('\n') ? shown : `${shown}\n`);
}

/** Says what a command wrote: on stdout, or on stderr where the written bytes themselves are on stdout. */
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

/** What a person said about the length of a list. */
export interface ListFlags {
  readonly json?: boolean | undefined;
  readonly all?: boolean | undefined;
  readonly limit?: number | undefined;
}

/** Rows that a terminal shows of a list without a word of the user's; more would push away what was there. */
const TERMINAL_ROWS = 50;

/** How many of the newest rows are shown: all to a script or a file. */
export function listLimit(flags: ListFlags, isTerminal: boolean): number {
  if (flags.limit !== undefined) return flags.limit;
  return flags.all || flags.json || !isTerminal ? Number.POSITIVE_INFINITY : TERMINAL_ROWS;
}

/**
 * A list, oldest first, as a table or as JSON when a script asked for it. An empty table is said on stderr, and so is what
 * was left out. `items` may be the newest alone.
 */
export function printList<Row>(
  { items: rows, total }: { readonly items: readonly Row[]; readonly total: number },
  columns: readonly Column<Row>[],
  options: ListFlags & { none: string },
): void {
  const shown = rows.slice(-Math.min(rows.length, listLimit(options, process.stdout.isTTY)));
  if (options.json) printJson(shown);
  else if (rows.length === 0) say(options.none);
  else print(table(shown, columns, terminalColumns()));
  if (shown.length < Math.max(total, rows.length) && !options.json)
    say(
      `the newest ${formatCount(shown.length)} of ${formatCount(total)}; --all shows all, --limit N the newest N`,
    );
}

/** Width that a table has to fit; a pipe takes any. */
function terminalColumns(): number {
  return process.stdout.isTTY ? process.stdout.columns : Number.POSITIVE_INFINITY;
}
