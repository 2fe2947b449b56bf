// What an image takes on each device class, as workers report it with their leases: the step of a network, and the pass of
// a teacher. Decides which report answers for a network that was not measured itself: that of the nearest size, at most
// twice as large or as small, in proportion. Volatile: a coordinator that has started knows nothing, and goes by
// multiply-adds until it does.

import { LRUCache } from 'lru-cache';
import type { Lease } from '../../proto/gen/pocketfleet/v1/worker.ts';
import type { Observed } from '../model/observed.ts';
import { type RunState, type State, wholeRunWith } from '../model/state.ts';

/** The newest times of all device classes. */
export interface ImageTimes {
  /** Takes what a worker reports of the runs that it holds. */
  heard(state: State, leases: readonly Pick<Lease, 'runId' | 'imagesPerSecond' | 'passesPerSecond'>[]): void;
  readonly secondsOf: NonNullable<Observed['secondsOf']>;
}

/** Sizes of networks that are kept of a class, for steps and for passes. */
const SIZES_MAX = 1_000;
/** Device classes that are kept. */
const CLASSES_MAX = 100;
/** A network stands for others of at most so many times its multiply-adds, or as many times fewer. */
const SIZE = 2;

export function createImageTimes(): ImageTimes {
  /** By kind and class: seconds an image by multiply-adds. */
  const known = new LRUCache<string, LRUCache<number, number>>({ max: 2 * CLASSES_MAX });
  const note = (kind: 'pass' | 'step', run: RunState, adds: number | undefined, speed = 0) => {
    const { deviceClass } = run;
    if (deviceClass === undefined || adds === undefined || !(adds > 0) || !(speed > 0)) return;
    if (!Number.isFinite(speed)) return;
    const key = `${kind} ${deviceClass}`;
    const ofClass = known.get(key) ?? new LRUCache<number, number>({ max: SIZES_MAX });
    known.set(key, ofClass);
    ofClass.set(adds, 1 / speed);
  };
  return {
    heard(state, leases) {
      for (const { runId, imagesPerSecond, passesPerSecond } of leases) {
        const run = wholeRunWith(state, runId);
        if (run === undefined) continue;
        if (run.job.kind !== 'embedding') note('step', run, run.costs.multiplyAdds, imagesPerSecond);
        const teacher = run.teacherRunId === undefined ? undefined : wholeRunWith(state, run.teacherRunId);
        note('pass', run, teacher?.costs.multiplyAdds, passesPerSecond);
      }
    },
    secondsOf(kind, deviceClass, multiplyAdds) {
      const ofClass = known.get(`${kind} ${deviceClass}`);
      if (ofClass === undefined) return undefined;
      const own = ofClass.get(multiplyAdds);
      if (own !== undefined) return own;
      let nearest: { readonly ratio: number; readonly seconds: number } | undefined;
      for (const [adds, seconds] of ofClass.entries()) {
        const ratio = multiplyAdds / adds;
        if (ratio > SIZE || ratio < 1 / SIZE) continue;
        if (nearest === undefined || Math.abs(Math.log(ratio)) < Math.abs(Math.log(nearest.ratio)))
          nearest = { ratio, seconds };
      }
      return nearest && nearest.seconds * nearest.ratio;
    },
  };
}
