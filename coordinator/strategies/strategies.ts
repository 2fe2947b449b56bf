// The strategies by the word that a sweep's spec names them with.

import type { SweepSpec } from '../../core/spec/sweep.ts';
import { type RandomState, randomSearch } from './random-search.ts';
import type { Strategy } from './strategy.ts';

/** The state of any strategy; its `kind` is that of the sweep's spec. */
export type StrategyState = RandomState;

const STRATEGIES: Readonly<Record<SweepSpec['strategy']['kind'], Strategy<StrategyState>>> = {
  random: randomSearch,
};

/** The strategy of a sweep. */
export function strategyOf(spec: SweepSpec): Strategy<StrategyState> {
  return STRATEGIES[spec.strategy.kind];
}
