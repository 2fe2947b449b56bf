// How fast the steps of a generation go, and how patient that makes a member: when it asks for what is missing, and which steps tell
// something about how long a step takes. What is too long for a step is patience.ts', whom to ask when asking.ts'.

import type { Clock } from '../clock.ts';

export interface Pace {
  /** Quiet time after which missing messages are asked for, milliseconds. */
  stallMs(): number;
  /** A step is to be summed; `fresh`: it begins a stage. */
  begin(fresh: boolean): void;
  /** It is summed; `late`: messages came that had been asked for again. */
  summed(late: boolean): void;
  /** The generation ends while this member waits for a sum. */
  giveUp(): void;
  /** The step that is summed takes as long as others: the first one of a member compiles, and that of a stage waits for others. */
  isUsual(): boolean;
}

const STALL_MS_MAX = 1000;

export function createPace(options: {
  readonly clock: Clock;
  readonly stallMsMin: number;
  /** From one sum to the next, or to the end of the generation. */
  readonly onStep: (ms: number) => void;
}): Pace {
  const { clock, stallMsMin, onStep } = options;
  let stallMs = stallMsMin;
  /** When the last step was summed, in this generation. */
  let summedAt: number | undefined;
  let isFresh = false;
  return {
    stallMs: () => stallMs,
    begin(fresh) {
      isFresh = fresh;
    },
    summed(late) {
      // What arrived twice was not lost but slow: be more patient, and less again when that has passed.
      stallMs = late ? Math.min(STALL_MS_MAX, stallMs * 1.5) : Math.max(stallMsMin, stallMs * 0.9);
      const now = clock.monotonic();
      if (summedAt !== undefined && !isFresh) onStep(now - summedAt);
      summedAt = now;
    },
    giveUp() {
      // A wait that somebody ended was a slow step too: whoever was only slow is given more time the next time.
      if (summedAt !== undefined && !isFresh) onStep(clock.monotonic() - summedAt);
    },
    isUsual: () => summedAt !== undefined && !isFresh,
  };
}
