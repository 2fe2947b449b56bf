// How good a sub-network of a trained search network is with the weights that it inherits: its accuracy, without
// any training of its own. Decides how its batch statistics come about and which candidates tell whether such
// accuracies rank networks as training does. The passes themselves are the caller's, who farms them.
//
// Statistics of the mixture do not fit a sub-network, whose maps are sums of other terms; those of a few batches
// of the weights' half, with the sub-network's own alphas, take their place. Accuracies with inherited weights are
// known to rank badly (Yu et al., "Evaluating the Search Phase of Neural Architecture Search", 2020), so a sample
// of candidates is trained for a while and compared.

import type { Layout } from '../nn/layout.ts';
import { kendallTau, tauInterval } from './kendall.ts';
import { scoreLogits } from './logits-score.ts';

/** Passes of the search network at some alphas [A]. */
export interface InheritedPasses {
  /** Gradients and statistics of a batch of the weights' half, from searchFunction for alphas: [A + S + 1]. */
  statistics(alphas: Float32Array, batch: number): Promise<Float32Array> | Float32Array;
  /** Logits [b, K] of a batch of the alphas' half in evaluation mode, and its labels [b]. */
  logits(
    alphas: Float32Array,
    running: Float32Array,
    batch: number,
  ): Promise<EvaluatedBatch> | EvaluatedBatch;
}

/** What evaluation mode gives for one batch. */
export interface EvaluatedBatch {
  readonly logits: Float32Array;
  readonly labels: ArrayLike<number>;
}

/**
 * The accuracy [0, 1] at these alphas over `batches` batches, after statistics of `calibration` batches, at least
 * one.
 */
export async function inheritedAccuracy(options: {
  readonly alphas: Float32Array;
  readonly layout: Layout;
  readonly passes: InheritedPasses;
  readonly calibration: number;
  readonly batches: number;
}): Promise<number> {
  const { alphas, layout, passes } = options;
  const vectors: Float32Array[] = [];
  for (let batch = 0; batch < options.calibration; batch++)
    vectors.push(await passes.statistics(alphas, batch));
  const running = meanStatistics(vectors, alphas.length, layout.runningCount);
  let [right, images] = [0, 0];
  for (let batch = 0; batch < options.batches; batch++) {
    const { logits, labels } = await passes.logits(alphas, running, batch);
    right += scoreLogits(logits, labels).right;
    images += labels.length;
  }
  return right / images;
}

/** [S]: means and variances, each the mean over the batches; sums are in double precision, in their order. */
function meanStatistics(vectors: readonly Float32Array[], alphas: number, running: number): Float32Array {
  const sums = new Float64Array(running);
  for (const vector of vectors) for (let i = 0; i < running; i++) sums[i]! += vector[alphas + i]!;
  return Float32Array.from(sums, (sum) => sum / vectors.length);
}

/**
 * Places of the candidates to be trained for the comparison, best first: `count` of them over the whole range of
 * accuracies in equal steps of rank, the best and the worst among them.
 */
export function comparisonSample(accuracies: readonly number[], count: number): number[] {
  const ranked = accuracies.map((_, place) => place).sort((a, b) => accuracies[b]! - accuracies[a]! || a - b);
  if (count >= ranked.length) return ranked;
  if (count < 2) return ranked.slice(0, count);
  return Array.from(
    { length: count },
    (_, i) => ranked[Math.round((i * (ranked.length - 1)) / (count - 1))]!,
  );
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
