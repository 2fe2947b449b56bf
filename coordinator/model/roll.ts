// A list of ids that only grows and is persistent as the tables are: the runs of a sweep, in the order in
// which they came. Adding one copies one short chunk, however many there are, and reading at any place is one
// look-up, which is what pages are made of. An array would be copied as a whole for each event of a fold.

/** A list that never changes; adding an id gives another one. */
export interface Roll {
  readonly size: number;
  /** Full chunks of CHUNK ids each, oldest first. */
  readonly chunks: readonly (readonly string[])[];
  /** The newest ids, fewer than CHUNK. */
  readonly newest: readonly string[];
}

const CHUNK = 128;

/** A list without ids. */
export const emptyRoll: Roll = { size: 0, chunks: [], newest: [] };

/** The list with one more id at its end; the one given stays as it is. */
export function appended({ size, chunks, newest }: Roll, id: string): Roll {
  const longer = [...newest, id];
  return longer.length < CHUNK
    ? { size: size + 1, chunks, newest: longer }
    : { size: size + 1, chunks: [...chunks, longer], newest: [] };
}

/** The id in this place, 1 to `size`. */
export function idAt({ size, chunks, newest }: Roll, place: number): string {
  const index = place - 1;
  const id = (chunks[Math.floor(index / CHUNK)] ?? newest)[index % CHUNK];
  if (id === undefined) throw new Error(`assertion: the list has ${size} ids, none in place ${place}`);
  return id;
}

/** Every id, oldest first. */
export function* allIds({ chunks, newest }: Roll): Generator<string> {
  for (const chunk of chunks) yield* chunk;
  yield* newest;
}
