// The strategies that a bench searches a table with.

import { type ProposingSpec, strategySchema } from '../../core/spec/strategy.ts';

/** Checks a strategy that proposes candidates; one that finds them by gradient has no use for a table. */
export function proposingSpec(of: object): ProposingSpec {
  const spec = strategySchema.parse(of);
  if (spec.kind === 'darts') throw new Error(`assertion: ${spec.kind} proposes no candidates of a table`);
  return spec;
}
