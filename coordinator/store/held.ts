// What the store should hold of a run, by the state. Pure.

import { storedOfEnded } from '../decisions/retaining.ts';
import type { Held } from '../decisions/retention.ts';
import { hasEnded, isWhole, numberOf, runWith, type State, storedStep } from '../model/state.ts';

/** What should be stored of a run. */
export interface HeldOfRun {
  /** What of a stage stays; a stage that the journal does not know yet is left alone while the run is open. */
  of(stage: number): Held | 'nothing';
  /** Whether the checkpoint of a step within a stage stays; one that the journal does not know yet is left alone. */
  ofStep(step: number): boolean;
  readonly evaluation: boolean;
  readonly hasEnded: boolean;
}

const ALL: HeldOfRun = { of: () => 'all', ofStep: () => true, evaluation: true, hasEnded: false };
const NOTHING: HeldOfRun = { of: () => 'nothing', ofStep: () => false, evaluation: false, hasEnded: true };

/** What should be stored of the run with this id; everything where the journal does not say. */
export function heldOfRun(state: State, runId: string): HeldOfRun {
  const run = runWith(state, runId);
  if (run === undefined) return wasRemoved(state, runId) ? NOTHING : ALL;
  if (!isWhole(run)) {
    const stored = storedOfEnded(state, run);
    if (stored.length === 0) return NOTHING;
    return {
      of: (stage) => (stored.includes(Math.min(stage, run.stages)) ? 'all' : 'nothing'),
      ofStep: () => false,
      ...{ evaluation: true, hasEnded: true },
    };
  }
  const stages = new Map<number, Held | 'nothing'>(
    run.checkpoints.map(({ stage, held }) => [stage, held ?? 'all']),
  );
  const stored = storedStep(run);
  return {
    of: (stage) => stages.get(stage) ?? 'all',
    ofStep: (step) => step === run.pausedStep?.step || (step > stored && !hasEnded(run)),
    ...{ evaluation: true, hasEnded: hasEnded(run) },
  };
}

/** A run that was given out and is in no table was removed, unless `journal truncate` cut it off. */
function wasRemoved({ numbers, cutOffRuns }: State, runId: string): boolean {
  const number = numberOf(runId);
  if (!Number.isInteger(number) || number < 1 || number > numbers.run) return false;
  return !cutOffRuns.some(({ after, upTo }) => number > after && number <= upTo);
}
