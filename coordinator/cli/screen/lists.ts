// Lists as commands print them: how many rows a terminal gets without a word of the user's, and what is said of the others.

import { formatCount } from '../../../core/report/format.ts';
import { print, printJson, say } from './output.ts';
import { type Column, table } from './table.ts';

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
