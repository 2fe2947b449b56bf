// How the exchange of a generation ends before its time. Decides which failure counts (the first), that one
// which makes going on wrong for all is sent to all, and how often it is sent again.
//
// A `stop` may be lost like any message, and nothing acknowledges it. A member that missed it goes on
// sending; whatever arrives from it after the end is therefore answered with the stop again, at most once in
// `quietMs`.

import { z } from 'zod';
import type { Clock } from '../clock.ts';
import { FleetError } from '../errors.ts';
import { printable } from '../text/printable.ts';
import { shaped } from '../text/shape.ts';
import { boundedText } from '../text/wire-text.ts';
import { encodeJson, type Header, jsonOf } from './message.ts';

const stopSchema = z.looseObject({ message: z.string() });

/**
 * A member stops the others because weights are not what they should be, and for nothing else. What the message
 * carries is not believed: a code of a user's mistake would end the run for good, on the word of one member.
 */
const STOP_CODE = 'dataLoss';

export interface Ending {
  /** Why this member does not go on; undefined while it does. */
  failure(): FleetError | undefined;
  /** Ends the exchange at this member alone. */
  endHere(error: FleetError): void;
  /** Ends the exchange at all members. */
  endForAll(error: FleetError): void;
  /** A stop has come: another member has ended the exchange for all. */
  acceptStop(header: Header, data: Uint8Array): void;
  /** A message has come after the end. */
  repeatStop(): void;
}

export function createEnding(options: {
  readonly clock: Clock;
  /** The worker of a rank. */
  readonly nameOf: (rank: number) => string;
  /** Sends the reason to all members. */
  readonly sendStop: (reason: Uint8Array) => void;
  /** Least time between two repetitions of the stop, milliseconds. */
  readonly quietMs: () => number;
  /** Called when this member itself has found what is wrong. */
  readonly onStopped: (error: FleetError) => void;
  /** Called with the first failure, each time that there is another. */
  readonly onFailed: (error: FleetError) => void;
}): Ending {
  const { clock } = options;
  let failure: FleetError | undefined;
  /** The reason as it travels; set when this member or another stopped the run. */
  let stopped: Uint8Array | undefined;
  let repeatedAt = Number.NEGATIVE_INFINITY;

  function endHere(error: FleetError): void {
    failure ??= error;
    options.onFailed(failure);
  }

  return {
    failure: () => failure,
    endHere,
    endForAll(error) {
      if (failure !== undefined) return;
      options.onStopped(error);
      stopped = encodeJson({ code: error.code, message: error.message });
      options.sendStop(stopped);
      endHere(error);
    },
    acceptStop({ source }, data) {
      const { message: reason } = shaped(stopSchema, jsonOf(data), 'a stop message');
      if (failure !== undefined) return;
      stopped = encodeJson({ code: STOP_CODE, message: reason });
      endHere(
        new FleetError(
          STOP_CODE,
          `${options.nameOf(source)} stopped the gang: ${printable(boundedText(reason))}`,
          {
            details: { toldBy: source },
          },
        ),
      );
    },
    repeatStop() {
      if (stopped === undefined || clock.monotonic() - repeatedAt < options.quietMs()) return;
      repeatedAt = clock.monotonic();
      options.sendStop(stopped);
    },
  };
}
