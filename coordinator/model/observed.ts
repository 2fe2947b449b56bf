// What decisions look at beside the state: the time, who is on a stream, how far and how fast runs are. It is
// volatile, so it is read once for each decision and never journalled; what a decision makes of it is
// journalled, with its reason.

import type { TimeSlice } from '../../core/worker-time.ts';
import type { PersistentMap } from './persistent-map.ts';

/** The volatile facts of one decision. */
export interface Observed {
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Time up to then that only the clock has seen, of which no event knows yet. */
  readonly jump?: Jump | undefined;
  /**
   * Workers that are on a stream now; others get no new work. Persistent, so that placing sees what has
   * changed since its last look.
   */
  readonly connected: PersistentMap<true>;
  /**
   * Committed steps of a run as last reported; undefined when nobody has reported since this coordinator
   * started.
   */
  readonly stepOf?: (runId: string) => number | undefined;
  /**
   * Images a second that a worker computes for a run, without the time that it waits for others; undefined
   * before it was measured.
   */
  readonly speedOf?: (runId: string, workerId: string) => number | undefined;
  /**
   * Seconds that an image takes on a device class: of a teacher's pass or of a student's step, of a network with so many
   * multiply-adds; undefined where none of about this size was measured since this coordinator started.
   */
  readonly secondsOf?: (
    kind: 'pass' | 'step',
    deviceClass: string,
    multiplyAdds: number,
  ) => number | undefined;
  /** Bytes in which a worker may keep its teachers' embeddings of single images. */
  readonly imageRowsBytes?: number;
  /**
   * Why a worker that may keep them for a run keeps none, as part of a sentence; undefined where it has said nothing of it
   * to this coordinator.
   */
  readonly rowsRefusedOf?: (runId: string, workerId: string) => string | undefined;
  /** What a process has reported of its time since the last slice that was journalled. */
  readonly openTimeOf?: (workerId: string, incarnation: string) => TimeSlice | undefined;
}

/** Time that passed on the clock and for nobody: the clock was set ahead, the machine slept, or no coordinator was there. */
export interface Jump {
  readonly fromMs: number;
  readonly toMs: number;
  readonly reason: string;
}
