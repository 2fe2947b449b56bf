// Batch normalisation and PReLU as native kernels with gradients of their own: they are most of a network's layers, and
// composed from single operations they cost twice the rest of a step.

import { attr, DT, defineKernel, execute, executeOne, runKernel } from './kernels.ts';
import { type OpAttribute, type Tensor, tf } from './tf.ts';

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

// Outputs of FusedBatchNormV3: y, batch mean, unbiased batch variance, and three reserve spaces that only its own
// gradient kernel understands (oneDNN and cuDNN fill them differently).
defineKernel({
  name: BATCH_NORM,
  forward: ({ x, scale, offset }, { epsilon }) => {
    const none = tf.tensor1d([], 'float32');
    const outputs = execute(
      'FusedBatchNormV3',
      [...normAttributes(Number(epsilon), true), attr.float('exponential_avg_factor', 1)],
      [x!, scale!, offset!, none, none],
      6,
    );
    none.dispose();
    return outputs;
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

// y = relu(x) + a (x - relu(x)): right for any slope, where max(x, a x) is only right for slopes in [0, 1].
// With g = ReluGrad(dy, x) and h = dy - g, which is dy where x <= 0: dx = g + a h, and da = sum of h x to channels, for
// which BiasAddGrad is the fastest reduction there is.
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
        slope: executeOne(
          'BiasAddGrad',
          [FLOAT(), attr.text('data_format', 'NHWC')],
          [binary('Mul', rest, x!)],
        ),
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
