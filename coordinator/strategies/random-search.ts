// Random search. Draws are numbered, so that a sweep proposes the same candidates in the same order wherever
// and whenever it runs. Constraints are checked before a draw costs anything else, and isomorphic cells count
// once.
//
// Draws alone never prove that nothing is left. After many misses in a row a space that is small within its
// constraints is therefore walked, each genotype once and in a random order; at the end of the walk the search
// is exhausted. A large space is drawn from for as long as the sweep wants candidates.

import { cellCosts } from '../../core/nn/cell-costs.ts';
import { canonicalCode, type GenotypeCode, keyOfCode } from '../../core/nn/genotype-code.ts';
import { randomCode } from '../../core/nn/random-genotype.ts';
import { type SmallSpace, smallSpace } from '../../core/nn/small-space.ts';
import type { Costs } from '../../core/nn/space.ts';
import { permutationAt } from '../../core/rng.ts';
import { bestFirst } from '../../core/search/best-first.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import type { Answer, Question, Skipped, Strategy } from './strategy.ts';

/** Misses in a row after which a small space is walked. */
const MISSES_MAX = 500;

/** What a random search has done. */
export interface RandomState {
  readonly kind: 'random';
  /** The number of the next draw, from 0. */
  readonly nextDraw: number;
  /** Genotypes of a small space that were walked over; absent before the walk. */
  readonly walked?: number;
  /** Draws and steps of the walk that became candidates. */
  readonly accepted: number;
  /** What was passed over since the last of them. */
  readonly skipped: Skipped;
}

const NONE_SKIPPED: Skipped = { count: 0, firstReason: '' };

export const randomSearch: Strategy<RandomState> = {
  begin: () => ({ kind: 'random', nextDraw: 0, accepted: 0, skipped: NONE_SKIPPED }),
  ask,
  // No draw depends on a result.
  tell: (state) => state,
  acceptance: ({ nextDraw, walked = 0, accepted, skipped }) => ({
    draws: nextDraw + walked,
    accepted,
    skipped,
  }),
  compare: (a, b) => bestFirst(ranked(a), ranked(b)),
};

function ask({ spec, state, known, draws }: Question<RandomState>): Answer<RandomState> {
  const costs = cellCosts(spec.space);
  const ops = spec.space.ops.filter((op) => op !== 'none');
  let { nextDraw, walked, skipped } = state;
  const after = (accepted: number, passed: Skipped): RandomState => ({
    kind: 'random',
    nextDraw,
    ...(walked === undefined ? {} : { walked }),
    accepted,
    skipped: passed,
  });
  for (let left = Math.max(1, draws); left > 0; left--) {
    let code: GenotypeCode;
    const small = walked === undefined && skipped.count < MISSES_MAX ? undefined : smallSpace(spec);
    if (small === undefined) {
      code = randomCode(ops, spec.strategy.seed, nextDraw);
      nextDraw += 1;
    } else {
      walked ??= 0;
      if (walked >= small.size) return { kind: 'exhausted', reason: proof(spec, small, state.accepted) };
      code = small.at(permutationAt({ seed: spec.strategy.seed, epoch: 0, size: small.size, index: walked }));
      walked += 1;
    }
    const candidateCosts = costs.of(code);
    const broken = violation(spec.constraints, candidateCosts);
    const key = broken === undefined ? keyOfCode(canonicalCode(code)) : '';
    const twin = broken === undefined ? known(key) : undefined;
    if (broken === undefined && twin === undefined)
      return {
        kind: 'move',
        state: after(state.accepted + 1, NONE_SKIPPED),
        candidate: { key, costs: candidateCosts },
        skipped,
      };
    skipped = {
      count: skipped.count + 1,
      firstReason: skipped.firstReason || (broken ?? `isomorphic to trial ${twin}`),
    };
  }
  return { kind: 'later', state: after(state.accepted, skipped), skipped };
}

/** Which constraint the costs break, in words; undefined when they break none. */
function violation(
  constraints: SweepSpec['constraints'],
  costs: Pick<Costs, 'parameters' | 'mflops'>,
): string | undefined {
  const { parametersMax, mflopsMax } = constraints;
  if (parametersMax !== undefined && costs.parameters > parametersMax)
    return `${costs.parameters} parameters, at most ${parametersMax} allowed`;
  if (mflopsMax !== undefined && costs.mflops > mflopsMax)
    return `${costs.mflops.toFixed(1)} MFLOPs, at most ${mflopsMax} allowed`;
  return undefined;
}

/** Why no further candidate exists. */
function proof(spec: SweepSpec, { size, least }: SmallSpace, accepted: number): string {
  if (size > 0)
    return `each of the ${size} networks of the space that could meet the constraints was looked at: ${accepted} became trials, no other one is new and within the constraints`;
  const broken = violation(spec.constraints, least);
  return broken === undefined
    ? 'no network of the space meets both constraints'
    : `no network of the space is small enough: the smallest has ${broken}`;
}

function ranked({ objectives, costs, number }: Parameters<typeof randomSearch.compare>[0]) {
  return { objective: objectives.accuracy, parameters: costs.parameters, number };
}
