// The order of a sweep's trials, best first.

import { compareStandings } from '../strategies/standing.ts';
import type { SweepState, TrialState } from './state.ts';

/** The order of a leaderboard: negative when `a` stands before `b`. */
export function bestTrialFirst({ spec }: Pick<SweepState, 'spec'>): (a: TrialState, b: TrialState) => number {
  const compare = compareStandings(spec);
  return (a, b) => compare(standing(a), standing(b));
}

const NO_RESULT = {};

function standing({ objectives = NO_RESULT, costs, number }: TrialState) {
  return { objectives, costs, number };
}
