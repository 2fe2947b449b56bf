// One list of a picture: which of the chosen things fit, and which have changed since the last look. A look
// costs a comparison for each thing that is shown; only what has changed is made and encoded again.

/** Ids in the order in which they find room, perhaps with repetitions, and how many things there are in all. */
export interface Chosen {
  readonly ids: Iterable<string>;
  readonly total: number;
}

/** How the things of a list are shown. */
export interface ListRules<T> {
  /** Encoded bytes that all of them may have together. */
  readonly bytesMax: number;
  /** The bytes of what counts as a change; their number is taken as the size. */
  readonly contentOf: (item: T) => Uint8Array;
}

/** The things as they are now. */
export interface Source<T> {
  /** What a view is made from: the same parts, by identity, make the same view. */
  parts(id: string): readonly unknown[];
  view(id: string): T;
}

/** What a look found. */
export interface Found<T> {
  /** New things and changed ones. */
  readonly changed: readonly T[];
  /** Ids of things that are shown no more. */
  readonly removedIds: readonly string[];
}

/** A list, as of its last look. */
export interface ShownList<T> {
  /** All that is shown, in no order that means anything. */
  readonly items: readonly T[];
  /** How many of the chosen things are not shown. */
  readonly left: number;
  look(chosen: Chosen, source: Source<T>): Found<T>;
}

interface Entry<T> {
  parts: readonly unknown[];
  item: T;
  content: Uint8Array;
  /** The number of the last look that showed it. */
  look: number;
}

/** A list that shows nothing yet. */
export function createShownList<T>({ bytesMax, contentOf }: ListRules<T>): ShownList<T> {
  const entries = new Map<string, Entry<T>>();
  let looks = 0;
  let left = 0;
  return {
    get items() {
      return Array.from(entries.values(), ({ item }) => item);
    },
    get left() {
      return left;
    },
    look(chosen, source) {
      looks += 1;
      const changed: T[] = [];
      let bytes = 0;
      let shown = 0;
      for (const id of chosen.ids) {
        const known = entries.get(id);
        if (known?.look === looks) continue;
        const entry = entryOf(id, known, source);
        bytes += entry.content.length;
        if (bytes > bytesMax) break;
        if (entry.item !== known?.item) changed.push(entry.item);
        entry.look = looks;
        entries.set(id, entry);
        shown += 1;
      }
      left = chosen.total - shown;
      const removedIds = shown === entries.size ? [] : dropOlder();
      return { changed, removedIds };
    },
  };

  /** The thing as it is now: the entry that is known, if its view shows the same. */
  function entryOf(id: string, known: Entry<T> | undefined, source: Source<T>): Entry<T> {
    const parts = source.parts(id);
    if (known !== undefined && areSame(known.parts, parts)) return known;
    const item = source.view(id);
    const content = contentOf(item);
    if (known === undefined || Buffer.compare(known.content, content) !== 0)
      return { parts, item, content, look: 0 };
    known.parts = parts;
    return known;
  }

  function dropOlder(): string[] {
    const dropped: string[] = [];
    for (const [id, { look }] of entries) if (look !== looks) dropped.push(id);
    for (const id of dropped) entries.delete(id);
    return dropped;
  }
}

function areSame(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((part, at) => Object.is(part, b[at]));
}
