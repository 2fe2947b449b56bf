// A list of ids of one noun that only grows and is persistent as the tables are: the runs of a sweep, in the
// order in which they came. Adding one costs the same however many there are, and reading at any place is one
// look-up, which is what pages are made of. It keeps numbers, because ids as texts take four times the room.

import { type Edit, emptyTable, rowAt, rowsOf, type Table, withRow } from './table.ts';

/** A list that never changes; adding an id gives another one. */
export interface Roll {
  readonly size: number;
  /** The number of the id in each place; places count from 1. */
  readonly numbers: Table<number>;
}

/** A list without ids. */
export const emptyRoll: Roll = { size: 0, numbers: emptyTable() };

/** The list with one more number at its end; the one given stays as it is. */
export function appended({ size, numbers }: Roll, number: number, edit?: Edit): Roll {
  return { size: size + 1, numbers: withRow(numbers, size + 1, number, edit) };
}

/** The number in this place, 1 to `size`. */
export function numberAt({ size, numbers }: Roll, place: number): number {
  const number = rowAt(numbers, place);
  if (number === undefined) throw new Error(`assertion: the list has ${size} ids, none in place ${place}`);
  return number;
}

/** Every number, oldest first. */
export function* allNumbers({ numbers }: Roll): Generator<number> {
  for (const [, number] of rowsOf(numbers)) yield number;
}
