// Whether a search can be what its spec says: what a schema cannot see, because it follows from the space or from
// several parts of the spec. Asked at submit, before anything is journalled.

import type { SweepSpec } from '../../core/spec/sweep.ts';
import { cellSpace } from './cell-space.ts';
import { axesFault, type Fault } from './grid.ts';
import { baseOf } from './strategies.ts';

type Searched = Pick<SweepSpec, 'space' | 'constraints' | 'strategy' | 'objectives' | 'evaluation'>;

const OF_ONE_OBJECTIVE: ReadonlySet<string> = new Set(['evolution', 'tpe', 'hyperband']);

/** The first field that is wrong, and why; undefined when all is well. */
export function searchFault(spec: Searched): Fault | undefined {
  const { strategy, objectives = [], evaluation } = spec;
  if (objectives.length > 1 && OF_ONE_OBJECTIVE.has(strategy.kind))
    return {
      field: 'objectives',
      reason: `${strategy.kind} looks for one objective; nsga2 looks for ${objectives.length}`,
    };
  const { epochs } = evaluation.training;
  if ('epochsMin' in strategy && strategy.epochsMin > epochs)
    return {
      field: 'strategy.epochsMin',
      reason: `the lowest rung has ${strategy.epochsMin} epochs, above the ${epochs} of the full evaluation`,
    };
  if (strategy.kind !== 'grid') return undefined;
  const space = cellSpace(spec);
  if (baseOf(strategy, space)?.includes(-1))
    return {
      field: 'strategy.base',
      reason: `the genotype is outside the space, whose operations are ${spec.space.ops.join(', ')}`,
    };
  return axesFault(strategy, space);
}
