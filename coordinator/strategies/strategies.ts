// The strategies by the word that a sweep's spec names them with, each as a search over the sweep's space.

import { resolveGenotype } from '../../core/nn/genotype.ts';
import type { GridSpec, StrategySpec } from '../../core/spec/strategy.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import { type AshaState, asha } from './asha.ts';
import { type AshaFrontState, ashaFront } from './asha-front.ts';
import { type CellSpace, cellSpace } from './cell-space.ts';
import { darts } from './darts.ts';
import { type EvolutionState, evolution } from './evolution.ts';
import { grid } from './grid.ts';
import { type HyperbandState, hyperband } from './hyperband.ts';
import { type Nsga2State, nsga2 } from './nsga2.ts';
import { type OneShotState, oneShot } from './one-shot.ts';
import { randomSearch } from './random-search.ts';
import { createSearch, type Search } from './search.ts';
import type { Genes, SearchSpace } from './search-space.ts';
import type { NoState, Strategy } from './strategy.ts';
import { type TpeState, tpe } from './tpe.ts';

/** The state of any strategy; which one it is follows from the `kind` in the sweep's spec. */
export type StrategyState =
  | NoState
  | EvolutionState
  | TpeState
  | Nsga2State
  | AshaState
  | AshaFrontState
  | HyperbandState
  | OneShotState;

/** What a strategy is told of its sweep beside its own spec. */
export interface Surroundings {
  /** The genes of a grid that have no axis; the first value of each by default. */
  readonly base?: Genes | undefined;
  /** Epochs of the full evaluation. */
  readonly epochs: number;
  /** How many objectives it has; 1 by default. */
  readonly objectives?: number;
}

/** The strategy that a spec names, over any space. */
export function strategyOf(
  spec: StrategySpec,
  space: SearchSpace,
  { base, epochs, objectives = 1 }: Surroundings = { epochs: 1 },
): Strategy<StrategyState> {
  switch (spec.kind) {
    case 'random':
      return randomSearch(spec, space);
    case 'grid':
      return grid(spec, space, base);
    case 'evolution':
      return evolution(spec, space);
    case 'tpe':
      return tpe(spec, space);
    case 'nsga2':
      return nsga2(spec, space);
    case 'asha':
      return objectives > 1 ? ashaFront(spec, space, epochs) : asha(spec, space, epochs);
    case 'hyperband':
      return hyperband(spec, space, epochs);
    case 'one-shot':
      return oneShot(spec, space);
    case 'darts':
      return darts(spec);
  }
}

/** Made once for each spec that is in memory. */
const searches = new WeakMap<SweepSpec, Search<StrategyState>>();

/** The search of a sweep. */
export function searchOf(spec: SweepSpec): Search<StrategyState> {
  const known = searches.get(spec);
  if (known !== undefined) return known;
  const space = cellSpace(spec);
  const { strategy, evaluation } = spec;
  const { epochs } = evaluation.training;
  const objectives = spec.objectives?.length ?? 1;
  const base = strategy.kind === 'grid' ? baseOf(strategy, space) : undefined;
  const search = createSearch({
    ...{
      strategy: strategyOf(strategy, space, { base, epochs, objectives }),
      space,
      seed: strategy.seed ?? 0,
    },
    order: 'order' in strategy && strategy.order === 'as-finished' ? 'as-finished' : 'by-move',
  });
  searches.set(spec, search);
  return search;
}

/** The genes of a grid's base; -1 for what is outside the space. */
export function baseOf({ base }: Pick<GridSpec, 'base'>, space: CellSpace): Genes | undefined {
  if (base === undefined) return undefined;
  return space.genesFor(resolveGenotype(base));
}

/**
 * The lag of a sweep that is submitted while so many workers are there: as its spec says, or twice the trials
 * that are open at once. Undefined where its strategy learns nothing from results.
 */
export function lagOf({ strategy, parallelism }: SweepSpec, workers: number): number | undefined {
  if (strategy.kind === 'random' || strategy.kind === 'grid' || strategy.kind === 'darts') return undefined;
  return strategy.lag ?? 2 * (parallelism > 0 ? parallelism : Math.max(1, workers));
}
