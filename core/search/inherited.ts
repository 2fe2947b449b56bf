// How good a sub-network of a trained search network is with the weights that it inherits, without any training of its
// own. Decides how its batch statistics come about and which candidates tell whether such accuracies rank networks as
// training does. The passes themselves are the caller's.
//
// Statistics of the mixture do not fit a sub-network, whose maps are sums of other terms; those of a few batches
// of the weights' half, with the sub-network's own alphas, take their place. Accuracies with inherited weights are
// known to rank badly (Yu et al., "Evaluating the Search Phase of Neural Architecture Search", 2020), so a sample
// of candidates is trained for a while and compared.

import { kendallTau, tauInterval } from './kendall.ts';

/**
 * Running statistics [S] of a sub-network: means and variances of `batches` batches, at least one, each the mean over
 * the batches. Sums are in double precision, in the batches' order, so that the bits follow from the passes alone.
 */
export async function calibratedStatistics(
  batches: number,
  /** Batch means and unbiased variances [S] of a batch of the weights' half. */
  statistics: (batch: number) => Promise<Float32Array>,
): Promise<Float32Array> {
  const sums = Float64Array.from(await statistics(0));
  for (let batch = 1; batch < batches; batch++)
    (await statistics(batch)).forEach((value, i) => {
      sums[i]! += value;
    });
  return Float32Array.from(sums, (sum) => sum / batches);
}

/**
 * Ranks, from 0, of the candidates to be trained for the comparison: `count` of `candidates` in equal steps, the best and
 * the worst among them.
 */
export function comparisonRanks(candidates: number, count: number): number[] {
  if (count >= candidates) return Array.from({ length: candidates }, (_, rank) => rank);
  if (count < 2) return Array.from({ length: count }, (_, rank) => rank);
  return Array.from({ length: count }, (_, i) => Math.round((i * (candidates - 1)) / (count - 1)));
}

/** How alike inherited and trained accuracies of the same candidates rank them. */
export interface RankAgreement {
  /** Kendall's tau-b, -1 to 1. */
  readonly tau: number;
  /** Its 95 % interval; not a number for fewer than five candidates. */
  readonly low: number;
  readonly high: number;
  readonly candidates: number;
}

/** Kendall's tau of two lists of accuracies, candidate by candidate. */
export function rankAgreement(inherited: readonly number[], trained: readonly number[]): RankAgreement {
  const tau = kendallTau(inherited, trained);
  return { tau, ...tauInterval(tau, inherited.length), candidates: inherited.length };
}
