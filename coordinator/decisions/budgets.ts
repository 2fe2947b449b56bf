// What has spent its budget: a run fails, and with it its trial; a sweep ends with the best that it has, and its open
// trials are cancelled, because they would spend more. Looked at in each beat, for what has a budget alone.

import { overspent } from '../model/spent.ts';
import { type RunState, type State, type SweepState, sweepOf, wholeRunWith } from '../model/state.ts';
import { boardOf, type Draft, emit } from './draft.ts';
import { endRun } from './gangs.ts';

/** Ends what has spent its budget. */
export function endSpent(draft: Draft): void {
  const { now } = draft.context;
  const open = [...boardOf(draft).budgeted].flatMap(
    (number) => wholeRunWith(draft.state, `run-${number}`) ?? [],
  );
  const sweeps = new Set(open.flatMap(({ sweepId }) => sweepId ?? []));
  for (const id of sweeps) {
    const sweep = sweepOf(draft.state, id);
    const reason = overspent(sweep.spec.budget ?? {}, sweep.spent, now);
    if (reason !== undefined && sweep.state === 'running') endSweep(draft, sweep, reason);
  }
  for (const run of open) {
    if (run.sweepId !== undefined && sweepOf(draft.state, run.sweepId).state !== 'running') continue;
    const reason = overspent(run.job.budget ?? {}, run.spent, now);
    if (reason !== undefined) failRun(draft, run, reason);
  }
}

function endSweep(draft: Draft, sweep: SweepState, spent: string): void {
  const { trialsDone, bestTrialId } = sweep;
  const reason = `${spent} after ${trialsDone} ${trialsDone === 1 ? 'trial' : 'trials'}; ${
    bestTrialId === undefined ? 'none has a result' : `the best is ${bestTrialId}`
  }`;
  emit(draft, {
    kind: 'sweep.ended',
    ...{ sweepId: sweep.id, state: bestTrialId === undefined ? 'failed' : 'done', reason },
  });
}

function failRun(draft: Draft, run: RunState, spent: string): void {
  const reason = `${spent}${run.sweepId === undefined ? '' : ', which is what each trial has'}`;
  endRun(draft, run, { kind: 'run.failed', runId: run.id, cause: 'budget', reason }, reason);
}

/** Why no further attempt is begun for a sweep; undefined: one may be. */
export function attemptsSpent(state: State, sweepId: string): string | undefined {
  const { spec, allRunIds } = sweepOf(state, sweepId);
  const { attempts } = spec.budget ?? {};
  return attempts === undefined || allRunIds.size < attempts
    ? undefined
    : `budget of ${attempts.toLocaleString('en')} attempts spent`;
}
