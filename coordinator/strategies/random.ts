// Random search: which candidate comes next. Draws are numbered, so that a sweep proposes the same candidates
// in the same order wherever and whenever it runs. Isomorphic cells count once, and constraints are checked
// before a candidate costs anything.

import { cellCosts } from '../../core/nn/cell-costs.ts';
import { codeOf } from '../../core/nn/genotype-code.ts';
import { randomGenotype } from '../../core/nn/random-genotype.ts';
import type { Costs } from '../../core/nn/space.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import type { Genotype } from '../../core/spec/network.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';

/**
 * Draws that one proposal may pass over; with more, the space or its constraints have too few candidates
 * left.
 */
const DRAWS_MAX = 500;

/** A candidate that is new and within the constraints. */
export interface Candidate {
  readonly genotype: Genotype;
  readonly genotypeJson: string;
  readonly costs: Costs;
  /** The draw with which the next proposal begins. */
  readonly nextDraw: number;
  /** Draws that were passed over on the way, with the reason of each. */
  readonly skipped: readonly { readonly draw: number; readonly reason: string }[];
}

/** The next candidate that is new and within the constraints, or the reason why there is none. */
export function proposeRandom(options: {
  spec: SweepSpec;
  nextDraw: number;
  /** The trial that has this canonical genotype already, if there is one. */
  trialWith: (genotypeJson: string) => string | undefined;
}): Candidate | { readonly exhausted: string } {
  const { spec } = options;
  const ops = spec.space.ops.filter((op) => op !== 'none');
  const skipped: { draw: number; reason: string }[] = [];
  for (let draw = options.nextDraw; draw < options.nextDraw + DRAWS_MAX; draw++) {
    const genotype = randomGenotype(ops, spec.strategy.seed, draw);
    const genotypeJson = canonicalJson(genotype);
    const twin = options.trialWith(genotypeJson);
    if (twin !== undefined) {
      skipped.push({ draw, reason: `isomorphic to ${twin}` });
      continue;
    }
    const costs = cellCosts(spec.space).of(codeOf(genotype));
    const broken = violation(spec.constraints, costs);
    if (broken === undefined) return { genotype, genotypeJson, costs, nextDraw: draw + 1, skipped };
    skipped.push({ draw, reason: broken });
  }
  const last = skipped.at(-1);
  return {
    exhausted: `${DRAWS_MAX} draws in a row gave no new candidate within the constraints (last: ${last?.reason ?? 'none'})`,
  };
}

/** Which constraint the costs break, in words; undefined when they break none. */
function violation(constraints: SweepSpec['constraints'], costs: Costs): string | undefined {
  const { parametersMax, mflopsMax } = constraints;
  if (parametersMax !== undefined && costs.parameters > parametersMax)
    return `${costs.parameters} parameters, at most ${parametersMax} allowed`;
  if (mflopsMax !== undefined && costs.mflops > mflopsMax)
    return `${costs.mflops.toFixed(1)} MFLOPs, at most ${mflopsMax} allowed`;
  return undefined;
}
