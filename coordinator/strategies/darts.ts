// Searches by gradient from several seeds: each seed is one trial, whose cells are found by a search of its own.
// Nothing is learned from results, so the order of the seeds is that of the trials.

import type { DartsSpec } from '../../core/spec/darts.ts';
import { type NoState, REMEMBERS_NOTHING, type Strategy } from './strategy.ts';

/** The strategy of a sweep; the place in the list of seeds is the number of the proposal. */
export function darts({ seeds }: Pick<DartsSpec, 'seeds'>): Strategy<NoState> {
  return {
    ...REMEMBERS_NOTHING,
    isWhole: false,
    ask: (_state, { draw }) =>
      draw >= seeds.length
        ? { kind: 'done', reason: `each of the ${seeds.length} seeds has its search` }
        : { kind: 'search', seed: seeds[draw]!, reason: `seed ${draw + 1} of ${seeds.length}` },
  };
}
