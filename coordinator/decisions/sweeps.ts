// What becomes of a sweep: which trial it proposes next, when it has all that it asked for, and when failures
// of one cause end it.
//
// A sweep keeps as many trials open as its parallelism allows. Each proposal is one numbered move of the
// strategy, so that the candidates of a sweep do not depend on when workers were free. A cause that fails
// trial after trial is not the candidates' (a mount that is away, a spec that no candidate survives): the
// sweep ends with that cause instead of spending all its trials on it, and can be resumed.

import type { SweepSpec } from '../../core/spec/sweep.ts';
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
  wholeRunWith,
} from '../model/state.ts';
import { rowsOf } from '../model/table.ts';
import { goesOnAtRungs } from '../strategies/rungs.ts';
import type { Candidate } from '../strategies/screening.ts';
import type { Cursor } from '../strategies/search.ts';
import { lagOf, searchOf } from '../strategies/strategies.ts';
import { attemptsSpent } from './budgets.ts';
import { isUsedUp } from './desk.ts';
import { type Draft, emit } from './draft.ts';
import { candidateOf, drawCandidates, makeMove, moveScreened, questionOf } from './moves.ts';
import { trialsLeft } from './quotas.ts';
import { endedShort, missingStage } from './retaining.ts';
import { hasSearched } from './teachers.ts';

/** Settles a sweep: whether failures stop it, then new proposals, then its end; one that has ended, its trials. */
export function settleSweep(draft: Draft, sweepId: string): void {
  const before = sweepOf(draft.state, sweepId);
  if (hasEnded(before)) {
    cancelOpenTrials(draft, before, before.state === 'cancelled' ? before.reason : endingOf(before));
    return;
  }
  if (endsWithTeacher(draft, before) || stopsFailing(draft, before)) return;
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
  const attempts = attemptsSpent(draft.state, sweep.id);
  const spent = attempts === undefined || sweep.trialsProposed === sweep.trialsTotal ? '' : `${attempts}: `;
  emit(draft, {
    kind: 'sweep.ended',
    sweepId: sweep.id,
    state: 'done',
    reason: `${spent}${sweep.trialsDone} of ${sweep.trialsTotal} trials done, best ${best.id} with ${(best.objectives?.accuracy ?? 0).toFixed(4)}${agreementOf(draft, sweep)}`,
  });
}

/** What a one-shot search says of its ranking when it is over; nothing where it was cut short. */
function agreementOf(draft: Draft, sweep: SweepState): string {
  if (sweep.spec.strategy.kind !== 'one-shot') return '';
  const question = questionOf(draft, sweep, { draws: 1, mayBegin: false, drawn: [] });
  const answer = searchOf(sweep.spec).ask(sweep.search, question);
  return answer.kind === 'done' ? `; ${answer.reason}` : '';
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

/** Ends a sweep whose candidates cannot learn from their teacher any more. Returns whether it did. */
function endsWithTeacher(draft: Draft, sweep: SweepState): boolean {
  const { id: sweepId, teacherRunId, job, spec, facts, failuresInRow } = sweep;
  const teacher = teacherRunId === undefined ? undefined : wholeRunWith(draft.state, teacherRunId);
  if (teacher === undefined || job.distillation === undefined) return false;
  const { schedule } = job.distillation;
  const taught = { schedule, epochs: job.training.epochs, newest: 0 };
  const missing = missingStage(teacher, taught);
  if (missing === undefined) return false;
  // Where the same search is done, its candidates take their results, until one of them has none.
  const isLetGo = endedShort(teacher, taught) === undefined && failuresInRow.cause !== 'teacher';
  if (isLetGo && hasSearched(draft.state, teacher, { search: spec, data: spec.data, facts })) return false;
  const reason = `its candidates learn from ${teacher.id}, and ${missing}`;
  emit(draft, { kind: 'sweep.ended', sweepId, state: 'failed', reason });
  return true;
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
    if (attemptsSpent(draft.state, sweepId) !== undefined) return true;
    if (isPaused(draft.state, sweepId) || isPaused(draft.state, sweep.planId)) return false;
    const isFull =
      sweep.openTrials.size >= parallelismOf(draft.state, sweep) || trialsLeft(draft.state, sweep) <= 0;
    // Trials that go on while they are judged have their workers.
    if (isFull && !goesOnAtRungs(sweep.spec)) return false;
    const cursor = looked ?? sweep.search.cursor;
    if (isUsedUp(draft.desk)) {
      proposing.set(place, cursor);
      return false;
    }
    if (sweep.spec.screening !== undefined && mayBegin) {
      const drawn = proposeScreened(draft, sweep, cursor);
      if (drawn.kind === 'again') looked = undefined;
      else if (drawn.kind === 'later') looked = drawn.cursor;
      else if (drawn.kind === 'wait') return false;
      else return exhausted(draft, sweep, drawn.reason);
      continue;
    }
    const draws = Math.ceil(slice.draws / search.drawCost);
    const answer = search.ask(
      { ...sweep.search, cursor },
      questionOf(draft, sweep, { draws, mayBegin, drawn: [] }),
    );
    if (answer.kind === 'later') {
      slice.draws = 0;
      looked = answer.cursor;
      continue;
    }
    if (answer.kind === 'wait') return false;
    if (answer.kind === 'done') return exhausted(draft, sweep, answer.reason);
    if (isFull && answer.move.kind === 'evaluate') return false;
    slice.proposals -= 1;
    slice.draws -= search.drawCost * (1 + answer.skipped.count - cursor.skipped.count);
    looked = undefined;
    makeMove(draft, sweep, answer);
  }
}

/** No candidate is left: the sweep has the trials that there are. */
function exhausted(draft: Draft, { id, trialsProposed, trialsTotal }: SweepState, reason: string): true {
  if (trialsProposed < trialsTotal)
    emit(draft, { kind: 'sweep.exhausted', sweepId: id, trialsTotal: trialsProposed, reason });
  return true;
}

type Drawn =
  | { readonly kind: 'again' }
  | { readonly kind: 'wait' }
  | { readonly kind: 'later'; readonly cursor: Cursor }
  | { readonly kind: 'done'; readonly reason: string };

/** Begins a trial of the open group, or draws candidates for it, as far as the slice goes. */
function proposeScreened(draft: Draft, sweep: SweepState, from: Cursor): Drawn {
  const { slice } = draft.desk;
  const { search, spec, id } = sweep;
  const group = sweep.screening?.group;
  if (group?.isDrawn === true) {
    slice.proposals -= 1;
    return moveScreened(draft, id) ? { kind: 'again' } : { kind: 'wait' };
  }
  const { ask, drawCost } = searchOf(spec);
  const candidates: Candidate[] = [];
  const size = () => (group?.candidates.length ?? 0) + candidates.length;
  /** The cursor of the last candidate: what was passed over behind it is looked at again after a restart. */
  let reached = search.cursor;
  let cursor = from;
  const join = (isDrawn: boolean) => {
    if (candidates.length > 0 || isDrawn) drawCandidates(draft, id, { candidates, cursor: reached, isDrawn });
  };
  for (;;) {
    if (isUsedUp(draft.desk)) {
      join(false);
      return { kind: 'later', cursor };
    }
    const draws = Math.ceil(slice.draws / drawCost);
    const question = questionOf(draft, sweep, { draws, mayBegin: true, drawn: candidates });
    const answer = ask({ ...search, cursor }, question);
    if (answer.kind === 'wait') {
      join(false);
      return { kind: 'wait' };
    }
    if (answer.kind === 'done') {
      if (size() === 0) return answer;
      join(true);
      return { kind: 'again' };
    }
    slice.draws -= drawCost * (1 + answer.skipped.count - cursor.skipped.count);
    cursor = answer.cursor;
    if (answer.kind === 'later') continue;
    if (answer.move.kind !== 'evaluate') {
      join(false);
      makeMove(draft, sweepOf(draft.state, id), answer);
      return { kind: 'again' };
    }
    reached = cursor;
    candidates.push(candidateOf(answer.move));
    if (size() < spec.screening!.of) continue;
    join(true);
    return { kind: 'again' };
  }
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
