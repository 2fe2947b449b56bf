// The outer optimiser of `sync: outer` (DiLoCo, Douillard et al. 2023, arXiv:2311.08105, algorithm 1): what a
// shard contributes after its own steps of a round, and the Nesterov step that every member makes of the
// mean. Plain loops in a fixed order, double arithmetic, one rounding to float32 at each store, as in sgd.ts,
// so that replicas stay bit-identical.
//
// What travels is global minus local and not the local weights: it is small, so that a rounding of the wire
// (bf16, int8) costs little, and where a weight has moved by less than a factor of two the difference is
// exact in float32 (Sterbenz).
//
// Two choices of ours. Inner momentum begins at zero in each round (SlowMo, arXiv:1910.00643, calls it
// reset): carried on, it would have to be summed too, twice the bytes, or be kept for each shard and travel
// with it; so the state between two rounds is weights, running statistics and one momentum, the outer one.
// Measured, 480 steps of a small IResNet with two shards: averaged and carried on it learnt less in rounds of
// 5 steps (training loss 11.2 instead of 6.4) and no more in rounds of 20 (9.2 and 8.4); with a sum after
// every step the loss was 3.6. And the means and variances of batch normalisation, which DiLoCo's language
// models do not have, are averaged without momentum or rate: they are measurements, no parameters.

import { FleetError } from '../errors.ts';
import { type Layout, LOSS_COUNT } from '../nn/layout.ts';
import { notFinite } from './not-finite.ts';
import { sumOfSquares } from './sgd.ts';

export interface OuterOptions {
  readonly learningRate: number;
  readonly momentum: number;
}

interface Vectors {
  /** [P] */
  readonly weights: Float32Array;
  /** [S] */
  readonly running: Float32Array;
}

/**
 * Writes what a shard contributes to a round into `into` [P + S + 3]: how far its weights and running
 * statistics are from those with which the round began, and the means of its losses.
 */
export function writeDifference(options: {
  readonly from: Vectors;
  readonly to: Vectors;
  /** Sums over the steps of the round. */
  readonly losses: ArrayLike<number>;
  readonly steps: number;
  readonly into: Float32Array;
}): void {
  const { from, to, losses, steps, into } = options;
  const parameterCount = from.weights.length;
  for (let i = 0; i < parameterCount; i++) into[i] = from.weights[i]! - to.weights[i]!;
  const runningCount = from.running.length;
  for (let i = 0; i < runningCount; i++) into[parameterCount + i] = from.running[i]! - to.running[i]!;
  for (let i = 0; i < LOSS_COUNT; i++) into[parameterCount + runningCount + i] = losses[i]! / steps;
}

/**
 * Updates weights [P], outer momentum [P] and running [S] in place from the mean of what the shards
 * contributed. A value that is not finite throws before anything is changed and names the tensor. Returns the
 * L2 norm of the backbone's mean difference.
 */
export function applyOuterStep(options: {
  readonly layout: Layout;
  readonly weights: Float32Array;
  readonly momentum: Float32Array;
  readonly running: Float32Array;
  readonly mean: Float32Array;
  readonly outer: OuterOptions;
  /** First step of the round, for error messages. */
  readonly step?: number;
}): { readonly differenceNorm: number } {
  const { layout, weights, momentum, running, mean, outer } = options;
  if (mean.length !== layout.vectorCount || weights.length !== layout.parameterCount)
    throw new FleetError(
      'internal',
      `applyOuterStep: ${weights.length} weights and a mean of ${mean.length}, the layout has ${layout.parameterCount} and ${layout.vectorCount}`,
    );
  const backbone = sumOfSquares(mean, 0, layout.backboneCount);
  const rest = sumOfSquares(mean, layout.backboneCount, mean.length);
  if (!Number.isFinite(backbone + rest))
    throw notFinite(layout, options, options.step, {
      gradient: 'the change of',
      at: options.step === undefined ? '' : ` in the round from step ${options.step}`,
    });

  // A frozen slot has moved nowhere, its momentum stays zero and so its value stays what it is.
  for (let i = 0; i < weights.length; i++) {
    const difference = mean[i]!;
    momentum[i] = outer.momentum * momentum[i]! + difference;
    weights[i] = weights[i]! - outer.learningRate * (difference + outer.momentum * momentum[i]!);
  }
  for (let i = 0; i < running.length; i++) running[i] = running[i]! - mean[layout.parameterCount + i]!;
  return { differenceNorm: Math.sqrt(backbone) };
}
