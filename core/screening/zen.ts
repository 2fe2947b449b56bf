// Zen score: how much a network at its initial weights reacts to a small change of its input (Lin et al.,
// "Zen-NAS: A Zero-Shot NAS for High-Performance Deep Image Recognition", 2021, algorithm 1). With x and e
// standard normal, it is log E |f(x) - f(x + 0.01 e)|, plus for each batch norm the logarithm of the deviation
// that it takes away, log sqrt of the mean variance over its channels. No labels and no data are needed. Both
// passes use the statistics of their own batch; the variances are those of x.
//
// Legend: N images, E embedding, S running statistics.

import { FleetError } from '../errors.ts';
import type { Layout } from '../nn/layout.ts';
import { IMAGE } from '../nn/network.ts';
import { normals } from '../rng.ts';

/** The change's share of the input, as in the paper. */
const CHANGE = 0.01;

/** Two batches [N, 112, 112, 3]: x and x + 0.01 e, a function of the seed. */
export function zenImages(seed: number, images: number): readonly [Float32Array, Float32Array] {
  const count = images * IMAGE.height * IMAGE.width * IMAGE.channels;
  const base = normals(seed, 'screening/zen', count);
  const change = normals(seed, 'screening/zen-change', count);
  return [Float32Array.from(base), Float32Array.from(base, (value, i) => value + CHANGE * change[i]!)];
}

/**
 * The score. Higher is better. `embeddings` of both batches, [N, E] each; `statistics` [S] of the first one:
 * means and unbiased variances. `outOfRange` where the network does not react at all or is not finite.
 */
export function zen(options: {
  readonly layout: Layout;
  readonly images: number;
  readonly embeddings: readonly [Float32Array, Float32Array];
  readonly statistics: Float32Array;
}): number {
  const { layout, images, statistics } = options;
  const [base, changed] = options.embeddings;
  let distance = 0;
  for (let i = 0; i < base.length; i++) distance += Math.abs(base[i]! - changed[i]!);
  let score = Math.log(distance / images);
  for (const slot of layout.running) {
    if (slot.role !== 'running_var') continue;
    let sum = 0;
    for (let i = 0; i < slot.size; i++) sum += statistics[slot.offset + i]!;
    score += Math.log(sum / slot.size) / 2;
  }
  if (!Number.isFinite(score))
    throw new FleetError(
      'outOfRange',
      'zen is not finite: the weights are not, or the output does not depend on the input',
    );
  return score;
}
