// How long one pass of a compiled graph takes: the median of many, since a machine does other things beside. Decides how
// many passes that is.

import { systemClock } from '../../core/clock.ts';

/** Passes before the clock counts: the first ones allocate memory and choose kernels. */
const WARM_UP = 3;
/** Passes that are timed, where they take less than TIME_MS together; never fewer than PASSES_MIN. */
const PASSES = 31;
const PASSES_MIN = 5;
/** The compute thread does nothing else meanwhile. */
const TIME_MS = 1_000;

/** The median duration of a pass, milliseconds. `now`: a monotonic clock. */
export function medianPassMs(pass: () => void, now: () => number = systemClock.monotonic): number {
  for (let count = 0; count < WARM_UP; count++) pass();
  const times: number[] = [];
  const beganAt = now();
  while (times.length < PASSES_MIN || (times.length < PASSES && now() - beganAt < TIME_MS)) {
    const passAt = now();
    pass();
    times.push(now() - passAt);
  }
  times.sort((a, b) => a - b);
  const middle = times.length >> 1;
  return times.length % 2 === 1 ? times[middle]! : (times[middle - 1]! + times[middle]!) / 2;
}
