// The pace of progress reports: when one is due, a few times a second at most, and how the rate of images in
// it is smoothed.

import type { Clock } from '../../core/clock.ts';

export const PROGRESS_INTERVAL_MS = 250;

/**
 * Returns a function that is true at most once an interval; `force` makes it true and begins a new interval.
 */
export function createThrottle(
  clock: Pick<Clock, 'monotonic'>,
  intervalMs: number,
): (force?: boolean) => boolean {
  let next = Number.NEGATIVE_INFINITY;
  return (force = false) => {
    const now = clock.monotonic();
    if (!force && now < next) return false;
    next = now + intervalMs;
    return true;
  };
}

/** Time constant of the smoothing: the weight of a step falls to 1/e when it is so many seconds old. */
const RATE_WINDOW_SECONDS = 5;

export interface Rate {
  /** Adds a step of `images` images in `seconds`; returns the smoothed rate, images a second. */
  add(images: number, seconds: number): number;
}

export function createRate(): Rate {
  let images = 0;
  let seconds = 0;
  return {
    add(newImages, newSeconds) {
      const kept = Math.exp(-newSeconds / RATE_WINDOW_SECONDS);
      images = images * kept + newImages;
      seconds = seconds * kept + newSeconds;
      return seconds > 0 ? images / seconds : 0;
    },
  };
}
