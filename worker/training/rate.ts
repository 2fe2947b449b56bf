// How far a run is, told to the coordinator a few times a second at most. Decides when a report is due and how the rate is
// smoothed; only rank 0 reports, and only the newest report counts.

import type { Clock } from '../../core/clock.ts';

export const PROGRESS_INTERVAL_MS = 250;

/** Says yes at most once an interval; `force` resets the pause. */
export function createThrottle(clock: Clock, intervalMs: number): (force?: boolean) => boolean {
  let next = Number.NEGATIVE_INFINITY;
  return (force = false) => {
    const now = clock.monotonic();
    if (!force && now < next) return false;
    next = now + intervalMs;
    return true;
  };
}

/** Images a second over the last few seconds: steps are weighted by their age with this time constant. */
const RATE_WINDOW_SECONDS = 5;

export interface Rate {
  /** Takes one step of `images` images that took `seconds`; returns the smoothed rate. */
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
