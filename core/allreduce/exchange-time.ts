// The time of an exchange: it passes only while a call is pending and this thread could have heard something. Decides how often
// a waiting member looks after what is missing; what it then does is exchange.ts'.

import type { Clock } from '../clock.ts';

export interface Listening {
  /** Milliseconds for which this member has listened. */
  now(): number;
  isPending(): boolean;
  /** Ticks until `work` is done. */
  whilePending<T>(work: () => Promise<T>): Promise<T>;
}

const TICK_MS = 25;

export function createListening(options: {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** What it throws ends the ticking. */
  readonly onTick: () => void;
  readonly onFailed: (caught: unknown) => void;
}): Listening {
  const { clock, signal } = options;
  let pending = 0;
  let ticking = false;
  let listenedMs = 0;

  /** Only while a call is pending: after that only others can miss something, and they ask. */
  async function tick(): Promise<void> {
    if (ticking) return;
    ticking = true;
    try {
      while (pending > 0) {
        const sleptAt = clock.monotonic();
        await clock.sleep(TICK_MS, signal);
        // A tick that comes late counts as one tick, because what came while this thread was busy waits unread in the socket, and
        // asking for it again would only double it.
        listenedMs += Math.min(2 * TICK_MS, clock.monotonic() - sleptAt);
        options.onTick();
      }
    } catch (caught) {
      if (!signal.aborted) options.onFailed(caught);
    } finally {
      ticking = false;
    }
  }

  return {
    now: () => listenedMs,
    isPending: () => pending > 0,
    async whilePending(work) {
      pending++;
      void tick();
      try {
        return await work();
      } finally {
        pending--;
      }
    },
  };
}
