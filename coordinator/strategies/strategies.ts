// The strategies by the word that a sweep's spec names them with, each as a search over the sweep's space.

import type { StrategySpec } from '../../core/spec/strategy.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import { cellSpace } from './cell-space.ts';
import { type EvolutionState, evolution } from './evolution.ts';
import { type RandomState, randomSearch } from './random-search.ts';
import { createSearch, type Search } from './search.ts';
import type { SearchSpace } from './search-space.ts';
import type { Strategy } from './strategy.ts';

/** The state of any strategy; which one it is follows from the `kind` in the sweep's spec. */
export type StrategyState = RandomState | EvolutionState;

/** The strategy that a spec names, over any space. */
export function strategyOf(spec: StrategySpec, space: SearchSpace): Strategy<StrategyState> {
  switch (spec.kind) {
    case 'random':
      return randomSearch(spec, space);
    case 'evolution':
      return evolution(spec, space);
  }
}

/** Made once for each spec that is in memory. */
const searches = new WeakMap<SweepSpec, Search<StrategyState>>();

/** The search of a sweep. */
export function searchOf(spec: SweepSpec): Search<StrategyState> {
  const known = searches.get(spec);
  if (known !== undefined) return known;
  const space = cellSpace(spec);
  const { strategy } = spec;
  const search = createSearch({
    ...{ strategy: strategyOf(strategy, space), space, seed: strategy.seed },
    order: 'order' in strategy && strategy.order === 'as-finished' ? 'as-finished' : 'by-move',
  });
  searches.set(spec, search);
  return search;
}

/**
 * The lag of a sweep that is submitted while so many workers are there: as its spec says, or twice the trials
 * that are open at once. Undefined where its strategy learns nothing from results.
 */
export function lagOf({ strategy, parallelism }: SweepSpec, workers: number): number | undefined {
  if (strategy.kind === 'random') return undefined;
  return strategy.lag ?? 2 * (parallelism > 0 ? parallelism : Math.max(1, workers));
}
