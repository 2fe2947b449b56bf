// Random search: each proposal is a draw of the space by its number, whatever came of the others.

import type { RandomSpec } from '../../core/spec/strategy.ts';
import type { SearchSpace } from './search-space.ts';
import type { Strategy } from './strategy.ts';

/** The numbers of draws are those of proposals, so that nothing has to be remembered. */
export type RandomState = Readonly<Record<string, never>>;

/** The strategy of a sweep. */
export function randomSearch({ seed }: Pick<RandomSpec, 'seed'>, space: SearchSpace): Strategy<RandomState> {
  return {
    learns: false,
    promotes: false,
    isWhole: true,
    drawCost: 1,
    begin: () => ({}),
    ask: (_state, { draw }) => ({
      kind: 'evaluate',
      // The summary of the sweep says it for all of them.
      reason: '',
      genes: space.draw(seed, draw),
      parents: [],
    }),
    tell: (state) => state,
  };
}
