// Lowerings of batch norm and its gradient (TensorFlow's FusedBatchNormV3 and FusedBatchNormGradV3), composed of
// single operations, which a compiler joins. StableHLO has operations of its own for both; compilers expand them
// with the variance as the difference of two means, which loses half its digits where the mean is large.
//
// Over the m = N H W values of a channel, with inv = 1 / sqrt(variance + epsilon):
//   mean = sum(x) / m,  variance = sum((x - mean)^2) / m,  y = (x - mean) inv scale + offset,
//   doffset = sum(dy),  dscale = inv sum(dy (x - mean)),
//   dx = scale inv (dy - doffset / m - (x - mean) inv dscale / m).

import { attributeOf, type Call, type Lowering, type Lowerings, notLowered } from './call.ts';
import { elementsIn, type Ref } from './literals.ts';
import { stagedSum } from './reductions.ts';

/** Axes of a map [N, H, W, C] that a channel's statistics are over. */
const PIXELS = [0, 1, 2];

interface Norm {
  readonly training: boolean;
  readonly epsilon: number;
}

function normOf(call: Call): Norm {
  if ((attributeOf(call, 'data_format') ?? 'NHWC') !== 'NHWC') throw notLowered(call, 'with channels first');
  return {
    training: attributeOf(call, 'is_training') !== false,
    epsilon: Number(attributeOf(call, 'epsilon') ?? 1e-4),
  };
}

/** What TensorFlow keeps for cuDNN, and nothing here reads. */
const nothing = ({ text }: Call): Ref => text.constant([], 'f32', [0]);

/** Arithmetic of one channel's numbers [C] against maps. */
function arithmetic({ text }: Call, shape: readonly number[]) {
  const count = elementsIn(shape.slice(0, 3));
  const over = (value: Ref, divisor: number) =>
    text.binary('divide', value, text.splat(divisor, value.element, value.shape));
  return {
    count,
    over,
    spread: (value: Ref) => text.broadcastInto(value, shape, [3]),
    /** Mean over the pixels; the longest sum is of one row of a map or of all its rows. */
    mean: (map: Ref) => over(stagedSum(text, map, PIXELS), count),
    sum: (map: Ref) => stagedSum(text, map, PIXELS),
    add: (a: Ref, b: Ref) => text.binary('add', a, b),
    subtract: (a: Ref, b: Ref) => text.binary('subtract', a, b),
    multiply: (a: Ref, b: Ref) => text.binary('multiply', a, b),
    inverse: (variance: Ref, epsilon: number) =>
      text.unary(
        'rsqrt',
        text.binary('add', variance, text.splat(epsilon, variance.element, variance.shape)),
      ),
  };
}

/**
 * Outputs: y, mean and unbiased variance of the batch, then what the gradient reads: mean and biased variance.
 * The last reserve space is empty. With given statistics these are passed through.
 */
const batchNorm: Lowering = (call) => {
  const { training, epsilon } = normOf(call);
  if (training && Number(attributeOf(call, 'exponential_avg_factor') ?? 1) !== 1)
    throw notLowered(call, 'with an average over batches');
  const [x, scale, offset] = [call.input(0), call.input(1), call.input(2)];
  const { count, spread, mean, add, subtract, multiply, inverse } = arithmetic(call, x.shape);
  const batchMean = training ? mean(x) : call.input(3);
  const centred = subtract(x, spread(batchMean));
  const variance = training ? mean(multiply(centred, centred)) : call.input(4);
  const factor = multiply(inverse(variance, epsilon), scale);
  const y = add(multiply(centred, spread(factor)), spread(offset));
  const unbiased = training
    ? multiply(variance, call.text.splat(count / Math.max(1, count - 1), 'f32', variance.shape))
    : variance;
  return [y, batchMean, unbiased, batchMean, variance, nothing(call)];
};

/** Inputs: dy, x, scale, mean, biased variance. Outputs: dx, dscale, doffset, and two that are empty. */
const batchNormGrad: Lowering = (call) => {
  const { training, epsilon } = normOf(call);
  if (!training) throw notLowered(call, 'in evaluation mode');
  const [dy, x, scale, mean, variance] = [0, 1, 2, 3, 4].map((index) => call.input(index)) as [
    Ref,
    Ref,
    Ref,
    Ref,
    Ref,
  ];
  const { count, over, spread, sum, subtract, multiply, inverse } = arithmetic(call, x.shape);
  const inv = inverse(variance, epsilon);
  const centred = subtract(x, spread(mean));
  const dOffset = sum(dy);
  const dScale = multiply(sum(multiply(dy, centred)), inv);
  const slope = over(multiply(dScale, inv), count);
  const change = subtract(subtract(dy, spread(over(dOffset, count))), multiply(centred, spread(slope)));
  const dx = multiply(change, spread(multiply(scale, inv)));
  return [dx, dScale, dOffset, nothing(call), nothing(call)];
};

export const norms: Lowerings = {
  FusedBatchNormV3: batchNorm,
  FusedBatchNormGradV3: batchNormGrad,
};
