// What becomes of a sweep: which trial it proposes next, when it has all that it asked for, and when failures
// of one cause end it.
//
// A sweep keeps as many trials open as its parallelism allows. Each proposal is one numbered move of the
// strategy, so that the candidates of a sweep do not depend on when workers were free. A cause that fails
// trial after trial is not the candidates' (a mount that is away, a spec that no candidate survives): the
// sweep ends with that cause instead of spending all its trials on it, and can be resumed.

import type { SweepSpec } from '../../core/spec/sweep.ts';
import { trialOfGenotype } from '../model/candidates.ts';
import { isPaused } from '../model/holds.ts';
import { numberAt } from '../model/roll.ts';
import {
  attachedWorkers,
  endingOf,
  hasEnded,
  numberOf,
  type State,
  type SweepState,
  sweepOf,
  trialOf,
} from '../model/state.ts';
import { rowsOf } from '../model/table.ts';
import type { Answer } from '../strategies/search.ts';
import { lagOf, searchOf } from '../strategies/strategies.ts';
import { type Draft, emit, nextId } from './draft.ts';
import { trialsLeft } from './quotas.ts';
import { createAttempt, settleTrial } from './trials.ts';

type MoveAnswer = Extract<Answer, { kind: 'move' }>;

/** Settles a sweep: whether failures stop it, then new proposals, then its end; one that has ended, its trials. */
export function settleSweep(draft: Draft, sweepId: string): void {
  const before = sweepOf(draft.state, sweepId);
  if (hasEnded(before)) {
    cancelOpenTrials(draft, before, before.state === 'cancelled' ? before.reason : endingOf(before));
    return;
  }
  if (stopsFailing(draft, before)) return;
  const hasAll = propose(draft, sweepId);
  const sweep = sweepOf(draft.state, sweepId);
  if (sweep.openTrials.size > 0 || !hasAll) return;
  const { bestTrialId } = sweep;
  if (bestTrialId === undefined) {
    emit(draft, {
      kind: 'sweep.ended',
      sweepId: sweep.id,
      state: 'failed',
      reason: `none of ${sweep.trialsTotal} trials finished: ${lastTrial(draft.state, sweep)}`,
    });
    return;
  }
  const best = trialOf(draft.state, bestTrialId);
  emit(draft, {
    kind: 'sweep.ended',
    sweepId: sweep.id,
    state: 'done',
    reason: `${sweep.trialsDone} of ${sweep.trialsTotal} trials done, best ${best.id} with ${(best.objectives?.accuracy ?? 0).toFixed(4)}`,
  });
}

/** Ends a sweep before its time; its trials and their runs end with it. */
export function cancelSweep(draft: Draft, sweepId: string, reason: string): void {
  emit(draft, { kind: 'sweep.ended', sweepId, state: 'cancelled', reason });
}

/** What belongs to a sweep that has ended, or is about to, does not go on. */
function cancelOpenTrials(draft: Draft, sweep: SweepState, reason: string): void {
  for (const [number] of [...rowsOf(sweep.openTrials)])
    emit(draft, { kind: 'trial.ended', trialId: `trial-${number}`, state: 'cancelled', reason });
}

/** Ends a sweep whose trials fail one after the other for one cause. Returns whether it did. */
function stopsFailing(draft: Draft, sweep: SweepState): boolean {
  const { cause, count } = sweep.failuresInRow;
  // With nothing left to try the sweep ends as any other, with the best trial that it has.
  if (
    count < sweep.spec.failuresInRowMax ||
    (sweep.trialsProposed >= sweep.trialsTotal && sweep.openTrials.size === 0)
  )
    return false;
  const untried = sweep.trialsTotal - sweep.trialsProposed;
  const last = lastFailure(draft.state, sweep);
  const reason = `${count} trials in a row failed for one cause (${cause}), the last: ${last}; ${untried} of ${sweep.trialsTotal} trials were not begun. When the cause is mended, \`pocketfleet resume ${sweep.id}\` goes on`;
  cancelOpenTrials(draft, sweep, `${sweep.id} stopped: ${cause}`);
  emit(draft, { kind: 'sweep.ended', sweepId: sweep.id, state: 'failed', reason });
  return true;
}

/** How the newest trial ended, for the reason of the sweep's end. */
function lastTrial(state: State, { trialIds, reason }: SweepState): string {
  return trialIds.size === 0
    ? reason
    : endingOf(trialOf(state, `trial-${numberAt(trialIds, trialIds.size)}`));
}

/** How the newest trial that failed did. */
function lastFailure(state: State, sweep: SweepState): string {
  let last: string | undefined;
  // Few: those that failed or were cancelled, the newest last.
  for (const [number] of rowsOf(sweep.endedBadly)) {
    const trial = trialOf(state, `trial-${number}`);
    if (trial.state === 'failed') last = endingOf(trial);
  }
  return last ?? sweep.reason;
}

/**
 * Makes moves until as many trials are open as may be, none is left to make, or the slice is used up. Returns
 * whether none is left.
 */
function propose(draft: Draft, sweepId: string): boolean {
  const { slice, proposing } = draft.desk;
  const place = numberOf(sweepId);
  let looked = proposing.get(place);
  proposing.delete(place);
  for (;;) {
    const sweep = sweepOf(draft.state, sweepId);
    const mayBegin = sweep.trialsProposed < sweep.trialsTotal;
    const search = searchOf(sweep.spec);
    if (!mayBegin && !search.promotes) return true;
    if (isPaused(draft.state, sweepId) || isPaused(draft.state, sweep.planId)) return false;
    if (sweep.openTrials.size >= parallelismOf(draft.state, sweep)) return false;
    if (trialsLeft(draft.state, sweep) <= 0) return false;
    const cursor = looked ?? sweep.search.cursor;
    if (slice.proposals <= 0 || slice.draws <= 0) {
      proposing.set(place, cursor);
      return false;
    }
    const answer = search.ask(
      { ...sweep.search, cursor },
      {
        draws: Math.ceil(slice.draws / search.drawCost),
        mayBegin,
        known: (key) => numberOfCandidate(draft.state, sweep, key),
        keyOf: (number) => trialOf(draft.state, `trial-${numberAt(sweep.trialIds, number)}`).genotypeKey,
      },
    );
    if (answer.kind === 'later') {
      slice.draws = 0;
      looked = answer.cursor;
      continue;
    }
    if (answer.kind === 'wait') return false;
    if (answer.kind === 'done') {
      const trialsTotal = sweep.trialsProposed;
      if (mayBegin) emit(draft, { kind: 'sweep.exhausted', sweepId, trialsTotal, reason: answer.reason });
      return true;
    }
    slice.proposals -= 1;
    slice.draws -= search.drawCost * (1 + answer.skipped.count - cursor.skipped.count);
    looked = undefined;
    make(draft, sweep, answer);
  }
}

/** Makes a move: a trial begins, goes on, or gets no more. */
function make(draft: Draft, sweep: SweepState, { move, cursor, skipped }: MoveAnswer): void {
  const { skipped: _none, ...reached } = cursor;
  if (move.kind !== 'evaluate') {
    const trialId = `trial-${numberAt(sweep.trialIds, move.trial)}`;
    const { reason } = move;
    if (move.kind === 'stop') emit(draft, { kind: 'trial.stopped', trialId, cursor: reached, reason });
    else {
      const fidelity = move.fidelity === undefined ? {} : { fidelity: move.fidelity };
      emit(draft, { kind: 'trial.promoted', trialId, ...fidelity, cursor: reached, reason });
      settleTrial(draft, trialOf(draft.state, trialId));
    }
    return;
  }
  const trialId = nextId(draft.state, 'trial');
  emit(draft, {
    kind: 'trial.proposed',
    ...{ trialId, sweepId: sweep.id, number: sweep.trialsProposed + 1 },
    ...{ genotype: move.key, costs: move.costs, cursor: reached },
    ...(move.reason === '' ? {} : { why: move.reason }),
    ...(move.parents.length === 0 ? {} : { parents: move.parents }),
    ...(move.fidelity === undefined ? {} : { fidelity: move.fidelity }),
    ...(skipped.count === 0 ? {} : { skipped }),
  });
  createAttempt(draft, trialOf(draft.state, trialId), 'first attempt');
}

/** The number within its sweep of the trial that has this genotype. */
function numberOfCandidate(state: State, sweep: SweepState, key: string): number | undefined {
  const number = trialOfGenotype(sweep.candidates, key);
  return number === undefined ? undefined : trialOf(state, `trial-${number}`).number;
}

/** Trials that may be open at once: as the spec says, or as many as there are workers. */
export function parallelismOf(state: State, sweep: SweepState): number {
  if (sweep.spec.parallelism > 0) return sweep.spec.parallelism;
  return Math.max(1, attachedWorkers(state));
}

/** The lag of a sweep that is submitted now, as a field of its event. */
export function lagAtSubmit({ state }: Draft, spec: SweepSpec): { readonly lag?: number } {
  const lag = lagOf(spec, attachedWorkers(state));
  return lag === undefined ? {} : { lag };
}
