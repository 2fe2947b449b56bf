// Runs that have halted at the end of a stage with a result: whether they may go on from there, and from which
// checkpoint.

import {
  type CheckpointState,
  type EndedRun,
  hasEnded,
  isWhole,
  type RunState,
  type State,
  sweepWith,
  trialWith,
} from './state.ts';

/**
 * The checkpoint from which a run can go on that has halted; undefined where it has none, its search has stopped its
 * trial, or its sweep has ended.
 */
export function leaseOf(state: State, run: RunState | EndedRun): CheckpointState | undefined {
  if (isWhole(run) || run.halted === undefined) return undefined;
  const sweep = sweepWith(state, run.sweepId);
  const trial = trialWith(state, run.trialId);
  if (sweep === undefined || hasEnded(sweep) || trial === undefined || trial.isStopped) return undefined;
  return trial.runIds.at(-1) === run.id ? run.halted : undefined;
}
