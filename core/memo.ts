// Results of a pure function that are kept, because its callers ask for the same few again and again.

/** A function that keeps results. */
export interface Memo<A, R> {
  (argument: A): R;
  /** Whether the result is kept now. */
  has(argument: A): boolean;
}

/**
 * A function that gives the result of `make`, which depends on nothing but what `keyOf` says of its argument.
 * It keeps the results of the `most` keys that were asked for last.
 */
export function memo<A, R>(options: {
  most: number;
  keyOf: (argument: A) => string;
  make: (argument: A) => R;
}): Memo<A, R> {
  const { most, keyOf, make } = options;
  /** The key asked for last stands last. */
  const kept = new Map<string, { readonly result: R }>();
  const result = (argument: A): R => {
    const key = keyOf(argument);
    const found = kept.get(key) ?? { result: make(argument) };
    kept.delete(key);
    kept.set(key, found);
    for (const oldest of kept.keys()) {
      if (kept.size <= most) break;
      kept.delete(oldest);
    }
    return found.result;
  };
  return Object.assign(result, { has: (argument: A) => kept.has(keyOf(argument)) });
}
