// Two rules against searches that collapse to skip connections (reference facts 2.3: after epoch 2 the normal
// cell is mostly skips). Weights train alone for some epochs first (Chen et al., "Progressive DARTS", 2019),
// and the search stops once the decoded normal cell has more skips than allowed (Liang et al., "DARTS+",
// 2019).

import type { Genotype } from '../spec/network.ts';

/** Both rules of a search. */
export interface SearchPolicy {
  /** Number of epochs at the start in which only weights move. */
  readonly warmUpEpochs: number;
  /**
   * Most skip connections among the eight edges of the decoded normal cell; without it the search never stops
   * early.
   */
  readonly skipsMax?: number;
}

/** warm-up: only weights move in this 0-based epoch. search: alphas too. */
export function phaseOf(policy: SearchPolicy, epoch: number): 'warm-up' | 'search' {
  return epoch < policy.warmUpEpochs ? 'warm-up' : 'search';
}

/** Number of skip connections in the normal cell. */
export function skipConnections(genotype: Genotype): number {
  return genotype.normal.flat().filter(([op]) => op === 'skip_connect').length;
}

/**
 * Whether the search ends after this 0-based epoch, and why. Never during warm-up, when the alphas are still
 * their random initial values.
 */
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
