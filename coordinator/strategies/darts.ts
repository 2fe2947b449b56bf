// Searches by gradient from several seeds: each seed is one trial, whose cells are found by a search of its own. Nothing is
// learned from results, so the order of the seeds is that of the trials.

import type { DartsSpec } from '../../core/spec/darts.ts';
import type { Strategy } from './strategy.ts';

/** The place in the list of seeds is the number of the proposal, so that nothing has to be remembered. */
export type DartsState = Readonly<Record<string, never>>;

/** The strategy of a sweep. */
export function darts({ seeds }: Pick<DartsSpec, 'seeds'>): Strategy<DartsState> {
  return {
    learns: false,
    promotes: false,
    isWhole: false,
    drawCost: 1,
    begin: () => ({}),
    ask: (_state, { draw }) =>
      draw >= seeds.length
        ? { kind: 'done', reason: `each of the ${seeds.length} seeds has its search` }
        : { kind: 'search', seed: seeds[draw]!, reason: `seed ${draw + 1} of ${seeds.length}` },
    tell: (state) => state,
  };
}
