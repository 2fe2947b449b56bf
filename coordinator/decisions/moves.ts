// Making the moves of a search: a trial begins, goes on, or gets no more. With screening a candidate that is drawn
// joins the open group first, and becomes a trial once it is among the best of it.

import { trialOfGenotype } from '../model/candidates.ts';
import { numberAt } from '../model/roll.ts';
import { type SweepState, sweepOf, sweepWith, trialOf } from '../model/state.ts';
import { type Candidate, type Screened, screenedAt } from '../strategies/screening.ts';
import type { Answer, Cursor, Question, Skipped } from '../strategies/search.ts';
import { searchOf } from '../strategies/strategies.ts';
import { type Draft, emit, nextId } from './draft.ts';
import type { Input } from './inputs.ts';
import { beginSeed } from './seeds.ts';
import { createAttempt, settleTrial } from './trials.ts';

type MoveAnswer = Extract<Answer, { kind: 'move' }>;

/** What the search of a sweep is asked, with so many draws. */
export function questionOf(
  { state }: Pick<Draft, 'state'>,
  sweep: SweepState,
  asked: Pick<Question, 'draws' | 'mayBegin'> & { readonly drawn: readonly Candidate[] },
): Question {
  const { drawn, ...question } = asked;
  const { groups = 0, group } = sweep.screening ?? {};
  const inGroup = new Set([...(group?.candidates ?? []), ...drawn].map((one) => one.genotype));
  return {
    ...question,
    known(key) {
      if (inGroup.has(key)) return -(group?.number ?? groups + 1);
      const number = trialOfGenotype(sweep.candidates, key);
      return number === undefined || number < 0 ? number : trialOf(state, `trial-${number}`).number;
    },
    keyOf: (number) => trialOf(state, `trial-${numberAt(sweep.trialIds, number)}`).genotypeKey,
  };
}

/** Makes a move. */
export function makeMove(draft: Draft, sweep: SweepState, { move, cursor, skipped }: MoveAnswer): void {
  const { skipped: _none, ...reached } = cursor;
  if (move.kind === 'evaluate') {
    begin(draft, sweep, { candidate: candidateOf(move), cursor: reached, skipped });
    return;
  }
  if (move.kind === 'search') {
    beginSeed(draft, sweep.id, { ...move, cursor: reached });
    return;
  }
  const trialId = `trial-${numberAt(sweep.trialIds, move.trial)}`;
  const { reason } = move;
  if (move.kind === 'stop') emit(draft, { kind: 'trial.stopped', trialId, cursor: reached, reason });
  else {
    const fidelity = move.fidelity === undefined ? {} : { fidelity: move.fidelity };
    emit(draft, { kind: 'trial.promoted', trialId, ...fidelity, cursor: reached, reason });
    settleTrial(draft, trialOf(draft.state, trialId));
  }
}

/** The candidate of a move that begins a trial. */
export function candidateOf(move: Extract<MoveAnswer['move'], { kind: 'evaluate' }>): Candidate {
  return {
    ...{ genotype: move.key, costs: move.costs },
    ...(move.reason === '' ? {} : { why: move.reason }),
    ...(move.parents.length === 0 ? {} : { parents: move.parents }),
    ...(move.fidelity === undefined ? {} : { fidelity: move.fidelity }),
  };
}

/** Candidates join the open group. */
export function drawCandidates(
  draft: Draft,
  sweepId: string,
  { candidates, cursor, isDrawn }: { candidates: readonly Candidate[]; cursor: Cursor; isDrawn: boolean },
): void {
  const { skipped: _none, ...reached } = cursor;
  emit(draft, { kind: 'candidates.drawn', sweepId, candidates, cursor: reached, isDrawn });
}

/**
 * Begins the trial of the first candidate that is left of a group, or makes another move that the strategy wants before;
 * false where there is none, or the search has to see a result before.
 */
export function moveScreened(draft: Draft, sweepId: string): boolean {
  const sweep = sweepOf(draft.state, sweepId);
  const { screening, spec, search } = sweep;
  const asked = searchOf(spec);
  const place = screening?.group?.left?.[0];
  if (asked.promotes) {
    // Which trials go on, and how far one begins, is decided at the move and not when its group was drawn.
    const wanted = asked.wants(search, questionOf(draft, sweep, { draws: 1, mayBegin: true, drawn: [] }));
    if (wanted.kind === 'move') makeMove(draft, sweep, wanted);
    if (wanted.kind !== 'begin' || place === undefined) return wanted.kind === 'move';
    const { reason: why, fidelity, cursor } = wanted;
    const { fidelity: _drawn, ...candidate } = candidateAt(sweep, place);
    beginAt(draft, sweep, place, { ...candidate, why, ...(fidelity && { fidelity }) }, cursor);
    return true;
  }
  if (place === undefined || asked.heldBack(search) !== undefined) return false;
  beginAt(draft, sweep, place, candidateAt(sweep, place), search.cursor);
  return true;
}

function candidateAt({ screening }: SweepState, place: number): Candidate {
  const { scored: _scored, ...candidate } = screening!.group!.candidates[place]!;
  return candidate;
}

function beginAt(
  draft: Draft,
  sweep: SweepState,
  place: number,
  candidate: Candidate,
  { skipped, ...cursor }: Cursor,
): void {
  const { screening, spec } = sweep;
  const screened = screenedAt(screening!.group!, place, spec.screening!);
  begin(draft, sweep, { candidate, cursor, skipped, screened });
}

function begin(
  draft: Draft,
  sweep: SweepState,
  beginning: {
    readonly candidate: Candidate;
    readonly cursor: Omit<Cursor, 'skipped'>;
    readonly skipped: Skipped;
    readonly screened?: Screened;
  },
): void {
  const { candidate, cursor, skipped, screened } = beginning;
  const trialId = nextId(draft.state, 'trial');
  emit(draft, {
    kind: 'trial.proposed',
    ...{ trialId, sweepId: sweep.id, number: sweep.trialsProposed + 1 },
    ...{ ...candidate, cursor },
    ...(skipped.count === 0 ? {} : { skipped }),
    ...(screened === undefined ? {} : { screened }),
  });
  createAttempt(draft, trialOf(draft.state, trialId), 'first attempt');
}

/** Takes the scores of candidates of the open group that have none. */
export function takeScores(
  draft: Draft,
  { sweepId, group: number, workerId, scores }: Extract<Input, { kind: 'scored' }>,
): void {
  const group = sweepWith(draft.state, sweepId)?.screening?.group;
  if (group?.number !== number) return;
  const fresh = scores.filter(({ place }) => {
    const candidate = group.candidates[place];
    return candidate !== undefined && candidate.scored === undefined;
  });
  if (fresh.length > 0)
    emit(draft, { kind: 'candidates.scored', sweepId, group: number, workerId, scores: fresh });
}
