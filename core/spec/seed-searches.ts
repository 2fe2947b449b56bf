// The searches of a sweep of strategy darts as runs: each is the search that a document of kind: search with that seed
// would be, with the data and the terms of the sweep.

import { childName } from './common.ts';
import type { DartsSpec } from './darts.ts';
import type { RunSpec } from './run.ts';
import { runOfSearch } from './search-run.ts';
import type { SweepSpec } from './sweep.ts';

/** What of a sweep its searches follow from. */
export type SeedSearches = Pick<
  SweepSpec,
  'name' | 'data' | 'priority' | 'weight' | 'reuse' | 'require' | 'budget'
> & { readonly strategy: DartsSpec };

/** The run of the search from one of the seeds, which is named after the sweep and the seed. */
export function searchOfSeed(sweep: SeedSearches, seed: number): RunSpec {
  const { name, data, priority, weight, reuse, require, budget, strategy } = sweep;
  const { supernet, halves, search, workers, checkpoints } = strategy;
  const { seed: _none, ...steps } = search;
  return runOfSearch({
    ...{ kind: 'search', name: childName(name, `seed-${seed}`), data, supernet, halves },
    search: { ...steps, seed },
    ...{ workers, priority },
    ...(checkpoints === undefined ? {} : { checkpoints }),
    ...(weight === undefined ? {} : { weight }),
    ...(reuse === undefined ? {} : { reuse }),
    ...(require === undefined ? {} : { require }),
    // What it uses is counted for the sweep also where a trial has no budget of its own.
    ...(budget === undefined ? {} : { budget: budget.trial ?? {} }),
  });
}

/** The sweep where its strategy searches from several seeds; undefined for any other. */
export function withSeeds<S extends Pick<SweepSpec, 'strategy'>>(
  sweep: S | undefined,
): (S & { readonly strategy: DartsSpec }) | undefined {
  return sweep?.strategy.kind === 'darts' ? (sweep as S & { readonly strategy: DartsSpec }) : undefined;
}
