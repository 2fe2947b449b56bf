// The time of workers as counters: what has been added to their accounts since this coordinator leads.
// Counters only grow, so that computed seconds that turn out to be in vain are counted apart.

import { type PhaseSeconds, TIME_PHASES, type TimePhase } from '../../core/worker-time.ts';

/** Worker-seconds of a whole fleet. */
export interface FleetSeconds {
  readonly seconds: PhaseSeconds;
  /** Of those that were computed. */
  readonly repeated: number;
}

/** Counts for one coordinator. */
export interface WorkerSeconds {
  /** What was there before is another coordinator's count. */
  begin(before: FleetSeconds): void;
  collect(now: FleetSeconds): void;
}

/** Counts with this function; `repeated` is no phase of its own. */
export function createWorkerSeconds(
  count: (phase: TimePhase | 'repeated', seconds: number) => void,
): WorkerSeconds {
  let counted: FleetSeconds = { seconds: {}, repeated: 0 };
  return {
    begin(before) {
      counted = before;
    },
    collect(now) {
      const seconds: { [K in TimePhase]?: number } = {};
      for (const phase of TIME_PHASES) {
        const [before, after] = [counted.seconds[phase] ?? 0, now.seconds[phase] ?? 0];
        // A report that is on its way from the board to the journal is in neither for a moment.
        count(phase, Math.max(0, after - before));
        seconds[phase] = Math.max(before, after);
      }
      count('repeated', Math.max(0, now.repeated - counted.repeated));
      counted = { seconds, repeated: Math.max(counted.repeated, now.repeated) };
    },
  };
}
