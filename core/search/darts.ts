// One step of differentiable architecture search by passes over whole batches, in one process: the rounds of
// rounds.ts, each pass after the other, with the arithmetic of bilevel.ts between them. Decides only where
// weights and alphas of a pass come from.

import type { Layout } from '../nn/layout.ts';
import {
  commitStep,
  continueStep,
  createWork,
  type OpenStep,
  type SearchState,
  type SearchStep,
  type SearchStepOptions,
  sizesOf,
} from './bilevel.ts';
import type { Half } from './halves.ts';
import { type Pass, passVectors, roundLength, roundsOf, type Wanted } from './rounds.ts';

/** One forward and backward pass over this step's batch of one half of the data. */
export interface PassRequest {
  readonly half: Half;
  readonly wanted: Wanted;
  readonly weights: Float32Array;
  readonly alphas: Float32Array;
}

/** Computes a pass: the mean over the whole batch of searchFunction's vectors. */
export type RunPass = (request: PassRequest) => Float32Array | Promise<Float32Array>;

/** Makes one step: moves weights, alphas, running statistics and both optimisers' states. */
export async function searchStep(options: {
  layout: Layout;
  state: SearchState;
  step: SearchStepOptions;
  pass: RunPass;
}): Promise<SearchStep & { /** Forward and backward passes made. */ readonly passes: number }> {
  const { layout, state, step, pass } = options;
  const sizes = sizesOf(layout, state.alphas.length);
  const open: OpenStep = { layout, state, step, work: createWork(sizes, step) };
  const rounds = roundsOf(step);
  let passes = 0;
  for (const [place, round] of rounds.entries()) {
    const mean = new Float32Array(roundLength(sizes, round));
    for (const [at, vector] of passVectors(sizes, round, mean).entries()) {
      const { half, wanted, ...values } = round.passes[at]!;
      vector.set(await pass({ half, wanted, ...valuesOf(open, values) }));
      passes++;
    }
    if (place === rounds.length - 1) return { ...commitStep(open, mean), passes };
    continueStep(open, round, mean);
  }
  throw new Error('assertion: a step has a round');
}

/** The weights and alphas that a pass is made with. */
export function valuesOf(
  { state, work }: Pick<OpenStep, 'work'> & { readonly state: Pick<SearchState, 'weights' | 'alphas'> },
  { weights, alphas }: Pick<Pass, 'weights' | 'alphas'>,
): { readonly weights: Float32Array; readonly alphas: Float32Array } {
  const byName = {
    ...{ present: state.weights, virtual: work.virtual, plus: work.virtual, minus: work.minus },
    ...{ 'narrow plus': work.narrowPlus, 'narrow minus': work.narrowMinus },
  };
  return { weights: byName[weights], alphas: alphas === 'moved' ? work.alphas : state.alphas };
}
