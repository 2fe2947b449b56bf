// One optimiser update from the mean over all shards: momentum SGD as the reference does it (facts 4.1).
// Every member of a gang applies the same bytes with this code, so replicas stay bit-identical: plain loops
// in a fixed order, double arithmetic, one rounding to float32 at each store.

import { FleetError } from '../errors.ts';
import type { Layout } from '../nn/layout.ts';
import { notFinite } from './not-finite.ts';

export interface OptimizerOptions {
  readonly momentum: number;
  /** L2 on every trainable parameter, batch norm, slopes and class weights included. */
  readonly weightDecay: number;
  /** Largest global L2 norm of the backbone's gradient; the head is not clipped. */
  readonly clipNorm: number;
}

export interface AppliedStep {
  /** L2 norm of the backbone's mean gradient before clipping. */
  readonly gradientNorm: number;
  readonly headGradientNorm: number;
  /** Mean over shards: total, margin loss, weighted distillation term. */
  readonly loss: number;
  readonly lossArcface: number;
  readonly lossDistillation: number;
}

/** PyTorch's clip_grad_norm_ adds this to the norm. */
const CLIP_EPSILON = 1e-6;
/** Share of the batch's statistics in the new running ones; PyTorch's default momentum. */
export const RUNNING_SHARE = 0.1;

/**
 * Updates weights [P], momentum [P] and running [S] in place. `mean` is [P + S + 3], already divided by the
 * number of shards. A value that is not finite throws before anything is changed and names the tensor.
 */
export function applyStep(options: {
  layout: Layout;
  weights: Float32Array;
  momentum: Float32Array;
  running: Float32Array;
  mean: Float32Array;
  learningRate: number;
  optimizer: OptimizerOptions;
  /** For error messages. */
  step?: number;
}): AppliedStep {
  const { layout, weights, momentum, running, mean, learningRate, optimizer } = options;
  checkLengths(options);
  const { parameterCount, backboneCount } = layout;
  const { applied, scale } = assessStep({ ...options, weights: () => weights });
  for (const range of trainableRanges(layout)) {
    updateRange({
      weights,
      momentum,
      gradient: mean,
      ...range,
      scale: range.start < backboneCount ? scale : 1,
      decay: optimizer.weightDecay,
      inertia: optimizer.momentum,
      rate: learningRate,
    });
  }
  updateRunning(running, mean, parameterCount);
  return applied;
}

/**
 * What a mean amounts to before anything is changed: its norms and losses, and the factor in (0, 1] of the
 * backbone's gradient that clipping gives. Throws as applyStep does; `weights` is called only then, because an engine
 * may keep them on its device.
 */
export function assessStep(options: {
  layout: Layout;
  weights: () => Float32Array;
  mean: Float32Array;
  optimizer: OptimizerOptions;
  step?: number;
}): { readonly applied: AppliedStep; readonly scale: number } {
  const { layout, mean, optimizer, step } = options;
  const { parameterCount, backboneCount, runningCount } = layout;
  const gradientNorm = Math.sqrt(sumOfSquares(mean, 0, backboneCount));
  const headGradientNorm = Math.sqrt(sumOfSquares(mean, backboneCount, parameterCount));
  const rest = sumOfSquares(mean, parameterCount, mean.length);
  if (!Number.isFinite(gradientNorm + headGradientNorm + rest))
    throw notFinite(layout, { weights: options.weights(), mean }, step, {
      gradient: 'the gradient of',
      at: step === undefined ? '' : ` in step ${step}`,
    });
  const losses = parameterCount + runningCount;
  return {
    scale: Math.min(1, optimizer.clipNorm / (gradientNorm + CLIP_EPSILON)),
    applied: {
      gradientNorm,
      headGradientNorm,
      loss: mean[losses] ?? 0,
      lossArcface: mean[losses + 1] ?? 0,
      lossDistillation: mean[losses + 2] ?? 0,
    },
  };
}

/** Decay is added after clipping; the buffer starts at zero, which equals PyTorch's first step. */
function updateRange(range: {
  weights: Float32Array;
  momentum: Float32Array;
  gradient: Float32Array;
  start: number;
  end: number;
  scale: number;
  decay: number;
  inertia: number;
  rate: number;
}): void {
  const { weights, momentum, gradient, start, end, scale, decay, inertia, rate } = range;
  for (let i = start; i < end; i++) {
    const weight = weights[i]!;
    momentum[i] = inertia * momentum[i]! + (gradient[i]! * scale + decay * weight);
    weights[i] = weight - rate * momentum[i]!;
  }
}

/**
 * New = 0.9 old + 0.1 batch, from the batch statistics that begin at `offset`; for passes that change nothing
 * else.
 */
export function updateRunning(running: Float32Array, mean: Float32Array, offset: number): void {
  for (let i = 0; i < running.length; i++)
    running[i] = (1 - RUNNING_SHARE) * running[i]! + RUNNING_SHARE * mean[offset + i]!;
}

/** Of values [start, end), in order, in double arithmetic. */
export function sumOfSquares(values: Float32Array, start: number, end: number): number {
  let sum = 0;
  for (let i = start; i < end; i++) {
    const value = values[i]!;
    sum += value * value;
  }
  return sum;
}

/** Neighbouring trainable slots joined, split where the head begins. */
function trainableRanges(layout: Layout): { start: number; end: number }[] {
  const ranges: { start: number; end: number }[] = [];
  for (const slot of layout.parameters) {
    if (!slot.trainable) continue;
    const last = ranges.at(-1);
    const end = slot.offset + slot.size;
    if (last && last.end === slot.offset && slot.offset !== layout.backboneCount) last.end = end;
    else ranges.push({ start: slot.offset, end });
  }
  return ranges;
}

function checkLengths(options: {
  layout: Layout;
  weights: Float32Array;
  momentum: Float32Array;
  running: Float32Array;
  mean: Float32Array;
}): void {
  const { layout } = options;
  const expected = [
    ['weights', options.weights.length, layout.parameterCount],
    ['momentum', options.momentum.length, layout.parameterCount],
    ['running', options.running.length, layout.runningCount],
    ['mean', options.mean.length, layout.vectorCount],
  ] as const;
  for (const [name, length, wanted] of expected)
    if (length !== wanted)
      throw new FleetError('internal', `applyStep: ${name} has ${length} values, the layout ${wanted}`);
}
