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

/** Begins a slice; `await slices.next()` stands in the loop. */
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
