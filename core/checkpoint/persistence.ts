// How an operation on the store goes on while the broker is away, silent or full. Decides which failure is an
// answer and which is silence, and for how long silence is outlasted.
//
// Two ways of waiting:
//
//   within a deadline    every read, and a put without `onWait`. A refusal, a full store and an error of our own
//                        are answers, so they are final at once. Silence is tried again until the deadline, and
//                        then it is `unavailable`.
//   without end          a put with `onWait`. A full store is a matter of time here: a checkpoint that was trained
//                        is worth the wait, and what is stored already stays stored, so each chunk waits for
//                        itself.

import type { Clock } from '../clock.ts';
import { type Code, FleetError, toFleetError } from '../errors.ts';
import { isRefusal } from '../net/jetstream.ts';
import type { NatsConnection } from '../net/nats.ts';
import { ASK_AGAIN, retrying, WAIT_FOR_ROOM } from '../retry.ts';

/** What is known when an attempt has failed. */
export interface FailureFacts {
  /** The server has understood and refused. */
  readonly isRefusal: boolean;
  /** The connection was closed from this side: nothing can answer any more. */
  readonly isClosed: boolean;
  /** The deadline is over. */
  readonly isLate: boolean;
}

/** A store that is full, and a broker that does not let this program do it. */
const FINAL: readonly Code[] = ['resourceExhausted', 'permissionDenied'];

/**
 * What follows from a failed attempt within a deadline: its error is the answer, there is no answer, or
 * another attempt.
 */
export function verdictWithinDeadline(
  caught: unknown,
  { isRefusal: refused, isClosed, isLate }: FailureFacts,
): 'answer' | 'unavailable' | 'again' {
  if (caught instanceof FleetError || refused || FINAL.includes(toFleetError(caught).code)) return 'answer';
  return isClosed || isLate ? 'unavailable' : 'again';
}

/** What follows from a failed attempt of a put that waits without end. */
export function verdictWithoutEnd(
  caught: unknown,
  { isRefusal: refused, isClosed }: Omit<FailureFacts, 'isLate'>,
): 'answer' | 'again' {
  return !toFleetError(caught).retryable || refused || isClosed ? 'answer' : 'again';
}

/** How a put waits. */
export interface Waiting {
  /** Ends a put that waits. */
  readonly signal?: AbortSignal;
  /**
   * With it a put outlasts a store that is full or silent, for as long as that takes, and goes on where it
   * stopped. Called with the trouble when the wait begins, and with nothing when it is over.
   */
  readonly onWait?: (trouble: FleetError | undefined) => void;
}

export interface Persistence {
  /** Tries `work` until the deadline; `doing` begins the sentence of an error. */
  persist<T>(doing: string, work: () => Promise<T>, stop?: AbortSignal): Promise<T>;
  /** As `persist`, and without end when `waiting` has an `onWait`. */
  persistWaiting<T>(doing: string, work: () => Promise<T>, waiting: Waiting): Promise<T>;
}

export function createPersistence(options: {
  readonly connection: Pick<NatsConnection, 'isClosed'>;
  readonly clock: Clock;
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
}): Persistence {
  const { connection, clock } = options;
  const factsOf = (caught: unknown) => ({ isRefusal: isRefusal(caught), isClosed: connection.isClosed() });

  const persist: Persistence['persist'] = (doing, work, stop = options.signal) =>
    retrying(work, {
      backoff: ASK_AGAIN,
      clock,
      signal: stop,
      withinMs: options.deadlineMs,
      finalError: (caught, isLate) => {
        const verdict = verdictWithinDeadline(caught, { ...factsOf(caught), isLate });
        if (verdict === 'again') return undefined;
        const error = toFleetError(caught);
        return verdict === 'answer'
          ? toFleetError(error, doing)
          : new FleetError('unavailable', `${doing}: ${error.message}`, { cause: caught });
      },
    });

  return {
    persist,
    async persistWaiting(doing, work, { signal, onWait }) {
      const stop = signal ?? options.signal;
      if (onWait === undefined) return persist(doing, work, stop);
      const result = await retrying(work, {
        backoff: WAIT_FOR_ROOM,
        clock,
        signal: stop,
        finalError: (caught) =>
          verdictWithoutEnd(caught, factsOf(caught)) === 'answer' ? toFleetError(caught, doing) : undefined,
        onFailure: (caught) => onWait(toFleetError(caught, doing)),
      });
      onWait(undefined);
      return result;
    },
  };
}

/** Opens at first use, and again when that failed: the broker may be away while a program starts. */
export function onceOpened<T>(open: () => Promise<T>): () => Promise<T> {
  let opened: Promise<T> | undefined;
  return () => {
    opened ??= open().catch((caught: unknown) => {
      opened = undefined;
      throw caught;
    });
    return opened;
  };
}
