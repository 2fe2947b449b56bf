// Batch normalisation as native kernels with gradients of their own: our own operation where it exists
// (native/), the library's FusedBatchNormV3 elsewhere. Composed of single operations it would cost more than
// the rest of a step.
//
// Legend: N images, H x W map, C channels; x [N, H, W, C], scale, offset and statistics [C].

import { hasOwnKernels, nativeBackend, type OpAttribute, type Tensor, tf } from '../tf.ts';
import { attr, DT, defineKernel, elementwise, execute, runKernel } from './kernels.ts';

const BATCH_NORM = 'FleetBatchNorm';
const BATCH_NORM_EVAL = 'FleetBatchNormEval';

function normAttributes(epsilon: number, training: boolean): OpAttribute[] {
  return [
    attr.type('T', DT.float32),
    attr.type('U', DT.float32),
    attr.float('epsilon', epsilon),
    attr.text('data_format', 'NHWC'),
    attr.bool('is_training', training),
  ];
}

// Outputs: y, batch mean, unbiased batch variance, and three reserve spaces that only FusedBatchNormGradV3
// understands (cuDNN and the CPU kernels fill them differently).
defineKernel({
  name: BATCH_NORM,
  forward: ({ x, scale, offset }, { epsilon }) => {
    const inputs = { x: x!, scale: scale!, offset: offset!, epsilon: Number(epsilon) };
    return nativeBackend().binding.isUsingGpuDevice() ? fusedBatchNorm(inputs) : pairwiseBatchNorm(inputs);
  },
  saveInputs: ['x', 'scale'],
  saveOutputs: [false, false, false, true, true, true],
  gradient: ([dy], [x, scale, ...reserved], { epsilon }) => {
    const [dx, dScale, dOffset, ...unused] = execute(
      'FusedBatchNormGradV3',
      normAttributes(Number(epsilon), true),
      [dy!, x!, scale!, ...reserved],
      5,
    );
    tf.dispose(unused);
    return { x: dx!, scale: dScale!, offset: dOffset! };
  },
});

const OWN_BATCH_NORM = 'FleetOwnBatchNorm';

// Outputs: y, batch mean, unbiased batch variance, and 1 / deviation. One pass for the statistics and one for
// the result; the library's kernels need more passes and round worse.
defineKernel({
  name: OWN_BATCH_NORM,
  forward: ({ x, scale, offset }, { epsilon }) =>
    execute('FleetBatchNorm', [attr.float('epsilon', Number(epsilon))], [x!, scale!, offset!], 4),
  saveInputs: ['x', 'scale'],
  saveOutputs: [false, true, false, true],
  gradient: ([dy], [x, scale, mean, inverse]) => {
    const [dx, dScale, dOffset] = execute('FleetBatchNormGrad', [], [dy!, x!, scale!, mean!, inverse!], 3);
    return { x: dx!, scale: dScale!, offset: dOffset! };
  },
});

interface NormInputs {
  readonly x: Tensor;
  readonly scale: Tensor;
  readonly offset: Tensor;
  readonly epsilon: number;
}

function fusedBatchNorm({ x, scale, offset, epsilon }: NormInputs): Tensor[] {
  const none = tf.tensor1d([], 'float32');
  const outputs = execute(
    'FusedBatchNormV3',
    [...normAttributes(epsilon, true), attr.float('exponential_avg_factor', 1)],
    [x, scale, offset, none, none],
    6,
  );
  none.dispose();
  return outputs;
}

/**
 * Most columns of the wide view: a row of 32 kB fits the first cache, and a statistic adds up a few hundred
 * values one after the other at most. 2,048 to 8,192 columns are equal within the spread
 * (docs/performance.md).
 */
const WIDE_COLUMNS = 8192;

/**
 * Batch norm with statistics in pieces. The CPU's fused kernel adds up all values of a channel one after the
 * other, 50,176 for 4 images of 112 x 112: the statistics are off by 1e-5, which moves PReLU inputs across
 * zero and gradients by 1e-3. Here the kernel gets a map [M, C] as [M / k, k C], and the k means m_i and
 * variances v_i of each channel are joined (Chan et al., 1979, for equal pieces):
 *     mean = sum(m_i) / k,  variance = sum(v_i + (m_i - mean)^2) / k,
 * off by 2e-7. Then the same kernel normalises by them. That reads and writes x once more than needed; single
 * operations would take twice as many passes.
 */
function pairwiseBatchNorm({ x, scale, offset, epsilon }: NormInputs): Tensor[] {
  return tf.tidy(() => {
    const channels = x.shape.at(-1)!;
    const rows = x.size / channels;
    const groups = groupsOf(rows, channels);
    const columns = groups * channels;
    const wide = fusedBatchNorm({
      x: tf.reshape(x, [rows / groups, 1, 1, columns]), // [M, C] -> [M / k, k C]
      scale: tf.ones([columns]),
      offset: tf.zeros([columns]),
      epsilon,
    });
    const [means, variances] = [wide[3]!, wide[4]!].map((values) => tf.reshape(values, [groups, channels]));
    const mean = tf.mean(means!, 0); // [k, C] -> [C]
    const variance = tf.mean(tf.add(variances!, elementwise('SquaredDifference', means!, mean)), 0);
    const y = normalise({ x, scale, offset, mean, variance, epsilon });
    const unbiased = tf.mul(variance, rows / Math.max(1, rows - 1));
    return [y, mean, unbiased, tf.clone(mean), variance, tf.tensor1d([], 'float32')];
  });
}

/** A divisor of `rows` near its square root, so that both sums are equally long. */
function groupsOf(rows: number, channels: number): number {
  let groups = Math.max(1, Math.min(Math.floor(Math.sqrt(rows)), Math.floor(WIDE_COLUMNS / channels)));
  while (rows % groups !== 0) groups--;
  return groups;
}

/** (x - mean) scale / sqrt(variance + epsilon) + offset, in one pass. */
function normalise(inputs: NormInputs & { readonly mean: Tensor; readonly variance: Tensor }): Tensor {
  const { x, scale, offset, mean, variance, epsilon } = inputs;
  const [y, ...unused] = execute(
    'FusedBatchNormV3',
    [...normAttributes(epsilon, false), attr.float('exponential_avg_factor', 1)],
    [x, scale, offset, mean, variance],
    6,
  );
  tf.dispose(unused);
  return y!;
}

// No gradient is registered: evaluation mode is for inference, and a tape that meets this kernel fails with
// its name.
tf.registerKernel({
  kernelName: BATCH_NORM_EVAL,
  backendName: 'tensorflow',
  kernelFunc: ({ inputs, attrs }) => {
    const { x, scale, offset, mean, variance } = inputs as Record<string, Tensor>;
    const { epsilon } = attrs as { epsilon: number };
    return normalise({ x: x!, scale: scale!, offset: offset!, mean: mean!, variance: variance!, epsilon });
  },
});

/** [y, batch mean, unbiased batch variance, ...reserved] of a map [N, H, W, C]. */
export const nativeBatchNorm = (x: Tensor, scale: Tensor, offset: Tensor, epsilon: number): Tensor[] =>
  runKernel(hasOwnKernels() ? OWN_BATCH_NORM : BATCH_NORM, { x, scale, offset }, { epsilon });

export const nativeBatchNormEval = (
  inputs: { x: Tensor; scale: Tensor; offset: Tensor; mean: Tensor; variance: Tensor },
  epsilon: number,
): Tensor => runKernel(BATCH_NORM_EVAL, inputs, { epsilon })[0]!;
