// Who inherits weights from a search: sweeps of strategy one-shot that are open. What they read stays stored, and the
// search stays in the lists.

import { type State, type SweepState, sweepOf } from '../model/state.ts';
import { rowsOf } from '../model/table.ts';

/** Open sweeps whose candidates inherit weights of a run; with a stage, those of that stage. */
export function heirsOf(state: State, runId: string, stage?: number): SweepState[] {
  return [...rowsOf(state.openSweeps)]
    .map(([number]) => sweepOf(state, `sweep-${number}`))
    .filter(({ spec: { strategy } }) => {
      const inherits = strategy.kind === 'one-shot' ? strategy.inherits : undefined;
      return inherits?.run === runId && (stage === undefined || inherits.stage === stage);
    });
}
