// Lists as commands print them. Decides how many rows a terminal shows by default, and how the others are
// mentioned.

import { formatCount } from '../../../core/report/format.ts';
import { print, printJson, say, terminalColumns } from './output.ts';
import { type Column, table } from './table.ts';

/** The options of a command about the length of its list. */
export interface ListFlags {
  readonly json?: boolean | undefined;
  readonly all?: boolean | undefined;
  readonly limit?: number | undefined;
}

/** Rows of a list that a terminal shows by default; more would scroll the former content away. */
const TERMINAL_ROWS = 50;

/** How many of the newest rows are shown. Scripts and files get all. */
export function listLimit(flags: ListFlags, isTerminal: boolean): number {
  if (flags.limit !== undefined) return flags.limit;
  return flags.all || flags.json || !isTerminal ? Number.POSITIVE_INFINITY : TERMINAL_ROWS;
}

/**
 * Prints a list, oldest first, as a table, or as JSON with `--json`. Stderr reports an empty list and rows
 * that were left out. `items` may be the newest alone.
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
