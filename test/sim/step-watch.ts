// That a pause loses the step in flight at most: what a gang has stored when it paused is never computed again,
// whoever goes on with the run and whatever fails in between.

import assert from 'node:assert/strict';
import type { Event } from '../../coordinator/model/events.ts';

/** Follows what is stored by pauses, and what is computed. */
export interface StepWatch {
  event(event: Event): void;
  /** A gang has computed this step. Throws when a pause had stored it. */
  step(runId: string, step: number): void;
  /** Steps that gangs have stored by pausing so far. */
  readonly stored: number;
}

/** A watch that has seen nothing yet. */
export function createStepWatch(): StepWatch {
  const pausedAt = new Map<string, number>();
  let stored = 0;
  return {
    event(event) {
      // Without a worker the gang was released before it had stored anything.
      if (event.kind !== 'run.paused' || event.workerId === undefined) return;
      const before = pausedAt.get(event.runId) ?? 0;
      assert.ok(event.step >= before, `${event.runId} pauses at ${event.step} and had stored ${before}`);
      pausedAt.set(event.runId, event.step);
      if (event.stored !== undefined) stored += 1;
    },
    step(runId, step) {
      const at = pausedAt.get(runId) ?? 0;
      assert.ok(step > at, `step ${step} of ${runId} is computed again, which had paused at ${at}`);
    },
    get stored() {
      return stored;
    },
  };
}
