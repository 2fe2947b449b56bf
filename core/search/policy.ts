// Two options against searches that end in skip connections only (reference facts 2.3: after epoch 2 the normal cell is mostly
// skips): the weights train alone for some epochs first ("Progressive DARTS"), and the search stops once the decoded normal
// cell has more skips than allowed ("DARTS+"). Pure; the steps themselves are darts.ts'.

import type { Genotype } from '../spec/network.ts';

export interface SearchPolicy {
  /** Epochs at the start in which only weights move; 0 for none. */
  readonly warmUpEpochs: number;
  /** Most skip connections of the decoded normal cell, of its eight edges; without it nothing stops early. */
  readonly skipsMax?: number;
}

/** What moves in a 0-based epoch. */
export function phaseOf(policy: SearchPolicy, epoch: number): 'warm-up' | 'search' {
  return epoch < policy.warmUpEpochs ? 'warm-up' : 'search';
}

/** Skip connections of the normal cell. */
export function skipConnections(genotype: Genotype): number {
  return genotype.normal.flat().filter(([op]) => op === 'skip_connect').length;
}

/** Whether the search ends after this 0-based epoch, and why. During warm-up the alphas are chance and say nothing. */
export function stopAfter(
  policy: SearchPolicy,
  epoch: number,
  genotype: Genotype,
): { stop: false } | { stop: true; reason: string } {
  const skips = skipConnections(genotype);
  const { skipsMax } = policy;
  if (skipsMax === undefined || phaseOf(policy, epoch) === 'warm-up' || skips <= skipsMax)
    return { stop: false };
  return {
    stop: true,
    reason: `the normal cell has ${skips} skip connections after epoch ${epoch + 1}, at most ${skipsMax} are wanted`,
  };
}
