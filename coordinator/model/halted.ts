// Runs that have a result at the end of a stage before their last: whether one that has halted may go on from there,
// and from which checkpoint; whether one that goes on is judged meanwhile.

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

/** Whether a run trains on, or has ended, while its trial is judged at a stage that it has passed. */
export function isBeingJudged(state: State, { id, trialId, evaluateStages }: RunState): boolean {
  const trial = evaluateStages === undefined ? undefined : trialWith(state, trialId ?? '');
  if (trial?.state !== 'done' || trial.fidelity === undefined || trial.isStopped) return false;
  const sweep = sweepWith(state, trial.sweepId);
  return trial.runIds.at(-1) === id && sweep !== undefined && !hasEnded(sweep);
}
