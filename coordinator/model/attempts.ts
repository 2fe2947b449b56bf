// Which attempt a run of a trial is. A run after one that was done is no attempt at the same: it is another evaluation,
// of a candidate that was promoted.

import { runWith, type State, type TrialState } from './state.ts';

/** Which attempt at its evaluation a run of a trial is, from 1: it follows so many that failed. */
export function attemptOf(state: State, { runIds }: Pick<TrialState, 'runIds'>, runId: string): number {
  const before = runIds.slice(0, runIds.indexOf(runId));
  const other = before.findLastIndex((id) => runWith(state, id)?.state !== 'failed');
  return before.length - other;
}

/** Attempts at the search for the cells of a trial; 0 before the first, and where it has no search of its own. */
export function searchAttempts(state: State, { searchRunIds = [] }: TrialState): number {
  const newest = runWith(state, searchRunIds.at(-1) ?? '');
  return newest?.attempt ?? 0;
}
