// The word that a person most likely meant: the one of a list with the fewest letters changed. Decides how
// far a word may be off and still be proposed.

/**
 * The nearest of `words`, or undefined where none is near: one change in three letters of the longer word at
 * most.
 */
export function nearest(word: string, words: Iterable<string>): string | undefined {
  // A long text is no mistyped word, and the comparison costs the product of both lengths.
  if (word.length > LENGTH_MAX) return undefined;
  let best: string | undefined;
  let fewest = Number.POSITIVE_INFINITY;
  for (const other of words) {
    const most = Math.max(1, Math.floor(Math.max(word.length, other.length) / 3));
    if (Math.abs(other.length - word.length) > most) continue;
    const changes = distance(word.toLowerCase(), other.toLowerCase());
    if (changes > most || changes >= fewest) continue;
    best = other;
    fewest = changes;
  }
  return best;
}

const LENGTH_MAX = 64;

/** Optimal string alignment: insertions, deletions, replacements, and swaps of two neighbours. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min(replaced, last[j]! + 1, row[j - 1]! + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, before[j - 2]! + 1);
      row.push(least);
    }
    before = last;
    last = row;
  }
  return last[b.length]!;
}
