// The time of an exchange: it passes only while a call is pending and this thread could have received
// something. Decides what counts as listening and how often a waiting member looks for what is missing.

import type { Clock } from '../clock.ts';

export interface Listening {
  /** Milliseconds for which this member has listened. */
  now(): number;
  isPending(): boolean;
  /** Runs `work` and ticks until it is done. */
  whilePending<T>(work: () => Promise<T>): Promise<T>;
}

const TICK_MS = 25;

export function createListening(options: {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Called every TICK_MS while a call is pending; an error ends the ticking. */
  readonly onTick: () => void;
  readonly onFailed: (caught: unknown) => void;
}): Listening {
  const { clock, signal } = options;
  let pending = 0;
  let ticking = false;
  let listenedMs = 0;

  /** Without a pending call only others can miss something, and they ask for it. */
  async function tick(): Promise<void> {
    if (ticking) return;
    ticking = true;
    try {
      while (pending > 0) {
        const sleptAt = clock.monotonic();
        await clock.sleep(TICK_MS, signal);
        // A late tick counts as two at most: what came while this thread was busy waits unread in the socket,
        // and asking for it again would only double it.
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
