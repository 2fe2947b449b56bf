// What the coordinator gets of this process's timeline. Decides when a slice is due to be journalled: seldom
// enough that a journal of many workers stays small, and often enough that little is unknown of a process that
// dies together with its coordinator. All that is not journalled yet travels with each heartbeat, so that a
// loss of this process alone costs the last heartbeat interval.

import { PHASE_FIELDS, type TimeSlice } from '../../core/worker-time.ts';
import type { PhaseSeconds, TimeSpent } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { Timeline } from '../run/timeline.ts';

/** Slices of a process, on their way to the coordinator. */
export interface TimeReports {
  /** The slice that is to be journalled now, with which the next one begins; undefined: none is due. */
  due(): TimeSpent | undefined;
  /** What no slice before has. */
  open(): TimeSpent;
}

/** A slice is due after a hundredth of the life of the process, and within these bounds, seconds. */
const SLICE_MIN = 10;
const SLICE_MAX = 120;
const SLICE_SHARE = 0.01;

/** Reports of this timeline. */
export function createTimeReports(timeline: Pick<Timeline, 'peek' | 'cut'>): TimeReports {
  return {
    due() {
      const { from, until } = timeline.peek();
      const enough = Math.min(SLICE_MAX, Math.max(SLICE_MIN, until * SLICE_SHARE));
      return until - from < enough ? undefined : spentOf(timeline.cut());
    },
    open: () => spentOf(timeline.peek()),
  };
}

function spentOf({ from, until, entries }: TimeSlice): TimeSpent {
  return {
    from,
    until,
    entries: entries.map(({ runId = '', stage = 0, seconds }) => ({
      runId,
      stage,
      seconds: Object.fromEntries(
        PHASE_FIELDS.map(([phase, field]) => [field, seconds[phase] ?? 0]),
      ) as unknown as PhaseSeconds,
    })),
  };
}
