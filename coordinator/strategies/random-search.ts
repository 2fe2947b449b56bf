// Random search: each proposal is a draw of the space by its number, whatever came of the others.

import type { RandomSpec } from '../../core/spec/strategy.ts';
import type { SearchSpace } from './search-space.ts';
import { type NoState, REMEMBERS_NOTHING, type Strategy } from './strategy.ts';

/** The strategy of a sweep; the numbers of draws are those of proposals. */
export function randomSearch({ seed }: Pick<RandomSpec, 'seed'>, space: SearchSpace): Strategy<NoState> {
  return {
    ...REMEMBERS_NOTHING,
    isWhole: true,
    ask: (_state, { draw }) => ({
      kind: 'evaluate',
      // The summary of the sweep says it for all of them.
      reason: '',
      genes: space.draw(seed, draw),
      parents: [],
    }),
  };
}
