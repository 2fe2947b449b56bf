// The order of a sweep's trials, best first.

import { compareStandings } from '../strategies/standing.ts';
import type { SweepState, TrialState } from './state.ts';

/** The order of a leaderboard: negative when `a` stands before `b`. */
export function bestTrialFirst({ spec }: Pick<SweepState, 'spec'>): (a: TrialState, b: TrialState) => number {
  const compare = compareStandings(spec);
  return (a, b) => compare(standing(a), standing(b));
}

const NO_RESULT = {};

function standing(trial: TrialState) {
  const { objectives = NO_RESULT, costs, number, state, fidelity, rungs } = trial;
  const isFull = rungs === undefined || (state === 'done' && fidelity === undefined);
  return { objectives, costs, number, epochs: isFull ? FULL : (rungs.at(-1)?.fidelity.epochs ?? 0) };
}

/** Epochs of the full evaluation, more than any rung has. */
const FULL = Number.POSITIVE_INFINITY;
