// Which results of another sweep a search begins with, and what the fold tells of them.

import type { SweepSpec } from '../../core/spec/sweep.ts';
import { cellSpace } from '../strategies/cell-space.ts';
import type { Prior } from '../strategies/prior.ts';
import { scoresOf } from '../strategies/standing.ts';
import { numberAt } from './roll.ts';
import { type State, type SweepState, sweepOf, type TrialState, trialOf } from './state.ts';

/** What a search is made of, of a sweep by itself or of a plan. */
export type Searched = Pick<SweepSpec, 'space' | 'constraints' | 'strategy' | 'objectives'>;

/** The results of another sweep, as an event names them. */
export interface WarmStart {
  readonly sweepId: string;
  /** Numbers of its trials within it, ascending. */
  readonly trials: readonly number[];
}

/** Results that a search begins with at most: the newest. */
const RESULTS_MAX = 1_000;
/** Trials that are looked at for them, from the newest back. */
const LOOKED_MAX = 10_000;

/** Numbers of the trials of a sweep that have a result which counts in a search of this spec, ascending. */
export function resultsFor(state: State, sweep: SweepState, spec: Searched): number[] {
  const { violation } = cellSpace(spec);
  const found: number[] = [];
  const last = Math.max(0, sweep.trialIds.size - LOOKED_MAX);
  for (let number = sweep.trialIds.size; number > last && found.length < RESULTS_MAX; number--) {
    const trial = trialNumbered(state, sweep, number);
    // A result of a rung was measured after fewer epochs, and compares with none of this search.
    const isFull = trial.state === 'done' && trial.fidelity === undefined;
    if (isFull && scoresOf(spec, withResult(trial)) !== undefined && violation(trial.costs) === undefined)
      found.push(number);
  }
  return found.reverse();
}

/** What the search of a sweep is told before its first move. */
export function priorsOf(state: State, spec: Searched, start: WarmStart | undefined): Prior[] {
  if (start === undefined) return [];
  const sweep = sweepOf(state, start.sweepId);
  return start.trials.flatMap((number) => {
    const trial = trialNumbered(state, sweep, number);
    const scores = scoresOf(spec, withResult(trial));
    return scores === undefined ? [] : [{ trial: number, key: trial.genotypeKey, scores }];
  });
}

const trialNumbered = (state: State, { trialIds }: SweepState, number: number): TrialState =>
  trialOf(state, `trial-${numberAt(trialIds, number)}`);

const withResult = ({ objectives = {}, costs }: TrialState) => ({ objectives, costs });
