// The time of a simulated fleet, and what happens when on it. Actions of equal times run in the order in
// which they were planned, so that one seed always gives one course of events.

/** Time that passes only while the timeline runs. */
export interface Timeline {
  /** Milliseconds; begins far from 0. */
  now(): number;
  /** Plans an action `ms` from now. The returned function takes it back. */
  later(ms: number, action: () => void): () => void;
  /**
   * Runs what was planned, in order, until `done` holds; `settle` is awaited after each action. Throws when
   * `done` does not hold `limitMs` later.
   */
  runUntil(done: () => boolean, limitMs: number, settle: () => Promise<void> | undefined): Promise<void>;
}

interface Planned {
  readonly ms: number;
  readonly order: number;
  /** Undefined once it was taken back. */
  action: (() => void) | undefined;
}

const BEGIN_MS = 1_000_000;

/** A timeline on which nothing is planned. `name` stands in the error of a wait in vain. */
export function createTimeline(name: string): Timeline {
  let now = BEGIN_MS;
  let order = 0;
  /** A binary heap: each entry is before its two children at 2 i + 1 and 2 i + 2. */
  const heap: Planned[] = [];

  const isBefore = (a: Planned, b: Planned) => a.ms < b.ms || (a.ms === b.ms && a.order < b.order);

  function put(entry: Planned): void {
    let place = heap.length;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!isBefore(entry, heap[parent]!)) break;
      heap[place] = heap[parent]!;
      place = parent;
    }
    heap[place] = entry;
  }

  function take(): Planned | undefined {
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (!isBefore(heap[child]!, last)) break;
      heap[place] = heap[child]!;
      place = child;
    }
    heap[place] = last;
    return first;
  }

  return {
    now: () => now,
    later(ms, action) {
      const entry: Planned = { ms: now + Math.max(0, ms), order: order++, action };
      put(entry);
      return () => {
        entry.action = undefined;
      };
    },
    async runUntil(done, limitMs, settle) {
      const end = now + limitMs;
      while (!done()) {
        const next = take();
        if (next === undefined || next.ms > end) {
          if (next !== undefined) put(next);
          throw new Error(`nothing was done after ${limitMs} ms of fake time (${name})`);
        }
        if (next.action === undefined) continue;
        now = next.ms;
        next.action();
        const settling = settle();
        if (settling !== undefined) await settling;
      }
    },
  };
}
