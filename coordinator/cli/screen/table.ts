// Tables without ruled lines, which can be copied and cut by column. Decides the width of each column, in one
// pass over the rows and one over the lines, and which cells are shortened where a terminal is narrower than
// the table. In a pipe none is.

import { clip, displayWidth } from '../../../core/report/format.ts';
import { printable } from '../../../core/text/printable.ts';

export interface Column<Row> {
  readonly head: string;
  readonly align?: 'left' | 'right';
  cell(row: Row): string;
}

const GAP = '  ';
/** A column that is cut keeps at least this much, so that its head can still be guessed. */
const COLUMN_MIN = 8;

/** `columns` is the width of a terminal; without it lines are as long as their cells. */
export function table<Row>(
  rows: readonly Row[],
  layout: readonly Column<Row>[],
  columns = Number.POSITIVE_INFINITY,
): string {
  const cells = rows.map((row) => layout.map((column) => printable(column.cell(row))));
  const heads = layout.map((column) => column.head);
  const natural = heads.map(displayWidth);
  for (const row of cells)
    for (const [i, text] of row.entries()) natural[i] = Math.max(natural[i]!, displayWidth(text));
  const widths = fitted(natural, layout, columns);
  const lines = [heads, ...cells].map((row) => clip(lineOf(row, widths, layout), columns));
  return lines.join('\n');
}

function lineOf(row: readonly string[], widths: readonly number[], layout: readonly Column<never>[]): string {
  const padded = row.map((text, i) => {
    const shown = clip(text, widths[i]!);
    const space = ' '.repeat(widths[i]! - displayWidth(shown));
    return layout[i]!.align === 'right' ? space + shown : shown + space;
  });
  return padded.join(GAP).trimEnd();
}

/**
 * Ids (the first column) and numbers stay whole. The widest of the other columns are shortened, all to one
 * width.
 */
function fitted(natural: readonly number[], layout: readonly Column<never>[], columns: number): number[] {
  const elastic = natural.map((_, i) => i > 0 && layout[i]!.align !== 'right');
  const total = (limit: number) =>
    natural.reduce((sum, width, i) => sum + (elastic[i] ? Math.min(width, limit) : width), 0) +
    GAP.length * (natural.length - 1);
  let limit = natural.reduce((widest, width) => Math.max(widest, width), 0);
  while (limit > COLUMN_MIN && total(limit) > columns) limit -= 1;
  return natural.map((width, i) => (elastic[i] ? Math.min(width, limit) : width));
}
