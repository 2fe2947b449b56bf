// Batch normalisation and PReLU as native kernels with gradients of their own: they are most of a network's layers, and
// composed from single operations they cost twice the rest of a step.

import { attr, DT, defineKernel, execute, executeOne, runKernel } from './kernels.ts';
import { nativeBackend, type OpAttribute, type Tensor, tf } from './tf.ts';

export const BATCH_NORM = 'FleetBatchNorm';
export const BATCH_NORM_EVAL = 'FleetBatchNormEval';
export const PRELU = 'FleetPrelu';

const FLOAT = (): OpAttribute => attr.type('T', DT.float32);

function normAttributes(epsilon: number, training: boolean): OpAttribute[] {
  return [
    FLOAT(),
    attr.type('U', DT.float32),
    attr.float('epsilon', epsilon),
    attr.text('data_format', 'NHWC'),
    attr.bool('is_training', training),
  ];
}

// Outputs: y, batch mean, unbiased batch variance, and three reserve spaces that only FusedBatchNormGradV3 understands
// (cuDNN and the CPU kernels fill them differently).
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

/** Columns of the wide view: long rows for the vector units, yet a row of statistics stays in the first cache. */
const WIDE_COLUMNS = 4096;

/**
 * The CPU's fused kernel adds up the 50,176 values of a channel one after the other: at 112 pixels and 4 images its
 * statistics are off by 1e-5, which moves PReLU inputs across zero and gradients by 1e-3. Here a map [M, C] is seen as
 * [M/k, k C], its columns are added and then the k partial sums of each channel: off by 3e-7, at the same speed (the
 * same view makes the element-wise passes wide).
 */
function pairwiseBatchNorm({ x, scale, offset, epsilon }: NormInputs): Tensor[] {
  return tf.tidy(() => {
    const channels = x.shape.at(-1)!;
    const rows = x.size / channels;
    const groups = groupsOf(rows, channels);
    const view = tf.reshape(x, [rows / groups, groups * channels]);
    const wide = (values: Tensor): Tensor =>
      groups === 1 ? values : tf.reshape(tf.tile(tf.reshape(values, [1, channels]), [groups, 1]), [-1]);
    const mean = channelMean(view, groups, channels);
    const centred = binary('Sub', view, wide(mean));
    const variance = channelMean(binary('Mul', centred, centred), groups, channels);
    const factor = tf.div(scale, tf.sqrt(tf.add(variance, epsilon)));
    // From the centred values: x factor + (offset - mean factor) would cancel where a mean is far from zero.
    const y = binary('AddV2', binary('Mul', centred, wide(factor)), wide(offset));
    const unbiased = tf.mul(variance, rows / Math.max(1, rows - 1));
    return [tf.reshape(y, x.shape), mean, unbiased, tf.clone(mean), variance, tf.tensor1d([], 'float32')];
  });
}

/** A divisor of `rows` near its square root, so that both sums are equally long. */
function groupsOf(rows: number, channels: number): number {
  let groups = Math.max(1, Math.min(Math.floor(Math.sqrt(rows)), Math.floor(WIDE_COLUMNS / channels)));
  while (rows % groups !== 0) groups--;
  return groups;
}

function channelMean(view: Tensor, groups: number, channels: number): Tensor {
  const sums = columnSums(view);
  const perChannel = groups === 1 ? sums : tf.sum(tf.reshape(sums, [groups, channels]), 0);
  return tf.div(perChannel, view.size / channels);
}

// No gradient: evaluation mode is for inference, and a tape that meets it should say so.
tf.registerKernel({
  kernelName: BATCH_NORM_EVAL,
  backendName: 'tensorflow',
  kernelFunc: ({ inputs, attrs }) => {
    const { x, scale, offset, mean, variance } = inputs;
    const [y, ...unused] = execute(
      'FusedBatchNormV3',
      [
        ...normAttributes(Number((attrs as Record<string, unknown>).epsilon), false),
        attr.float('exponential_avg_factor', 1),
      ],
      [x!, scale!, offset!, mean!, variance!],
      6,
    );
    tf.dispose(unused);
    return y!;
  },
});

const relu = (x: Tensor) => executeOne('Relu', [FLOAT()], [x]);
const binary = (name: string, a: Tensor, b: Tensor) => executeOne(name, [FLOAT()], [a, b]);
/** Sums over all but the last dimension; BiasAddGrad is the fastest such reduction there is. */
const columnSums = (x: Tensor) => executeOne('BiasAddGrad', [FLOAT(), attr.text('data_format', 'NHWC')], [x]);

// y = relu(x) + a (x - relu(x)): right for any slope, where max(x, a x) is only right for slopes in [0, 1].
// With g = ReluGrad(dy, x) and h = dy - g, which is dy where x <= 0: dx = g + a h, and da = sum of h x to channels.
defineKernel({
  name: PRELU,
  forward: ({ x, slope }) =>
    tf.tidy(() => {
      const positive = relu(x!);
      return [binary('AddV2', positive, binary('Mul', slope!, binary('Sub', x!, positive)))];
    }),
  saveInputs: ['x', 'slope'],
  gradient: ([dy], [x, slope]) =>
    tf.tidy(() => {
      const positive = executeOne('ReluGrad', [FLOAT()], [dy!, x!]);
      const rest = binary('Sub', dy!, positive);
      return {
        x: binary('AddV2', positive, binary('Mul', slope!, rest)),
        slope: columnSums(binary('Mul', rest, x!)),
      };
    }),
});

/** [y, batch mean, unbiased batch variance, ...reserved] of a map [N, H, W, C]. */
export const nativeBatchNorm = (x: Tensor, scale: Tensor, offset: Tensor, epsilon: number): Tensor[] =>
  runKernel(BATCH_NORM, { x, scale, offset }, { epsilon });

export const nativeBatchNormEval = (
  inputs: { x: Tensor; scale: Tensor; offset: Tensor; mean: Tensor; variance: Tensor },
  epsilon: number,
): Tensor => runKernel(BATCH_NORM_EVAL, inputs, { epsilon })[0]!;

export const nativePrelu = (x: Tensor, slope: Tensor): Tensor => runKernel(PRELU, { x, slope })[0]!;
