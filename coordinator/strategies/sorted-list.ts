// Scores of trials in order, as plain JSON that is never written to: adding one copies a chunk and the list of
// chunks, some hundred numbers each, so that a hundred thousand results cost no more than a few.

/** A score, and the number of the trial that has it. */
export type Scored = readonly [score: number, trial: number];

/** Chunks that follow one another, the best score first; no chunk is empty. */
export type SortedList = readonly (readonly Scored[])[];

/** Entries of a chunk at most; a full one is cut in halves. */
const CHUNK_MAX = 256;

/** Whether `a` stands before `b`: by score, then the earlier trial. */
function isBefore(a: Scored, b: Scored): boolean {
  return a[0] > b[0] || (a[0] === b[0] && a[1] < b[1]);
}

/** How many entries there are. */
export function sizeOf(list: SortedList): number {
  return list.reduce((sum, chunk) => sum + chunk.length, 0);
}

/** How many entries stand before this one. */
export function countBefore(list: SortedList, entry: Scored): number {
  let count = 0;
  for (const chunk of list) {
    if (isBefore(chunk.at(-1)!, entry)) count += chunk.length;
    else return count + chunk.filter((one) => isBefore(one, entry)).length;
  }
  return count;
}

/** The list with one more. */
export function withScored(list: SortedList, entry: Scored): SortedList {
  if (list.length === 0) return [[entry]];
  const found = list.findIndex((chunk) => isBefore(entry, chunk.at(-1)!));
  const at = found < 0 ? list.length - 1 : found;
  const chunk = list[at]!;
  const place = chunk.findIndex((one) => isBefore(entry, one));
  const grown = chunk.toSpliced(place < 0 ? chunk.length : place, 0, entry);
  const half = CHUNK_MAX / 2;
  const parts = grown.length > CHUNK_MAX ? [grown.slice(0, half), grown.slice(half)] : [grown];
  return list.toSpliced(at, 1, ...parts);
}

/** The list without the entry of this trial with this score. */
export function withoutScored(list: SortedList, entry: Scored): SortedList {
  const at = list.findIndex((chunk) => !isBefore(chunk.at(-1)!, entry));
  if (at < 0) return list;
  const rest = list[at]!.filter(([, trial]) => trial !== entry[1]);
  return rest.length === 0 ? list.toSpliced(at, 1) : list.toSpliced(at, 1, rest);
}
