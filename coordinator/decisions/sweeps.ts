// What becomes of a sweep: which trial it proposes next, when it has all that it asked for, and when failures
// of one cause end it.
//
// A sweep keeps as many trials open as its parallelism allows. Each proposal is one numbered draw of the
// strategy, so that the candidates of a sweep do not depend on when workers were free. A cause that fails
// trial after trial is not the candidates' (a mount that is away, a spec that no candidate survives): the
// sweep ends with that cause instead of spending all its trials on it, and can be resumed.

import { lookup } from '../model/persistent-map.ts';
import { idAt } from '../model/roll.ts';
import { endingOf, type State, type SweepState, sweepOf, type TrialState, trialOf } from '../model/state.ts';
import { proposeRandom } from '../strategies/random.ts';
import { type Draft, emit, nextId } from './draft.ts';
import { createAttempt, settleTrial } from './trials.ts';

/** Settles an open sweep: its trials, then whether failures stop it, then new proposals, then its end. */
export function settleSweep(draft: Draft, before: SweepState): void {
  for (const id of before.openTrialIds) settleTrial(draft, trialOf(draft.state, id));
  if (stopsFailing(draft, sweepOf(draft.state, before.id))) return;
  propose(draft, before.id);
  const sweep = sweepOf(draft.state, before.id);
  if (sweep.openTrialIds.length > 0 || sweep.trialsProposed < sweep.trialsTotal) return;
  const { bestTrialId } = sweep;
  if (bestTrialId === undefined) {
    emit(draft, {
      kind: 'sweep.ended',
      sweepId: sweep.id,
      state: 'failed',
      reason: `none of ${sweep.trialsTotal} trials finished: ${lastFailure(draft.state, sweep)}`,
    });
    return;
  }
  const best = trialOf(draft.state, bestTrialId);
  emit(draft, {
    kind: 'sweep.ended',
    sweepId: sweep.id,
    state: 'done',
    reason: `${sweep.trialsDone} of ${sweep.trialsTotal} trials done, best ${best.id} with ${(best.objective ?? 0).toFixed(4)}`,
  });
}

/** Cancels a sweep, its open trials first: what belongs to a sweep that has ended is not looked at again. */
export function cancelSweep(draft: Draft, sweepId: string, reason: string): void {
  for (const trialId of sweepOf(draft.state, sweepId).openTrialIds)
    emit(draft, { kind: 'trial.ended', trialId, state: 'cancelled', reason });
  emit(draft, { kind: 'sweep.ended', sweepId, state: 'cancelled', reason });
}

/**
 * Failures of one cause in a row that end a sweep whose spec has no bound of its own: earlier releases wrote
 * such specs.
 */
const FAILURES_IN_ROW_MAX = 5;

/** Ends a sweep whose trials fail one after the other for one cause. Returns whether it did. */
function stopsFailing(draft: Draft, sweep: SweepState): boolean {
  const { cause, count } = sweep.failuresInRow;
  const countMax = (sweep.spec.failuresInRowMax as number | undefined) ?? FAILURES_IN_ROW_MAX;
  // With nothing left to try the sweep ends as any other, with the best trial that it has.
  if (count < countMax || (sweep.trialsProposed >= sweep.trialsTotal && sweep.openTrialIds.length === 0))
    return false;
  const untried = sweep.trialsTotal - sweep.trialsProposed;
  const last = lastFailure(draft.state, sweep, (trial) => trial.state === 'failed');
  const reason = `${count} trials in a row failed for one cause (${cause}), the last: ${last}; ${untried} of ${sweep.trialsTotal} trials were not begun. When the cause is mended, \`pocketfleet resume ${sweep.id}\` goes on`;
  for (const trialId of sweep.openTrialIds)
    emit(draft, {
      kind: 'trial.ended',
      trialId,
      state: 'cancelled',
      reason: `${sweep.id} stopped: ${cause}`,
    });
  emit(draft, { kind: 'sweep.ended', sweepId: sweep.id, state: 'failed', reason });
  return true;
}

/** How the newest trial that is meant ended, for the reason of the sweep's end. */
function lastFailure(
  state: State,
  sweep: SweepState,
  isMeant: (trial: TrialState) => boolean = () => true,
): string {
  for (let number = sweep.trialIds.size; number >= 1; number--) {
    const trial = trialOf(state, idAt(sweep.trialIds, number));
    if (isMeant(trial)) return endingOf(trial);
  }
  return sweep.reason;
}

/** Proposes trials until as many are open as may be, all are proposed, or the space has no more. */
function propose(draft: Draft, sweepId: string): void {
  for (;;) {
    const sweep = sweepOf(draft.state, sweepId);
    if (sweep.trialsProposed >= sweep.trialsTotal) return;
    if (sweep.openTrialIds.length >= parallelismOf(draft, sweep)) return;
    const proposal = proposeRandom({
      spec: sweep.spec,
      nextDraw: sweep.nextDraw,
      trialWith: (genotypeJson) => lookup(sweep.seen, genotypeJson),
    });
    if ('exhausted' in proposal) {
      const trialsTotal = sweep.trialsProposed;
      emit(draft, { kind: 'sweep.exhausted', sweepId, trialsTotal, reason: proposal.exhausted });
      return;
    }
    const trialId = nextId(draft.state, 'trial');
    emit(draft, { kind: 'trial.proposed', trialId, sweepId, number: sweep.trialsProposed + 1, ...proposal });
    createAttempt(draft, trialOf(draft.state, trialId), 'first attempt');
  }
}

/** Trials that may be open at once: as the spec says, or as many as there are workers. */
function parallelismOf(draft: Draft, sweep: SweepState): number {
  if (sweep.spec.parallelism > 0) return sweep.spec.parallelism;
  const attached = [...draft.state.workers.values()].filter((worker) => worker.state === 'attached');
  return Math.max(1, attached.length);
}
