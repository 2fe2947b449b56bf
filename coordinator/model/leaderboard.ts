// The order of a sweep's trials, best first.

import { amountOf } from '../strategies/fidelity.ts';
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
  return { objectives, costs, number, amount: isFull ? FULL : judgedAmount(trial) };
}

/** How much the newest result had that counts: a run that is verified on its way may have been verified further. */
function judgedAmount({ state, fidelity, rungs = [] }: TrialState): number {
  if (state === 'done' && fidelity !== undefined) return amountOf(fidelity);
  const next = fidelity === undefined ? FULL : amountOf(fidelity);
  return amountOf(rungs.findLast((rung) => amountOf(rung.fidelity) < next)?.fidelity ?? {});
}

/** Epochs of the full evaluation, more than any rung has. */
const FULL = Number.POSITIVE_INFINITY;
