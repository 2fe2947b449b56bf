// How long a command waits for a coordinator that is away. Work goes on while the coordinator restarts, so a
// command that follows work asks again until it gets an answer, for some minutes. Decides which failures are
// worth another try, and when to give up.

import { systemClock } from '../../core/clock.ts';
import { type FleetError, toFleetError } from '../../core/errors.ts';
import { ASK_AGAIN, delayMs } from '../../core/retry.ts';

export interface Absence {
  readonly signal?: AbortSignal | undefined;
  /** Receives one sentence for each time that the coordinator goes away, and one when it is back. */
  say?(text: string): void;
  /**
   * How long the coordinator may be away, milliseconds; default five minutes, as an upgrade of a cluster may
   * take.
   */
  readonly awayMaxMs?: number;
}

const AWAY_MAX_MS = 300_000;

/**
 * The messages of a call that is opened again whenever it breaks. `open` is asked anew each time, so it can
 * name the place to go on from. A call that is refused for another reason fails at once.
 */
export async function* persistently<T>(
  open: () => AsyncIterable<T>,
  absence: Absence = {},
): AsyncGenerator<T> {
  const { signal, say, awayMaxMs = AWAY_MAX_MS } = absence;
  let awaySince: number | undefined;
  let failures = 0;
  const back = () => {
    if (awaySince !== undefined) say?.('the coordinator answers again');
    awaySince = undefined;
    failures = 0;
  };
  while (!signal?.aborted) {
    try {
      for await (const message of open()) {
        back();
        yield message;
      }
      return;
    } catch (caught) {
      const error = toFleetError(caught);
      const now = systemClock.monotonic();
      const isWorthWaiting = isAway(error) || (awaySince !== undefined && lacksWorker(error));
      if (!isWorthWaiting || (awaySince !== undefined && now - awaySince > awayMaxMs)) throw error;
      if (awaySince === undefined) say?.(waitingText(error, awayMaxMs));
      awaySince ??= now;
      failures += 1;
      await systemClock.sleep(delayMs(ASK_AGAIN, failures), signal).catch(() => undefined);
    }
  }
}

/** The same as `persistently` for a call with one answer. */
export async function persist<T>(ask: () => Promise<T>, absence: Absence = {}): Promise<T> {
  async function* once() {
    yield await ask();
  }
  for await (const answer of persistently(once, absence)) return answer;
  absence.signal?.throwIfAborted();
  throw new Error('assertion: a question ended without an answer');
}

/**
 * A coordinator of an older release, or a proxy before it, ends calls with `cancelled`; nobody here cancelled
 * this one.
 */
function isAway(error: FleetError): boolean {
  return !lacksWorker(error) && (error.code === 'unavailable' || error.code === 'cancelled');
}

/** After a restart of the coordinator its workers take a moment to attach again. */
function lacksWorker(error: FleetError): boolean {
  return error.code === 'unavailable' && error.details.missing === 'worker';
}

function waitingText(error: FleetError, awayMaxMs: number): string {
  return `${error.message.split('; ')[0]}; the work goes on, and this command asks again for ${Math.round(awayMaxMs / 60_000)} min`;
}
