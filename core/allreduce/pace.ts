// How fast the steps of a generation go, and how patient that makes a member. Decides after how much quiet
// missing messages are asked for, and which steps count as a sample of how long a step takes.

import type { Clock } from '../clock.ts';

export interface Pace {
  /** Quiet time after which missing messages are asked for, milliseconds. */
  stallMs(): number;
  /** A step is to be summed; `fresh`: it begins a stage. */
  markStart(fresh: boolean): void;
  /** The step is summed; `late`: messages came twice, because they had been asked for again. */
  markSum(late: boolean): void;
  /** The generation ends while this member waits for a sum. */
  markAbandoned(): void;
  /**
   * The step that is summed takes as long as others. False for the first step of a member, which compiles,
   * and for the first of a stage, which may wait for a teacher or a checkpoint.
   */
  isUsualStep(): boolean;
}

const STALL_MS_MAX = 1000;

/**
 * What arrived twice was slow and not lost: patience grows by half, and shrinks by a tenth with each step
 * that has no repetition.
 */
export function nextStallMs(stallMs: number, late: boolean, stallMsMin: number): number {
  return late ? Math.min(STALL_MS_MAX, stallMs * 1.5) : Math.max(stallMsMin, stallMs * 0.9);
}

export function createPace(options: {
  readonly clock: Clock;
  /** Least quiet time, milliseconds. */
  readonly stallMsMin: number;
  /** Called with the time from one sum to the next, or to the end of the generation, milliseconds. */
  readonly onStep: (ms: number) => void;
}): Pace {
  const { clock, stallMsMin, onStep } = options;
  let stallMs = stallMsMin;
  /** When the last step of this generation was summed. */
  let summedAt: number | undefined;
  let isFresh = false;
  const isUsualStep = (): boolean => summedAt !== undefined && !isFresh;
  return {
    stallMs: () => stallMs,
    markStart(fresh) {
      isFresh = fresh;
    },
    markSum(late) {
      stallMs = nextStallMs(stallMs, late, stallMsMin);
      const now = clock.monotonic();
      if (summedAt !== undefined && !isFresh) onStep(now - summedAt);
      summedAt = now;
    },
    markAbandoned() {
      // A wait that was ended from outside is a slow step too: a member that was only slow gets more time in
      // the next generation.
      if (summedAt !== undefined && !isFresh) onStep(clock.monotonic() - summedAt);
    },
    isUsualStep,
  };
}
