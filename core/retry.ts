// When work that failed is tried again: a pure schedule (which attempt waits how long), the schedules that
// the programs share, and one driver that repeats work until it succeeds, fails for good or runs out of time.
// Which codes are worth another attempt follows from the error family; a caller that knows more passes its
// own judgement.

import type { Clock } from './clock.ts';
import { isRetryable, toFleetError } from './errors.ts';
import { systemChance } from './rng.ts';

/** Delays that double from `firstMs` to `maxMs`; with both equal the delay is constant. */
export interface Backoff {
  /** After the first failure, milliseconds, above 0. */
  readonly firstMs: number;
  /** The longest delay, milliseconds, at least `firstMs`. */
  readonly maxMs: number;
  /**
   * Share of each delay that chance may take off, 0 to 1. Without it, everybody whom one outage hit comes
   * back in the same millisecond. Chance only shortens, so that `maxMs` is a bound.
   */
  readonly jitter: number;
}

/** A broker that starts, restarts or is away for a moment, on a connection that is nothing without it. */
export const CONNECT: Backoff = { firstMs: 100, maxMs: 200, jitter: 0.5 };

/**
 * A worker's stream to its coordinator. The first delay is short because a coordinator that is up takes a
 * worker for dead a second after its stream ended; jitter keeps a fleet from attaching in one instant.
 */
export const ATTACH: Backoff = { firstMs: 50, maxMs: 1_000, jitter: 0.25 };

/** A question to a coordinator or broker that has answered before and does not now. */
export const ASK_AGAIN: Backoff = { firstMs: 250, maxMs: 500, jitter: 0.25 };

/**
 * Something that people or a cluster must bring about: room in the store, an API server that takes requests.
 */
export const WAIT_FOR_ROOM: Backoff = { firstMs: 1_000, maxMs: 1_000, jitter: 0.1 };

/**
 * Milliseconds to wait after failure number `failures` (from 1). `chance` draws from [0, 1) and is not asked
 * without jitter.
 */
export function delayMs(
  { firstMs, maxMs, jitter }: Backoff,
  failures: number,
  chance: () => number = systemChance,
): number {
  const whole = Math.min(maxMs, firstMs * 2 ** (Math.max(1, failures) - 1));
  return jitter === 0 ? whole : whole * (1 - jitter * chance());
}

export interface Retrying {
  readonly backoff: Backoff;
  readonly clock: Clock;
  /**
   * Ends the wait before the next attempt; the promise is rejected with its reason. An attempt under way must
   * watch it itself.
   */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds from the first attempt after which a failure is final; absent: there is no such time. */
  readonly withinMs?: number;
  /**
   * What the caller gets for this failure, or undefined where another attempt is worth it; `isLate`: the time
   * is over. By default a failure is final when its code is or when it is late. A late failure is final
   * whatever this returns.
   */
  readonly finalError?: (caught: unknown, isLate: boolean) => Error | undefined;
  /** Called for each failure after which work is tried again. */
  readonly onFailure?: (caught: unknown) => void;
  readonly chance?: () => number;
}

/** The result of the first attempt that succeeds. `attempt` counts from 1. */
export async function retrying<T>(work: (attempt: number) => Promise<T>, options: Retrying): Promise<T> {
  const { backoff, clock, signal, withinMs = Number.POSITIVE_INFINITY, finalError = byCode } = options;
  const until = clock.monotonic() + withinMs;
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await work(attempt);
    } catch (caught) {
      const isLate = clock.monotonic() >= until;
      const error = finalError(caught, isLate) ?? (isLate ? toFleetError(caught) : undefined);
      if (error !== undefined) throw error;
      options.onFailure?.(caught);
      await clock.sleep(delayMs(backoff, attempt, options.chance), signal);
    }
  }
}

function byCode(caught: unknown): Error | undefined {
  const error = toFleetError(caught);
  return isRetryable(error.code) ? undefined : error;
}
