// Work in slices: a long loop asks after each of its steps whether it has had its share of this turn of the
// event loop, and goes on in the next turn when it has.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Clock, systemClock } from './clock.ts';

/** Milliseconds of one turn that a slice takes, so that other calls wait for a few of them at most. */
const SLICE_MS = 5;

/** The slices of one loop. */
export interface Slices {
  /** Resolves in the next turn where the slice is used up; undefined while it is not. */
  next(): Promise<void> | undefined;
}

/**
 * Begins a slice. The loop awaits what `next` returns where that is not undefined: to await undefined some ten thousand
 * times makes enough garbage for its collector to stop the loop for longer than a slice.
 */
export function beginSlices(clock: Pick<Clock, 'monotonic'> = systemClock): Slices {
  let began = clock.monotonic();
  return {
    next() {
      if (clock.monotonic() - began < SLICE_MS) return undefined;
      return nextTurn().then(() => {
        began = clock.monotonic();
      });
    },
  };
}
