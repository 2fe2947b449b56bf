// What becomes of a sweep: which trial it proposes next, when it has all it asked for, and when failures of one cause end it.

import { lookup } from '../model/persistent-map.ts';
import { idAt } from '../model/roll.ts';
import { endingOf, type State, type SweepState, sweepOf, type TrialState, trialOf } from '../model/state.ts';
import { proposeRandom } from '../strategies/random.ts';
import { type Draft, emit, nextId } from './draft.ts';
import { createAttempt, settleTrial } from './trials.ts';

/** Trials first: once the sweep has ended nobody looks at them again. */
export function cancelSweep(draft: Draft, sweepId: string, reason: string): void {
  for (const trialId of sweepOf(draft.state, sweepId).openTrialIds)
    emit(draft, { kind: 'trial.ended', trialId, state: 'cancelled', reason });
  emit(draft, { kind: 'sweep.ended', sweepId, state: 'cancelled', reason });
}

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

/** Journals of releases that had no such bound have sweeps without it. */
const FAILURES_IN_ROW_MAX = 5;

/** One cause that fails trial after trial is not the candidates': the sweep ends with it, instead of all its trials. */
function stopsFailing(draft: Draft, sweep: SweepState): boolean {
  const { cause, count } = sweep.failuresInRow;
  const countMax = (sweep.spec.failuresInRowMax as number | undefined) ?? FAILURES_IN_ROW_MAX;
  // With nothing left to try it ends as ever, with what it has.
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

/** How the newest trial of this kind ended. */
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

function parallelismOf(draft: Draft, sweep: SweepState): number {
  if (sweep.spec.parallelism > 0) return sweep.spec.parallelism;
  const attached = [...draft.state.workers.values()].filter((worker) => worker.state === 'attached');
  return Math.max(1, attached.length);
}
