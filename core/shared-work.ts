// Work that several callers wait for, done once. Decides that whoever asks for the same joins it, that it
// goes on for the others when one leaves, and that it is given up some time after the last has left, so that
// a caller who asks again after a deadline finds it in hand.

import { after } from './clock.ts';
import { createDeferred } from './deferred.ts';
import type { FleetError } from './errors.ts';

/** One who waits for work. */
export interface Waiter<Progress> {
  /** Aborted when it waits no longer. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/** Does the work; stops when the signal is aborted. */
export type Begin<Result, Progress> = (
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
) => Promise<Result>;

export interface SharedWork<Result, Progress> {
  /** Pieces of work in hand. */
  readonly size: number;
  has(key: string): boolean;
  /**
   * Joins the work with this key, or begins it. Rejected with `gone` when the waiter's signal is aborted.
   */
  join(
    key: string,
    waiter: Waiter<Progress>,
    how: { readonly begin: Begin<Result, Progress>; readonly gone: () => FleetError },
  ): Promise<Result>;
  /** Gives up everything for this reason; later calls are refused as gone. */
  close(reason: FleetError): void;
}

interface Work<Progress> {
  readonly waiters: Set<Waiter<Progress>>;
  readonly ending: AbortController;
  newest: { readonly progress: Progress } | undefined;
  stopLingering: (() => void) | undefined;
}

/** Work without callers goes on for `lingerMs` milliseconds. */
export function createSharedWork<Result, Progress>({
  lingerMs,
}: {
  readonly lingerMs: number;
}): SharedWork<Result, Progress> {
  const inHand = new Map<string, Work<Progress> & { readonly result: Promise<Result> }>();
  let closed = false;

  const started = (key: string, begin: Begin<Result, Progress>) => {
    const work: Work<Progress> = {
      waiters: new Set(),
      ending: new AbortController(),
      newest: undefined,
      stopLingering: undefined,
    };
    const onProgress = (progress: Progress) => {
      work.newest = { progress };
      for (const waiter of work.waiters) waiter.onProgress?.(progress);
    };
    const whole = Object.assign(work, { result: begin(onProgress, work.ending.signal) });
    const over = () => {
      whole.stopLingering?.();
      if (inHand.get(key) === whole) inHand.delete(key);
    };
    whole.result.then(over, over);
    inHand.set(key, whole);
    return whole;
  };

  return {
    get size() {
      return inHand.size;
    },
    has: (key) => inHand.has(key),
    join(key, waiter, { begin, gone }) {
      const { signal, onProgress } = waiter;
      if (closed || signal?.aborted) return Promise.reject(gone());
      const work = inHand.get(key) ?? started(key, begin);
      work.stopLingering?.();
      work.stopLingering = undefined;
      work.waiters.add(waiter);
      if (work.newest !== undefined) onProgress?.(work.newest.progress);
      const left = createDeferred<never>();
      const onAbort = () => {
        left.reject(gone());
        work.waiters.delete(waiter);
        if (work.waiters.size > 0 || inHand.get(key) !== work) return;
        work.stopLingering = after(lingerMs, () => {
          // Whoever asks now begins anew; what is given up may take its time to end.
          inHand.delete(key);
          work.ending.abort(gone());
        });
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      return Promise.race([work.result, left.promise]).finally(() => {
        signal?.removeEventListener('abort', onAbort);
        work.waiters.delete(waiter);
      });
    },
    close(reason) {
      closed = true;
      for (const { ending, stopLingering } of inHand.values()) {
        stopLingering?.();
        ending.abort(reason);
      }
    },
  };
}
