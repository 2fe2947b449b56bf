// An ordered set for the head of which a decision asks again and again: the queue, the idle workers. A binary
// heap whose removed items stay until they come up or are too many, so that each change costs the logarithm
// of its size, whatever is removed.

/** A set in the order of a comparison. */
export interface LazyHeap<T> {
  readonly size: number;
  has(item: T): boolean;
  add(item: T): void;
  delete(item: T): void;
  /** The first item, or undefined. */
  first(): T | undefined;
  /** The first items that are accepted, `count` at most, in order; they stay in the set. */
  firstOf(count: number, accept?: (item: T) => boolean): T[];
}

/** Stale items that are kept beyond as many as there are true ones. */
const STALE_MAX = 64;

/** An empty set; `isBefore` is a strict total order. */
export function createLazyHeap<T extends string | number>(isBefore: (a: T, b: T) => boolean): LazyHeap<T> {
  const members = new Set<T>();
  let heap: T[] = [];

  function push(item: T): void {
    let at = heap.push(item) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(item, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = item;
  }

  function pop(): T | undefined {
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (!isBefore(heap[child]!, last!)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last!;
    return top;
  }

  function rebuildWhenStale(): void {
    if (heap.length <= 2 * members.size + STALE_MAX) return;
    // A sorted array is a heap.
    heap = [...members].sort((a, b) => (isBefore(a, b) ? -1 : isBefore(b, a) ? 1 : 0));
  }

  function first(): T | undefined {
    while (heap.length > 0 && !members.has(heap[0]!)) pop();
    return heap[0];
  }

  return {
    get size() {
      return members.size;
    },
    has: (item) => members.has(item),
    add(item) {
      if (members.has(item)) return;
      members.add(item);
      push(item);
    },
    delete(item) {
      if (members.delete(item)) rebuildWhenStale();
    },
    first,
    firstOf(count, accept = () => true) {
      const accepted: T[] = [];
      const popped: T[] = [];
      while (accepted.length < count) {
        const item = first();
        if (item === undefined) break;
        pop();
        // A second, stale copy of it may be in the heap, and must not be found again meanwhile.
        members.delete(item);
        popped.push(item);
        if (accept(item)) accepted.push(item);
      }
      for (const item of popped) {
        members.add(item);
        push(item);
      }
      return accepted;
    },
  };
}
