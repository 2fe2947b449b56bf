// How the exchange of a generation ends before its time: the first failure counts, and one that makes going on wrong for all is told
// to all, again whenever somebody goes on talking. Decides what is told and how often; what a failure does to open calls is
// exchange.ts'.

import type { Clock } from '../clock.ts';
import { CODES, type Code, FleetError } from '../errors.ts';
import { encodeJson, type Header, jsonOf } from './message.ts';

export interface Ending {
  /** Why this member does not go on; undefined while it does. */
  failure(): FleetError | undefined;
  /** Ends it here. */
  fail(error: FleetError): void;
  /** Ends it for all. */
  stop(error: FleetError): void;
  /** Another member has ended it for all. */
  take(header: Header, data: Uint8Array): void;
  /** Somebody goes on talking after the end. */
  tellAgain(): void;
}

export function createEnding(options: {
  readonly clock: Clock;
  /** Says to all members why it is over. */
  readonly tell: (reason: Uint8Array) => void;
  /** Least time between two tellings, milliseconds. */
  readonly quietMs: () => number;
  /** This member has found what is wrong. */
  readonly onStopped: (error: FleetError) => void;
  /** Called with the first failure each time that there is another. */
  readonly onFailed: (error: FleetError) => void;
}): Ending {
  const { clock } = options;
  let failure: FleetError | undefined;
  /** Set when this member or another stopped the run. */
  let stopped: Uint8Array | undefined;
  let toldAt = Number.NEGATIVE_INFINITY;

  function fail(error: FleetError): void {
    failure ??= error;
    options.onFailed(failure);
  }

  return {
    failure: () => failure,
    fail,
    stop(error) {
      if (failure !== undefined) return;
      options.onStopped(error);
      stopped = encodeJson({ code: error.code, message: error.message });
      options.tell(stopped);
      fail(error);
    },
    take({ source }, data) {
      const { code, message: reason } = jsonOf(data) as { code?: unknown; message?: unknown };
      const known = typeof code === 'string' && code in CODES ? (code as Code) : 'aborted';
      if (failure !== undefined) return;
      stopped = encodeJson({ code: known, message: reason });
      fail(new FleetError(known, String(reason), { details: { toldBy: source } }));
    },
    tellAgain() {
      if (stopped === undefined || clock.monotonic() - toldAt < options.quietMs()) return;
      toldAt = clock.monotonic();
      options.tell(stopped);
    },
  };
}
