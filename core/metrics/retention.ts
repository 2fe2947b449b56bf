// How long the series of something that has ended stay: long enough to be scraped, or what lasts seconds would
// leave no trace, and not longer, or labels would grow for ever. Looks at the time when it is scraped and has
// no timer.

/** The ended things of one label. */
export interface Retention {
  /** It is there, perhaps again: its series stay. */
  begin(value: string): void;
  /** It has ended: its series stay for the time that was set. */
  end(value: string): void;
  /** What has ended and is still kept. */
  kept(): readonly string[];
  /** Takes away what has ended long enough ago. */
  collect(): void;
}

/** Nothing has ended yet. */
export function createRetention(options: {
  /** How long series stay, milliseconds. */
  readonly keepMs: number;
  /** Ended things whose series stay at most; the oldest go first. */
  readonly keptMax: number;
  /** Milliseconds of a clock that never runs backwards. */
  readonly now: () => number;
  readonly remove: (value: string) => void;
}): Retention {
  const { keepMs, keptMax, now, remove } = options;
  /** By value, the oldest first: when it ended. */
  const ended = new Map<string, number>();
  const drop = (value: string) => {
    ended.delete(value);
    remove(value);
  };
  return {
    begin: (value) => void ended.delete(value),
    end(value) {
      ended.delete(value);
      ended.set(value, now());
      const [oldest] = ended.keys();
      if (ended.size > keptMax && oldest !== undefined) drop(oldest);
    },
    kept: () => [...ended.keys()],
    collect() {
      for (const [value, atMs] of [...ended]) if (now() - atMs >= keepMs) drop(value);
    },
  };
}
