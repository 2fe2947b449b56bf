// Whether a search can be what its spec says: what a schema cannot see, because it follows from the space or from
// several parts of the spec. Asked at submit, before anything is journalled.

import { isReference } from '../../core/nn/genotype.ts';
import { OPS } from '../../core/spec/network.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import { cellSpace } from './cell-space.ts';
import { channelsAt, fidelityKindOf } from './fidelity.ts';
import { axesFault, type Fault } from './grid.ts';
import { type HalvingSpec, rungsFor } from './rungs.ts';
import { baseOf } from './strategies.ts';

/** What of a sweep is compared with its space. */
export type Searched = Pick<
  SweepSpec,
  'space' | 'constraints' | 'strategy' | 'objectives' | 'evaluation' | 'screening'
>;

const OF_ONE_OBJECTIVE: ReadonlySet<string> = new Set(['evolution', 'tpe', 'hyperband', 'one-shot']);

/** The first field that is wrong, and why; undefined when all is well. */
export function searchFault(spec: Searched): Fault | undefined {
  const { strategy, objectives = [], evaluation } = spec;
  if (objectives.length > 1 && OF_ONE_OBJECTIVE.has(strategy.kind))
    return {
      field: 'objectives',
      reason: `${strategy.kind} looks for one objective; nsga2 looks for ${objectives.length}`,
    };
  if (strategy.kind === 'one-shot' && spec.screening !== undefined)
    return {
      field: 'screening',
      reason:
        'a one-shot search evaluates every candidate with inherited weights; there is nothing to screen for',
    };
  if (strategy.kind === 'one-shot' && evaluation.distillation !== undefined)
    return {
      field: 'evaluation.distillation',
      reason:
        'a one-shot search compares inherited weights with a training by labels alone; distil the network that it finds',
    };
  if (strategy.kind === 'darts') return seedsFault(spec);
  const { epochs } = evaluation.training;
  const kind = fidelityKindOf(strategy);
  if (kind === 'epochs' && 'epochsMin' in strategy && strategy.epochsMin > epochs)
    return {
      field: 'strategy.epochsMin',
      reason: `the lowest rung has ${strategy.epochsMin} epochs, above the ${epochs} of the full evaluation`,
    };
  if (kind === 'width') {
    const { channels } = spec.space;
    const rungs = rungsFor(strategy as HalvingSpec, epochs).map((width) => [
      width,
      channelsAt(channels, width),
    ]);
    const same = rungs.findIndex(([, own], at) => own === rungs[at + 1]?.[1]);
    if (same >= 0)
      return {
        field: 'strategy.fractionMin',
        reason: `of ${channels} channels the rungs ${rungs[same]![0]} and ${rungs[same + 1]![0]} have ${rungs[same]![1]} both; a larger part, a larger eta or more channels tell them apart`,
      };
  }
  if (strategy.kind !== 'grid') return undefined;
  const space = cellSpace(spec);
  // What a search of the fleet has found is compared once it is known (coordinator/api/genotype-references.ts).
  if (strategy.base !== undefined && isReference(strategy.base)) return axesFault(strategy, space);
  if (baseOf(strategy, space)?.includes(-1))
    return {
      field: 'strategy.base',
      reason: `the genotype is outside the space, whose operations are ${spec.space.ops.join(', ')}`,
    };
  return axesFault(strategy, space);
}

/** What of a sweep over seeds asks for a choice of candidates, which its searches make. */
function seedsFault({ space, constraints, screening }: Searched): Fault | undefined {
  if (screening !== undefined)
    return {
      field: 'screening',
      reason: 'each search by gradient finds one candidate, and all are trained; leave it out',
    };
  const [constraint] = Object.entries(constraints).filter(([, most]) => most !== undefined);
  if (constraint !== undefined)
    return {
      field: `constraints.${constraint[0]}`,
      reason:
        'a search by gradient does not count what its cells cost; leave it out, or take another strategy',
    };
  const missing = OPS.filter((op) => op !== 'none' && !space.ops.includes(op));
  if (missing.length > 0)
    return {
      field: 'space.ops',
      reason: `a search by gradient chooses among all operations, and the space lacks ${missing.join(', ')}; leave ops out`,
    };
  return undefined;
}
