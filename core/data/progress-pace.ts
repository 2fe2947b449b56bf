// How often long work over a data set reports progress and gives the event loop its turn. Decides it by time
// alone, however short or long a piece of work is, so that a tight loop may ask after each piece.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { systemClock } from '../clock.ts';

/** How far a piece of work is. */
export interface DataProgress {
  /** What is done, for a person: "reading labels". */
  readonly doing: string;
  readonly done: number;
  readonly total: number;
  /** What is counted: "images", "bytes"; empty where nothing is, as in a wait. */
  readonly unit: string;
}

export interface ProgressPace {
  /**
   * Shows progress when it is time; the event loop gets its turn then. Rejects when the work is no longer
   * wanted.
   */
  step(progress: DataProgress): Promise<void> | undefined;
}

const EVERY_MS = 200;

export function createProgressPace(
  options: { readonly onProgress?: (progress: DataProgress) => void; readonly signal?: AbortSignal } = {},
): ProgressPace {
  let last = systemClock.monotonic();
  return {
    step(progress) {
      const now = systemClock.monotonic();
      if (now - last < EVERY_MS) return undefined;
      last = now;
      options.onProgress?.(progress);
      return nextTurn().then(() => options.signal?.throwIfAborted());
    },
  };
}
