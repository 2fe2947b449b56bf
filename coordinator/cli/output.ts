// What commands print: data on stdout (a table for people, JSON for scripts), talk on stderr.

import Table from 'cli-table3';
import { STDOUT } from './output-file.ts';

/** Talk: progress, hints, warnings. Never data. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

export function print(text: string): void {
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
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

export interface Column<Row> {
  readonly head: string;
  readonly align?: 'left' | 'right';
  cell(row: Row): string;
}

/** A table without vertical lines: it can be read, copied and cut by column. */
export function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const drawn = new Table({
    head: columns.map((column) => column.head),
    colAligns: columns.map((column) => column.align ?? 'left'),
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
    chars: {
      top: '',
      'top-mid': '',
      'top-left': '',
      'top-right': '',
      bottom: '',
      'bottom-mid': '',
      'bottom-left': '',
      'bottom-right': '',
      left: '',
      'left-mid': '',
      mid: '',
      'mid-mid': '',
      right: '',
      'right-mid': '',
      middle: '',
    },
  });
  for (const row of rows) drawn.push(columns.map((column) => column.cell(row)));
  return drawn
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** A list as a table, or as JSON when a script asked for it; an empty table says so on stderr. */
export function printList<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  options: { json?: boolean | undefined; none: string },
): void {
  if (options.json) printJson(rows);
  else if (rows.length === 0) say(options.none);
  else print(table(rows, columns));
}
