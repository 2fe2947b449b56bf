// The rungs of a search that stops most candidates early: epochs that grow by a factor, up to the full evaluation.

import type { Fidelity } from './strategy.ts';

/** Epochs of each rung, ascending; the last one is the full evaluation. */
export type Rungs = readonly number[];

/** From `first` epochs on, each rung `eta` times the one before, below the full evaluation. */
export function rungsOf(options: {
  readonly first: number;
  readonly eta: number;
  readonly epochs: number;
}): Rungs {
  const { first, eta, epochs } = options;
  const rungs: number[] = [];
  for (let at = first; at < epochs; at = Math.round(at * eta)) rungs.push(at);
  return [...rungs, epochs];
}

/** The fidelity of a rung as a field of a move; the full evaluation has none. */
export function fidelityOf(rungs: Rungs, rung: number): { readonly fidelity?: Fidelity } {
  return rung >= rungs.length - 1 ? {} : { fidelity: { epochs: rungs[rung]! } };
}

/** The rung of a fidelity. */
export function rungOf(rungs: Rungs, fidelity: Fidelity | undefined): number {
  return fidelity === undefined ? rungs.length - 1 : rungs.indexOf(fidelity.epochs);
}
