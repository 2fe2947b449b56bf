// The first of a list and how many others there are, as a sentence names them.

/** `run-1, run-2 and 3 others`: at most `most` of the names. */
export function listed(names: readonly string[], most: number): string {
  const others = names.length > most ? ` and ${names.length - most} others` : '';
  return names.slice(0, most).join(', ') + others;
}
