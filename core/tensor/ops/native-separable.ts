// PReLU, depthwise convolution, pointwise convolution and batch norm as one operation each way. The networks
// of the search space consist of such blocks almost wholly. The operation is our own (native/separable.cc),
// for the CPU: what lies between its input and the map before the norm stays in the caches, where
// TensorFlow's operations write and read whole maps. S-128, 8 images: 451 ms a step with the library's
// operations, 284 to 296 with this one (docs/performance.md).

import { type Tensor, tf } from '../tf.ts';
import { attr, defineKernel, execute, runKernel } from './kernels.ts';

const SEPARABLE = 'FleetSeparable';
const AFFINE_SEPARABLE = 'FleetAffineSeparable';

/** C channels in, O channels out, k the depthwise kernel. */
export interface SeparableWeights {
  /** Of the PReLU, [C]. */
  readonly slope: Tensor;
  /** [k, k, C, 1]. */
  readonly depthwise: Tensor;
  /** [1, 1, C, O]. */
  readonly pointwise: Tensor;
  /** Of the batch norm, [O]. */
  readonly scale: Tensor;
  readonly offset: Tensor;
}

/** Of the depthwise convolution, in pixels. */
interface Window {
  readonly stride: number;
  readonly padding: number;
}

export interface SeparableWindow extends Window {
  /** Of the batch norm, added to the variance. */
  readonly epsilon: number;
}

const windowAttributes = ({ stride, padding, epsilon }: SeparableWindow) => [
  attr.int('stride', stride),
  attr.int('padding', padding),
  attr.float('epsilon', epsilon),
  // Nothing added, and x in one map: the passes over a recording (core/tensor/passes) change these numbers,
  // as they do `dparts`.
  attr.int('N', 0),
  attr.int('parts', 1),
];

// Outputs: y, batch mean, unbiased batch variance, the map z before the norm, and 1 / deviation. The gradient
// reads x, z and these statistics, and computes what lies between x and z again.
defineKernel({
  name: SEPARABLE,
  forward: ({ x, slope, depthwise, pointwise, scale, offset }, attributes) =>
    execute(
      'FleetSeparable',
      windowAttributes(attributes as unknown as SeparableWindow),
      [slope!, depthwise!, pointwise!, scale!, offset!, x!],
      5,
    ),
  saveInputs: ['x', 'slope', 'depthwise', 'pointwise', 'scale'],
  saveOutputs: [false, true, false, true, true],
  gradient: ([dy], [x, slope, depthwise, pointwise, scale, mean, z, inverse], attributes) => {
    const gradients = execute(
      'FleetSeparableGrad',
      [...windowAttributes(attributes as unknown as SeparableWindow), attr.int('dparts', 1)],
      [dy!, slope!, depthwise!, pointwise!, scale!, z!, mean!, inverse!, x!],
      6,
    );
    const [dSlope, dDepthwise, dPointwise, dScale, dOffset, dx] = gradients as [
      Tensor,
      Tensor,
      Tensor,
      Tensor,
      Tensor,
      Tensor,
    ];
    return {
      x: dx,
      slope: dSlope,
      depthwise: dDepthwise,
      pointwise: dPointwise,
      scale: dScale,
      offset: dOffset,
    };
  },
});

// The same operation with an affine norm, which a batch norm is in evaluation. No gradient is registered: a tape that
// meets this kernel fails with its name.
tf.registerKernel({
  kernelName: AFFINE_SEPARABLE,
  backendName: 'tensorflow',
  kernelFunc: ({ inputs, attrs }) => {
    const { x, slope, depthwise, pointwise, scale, offset } = inputs as Record<string, Tensor>;
    const outputs = execute(
      'FleetSeparable',
      [...windowAttributes({ ...(attrs as unknown as Window), epsilon: 0 }), attr.int('affine', 1)],
      [slope!, depthwise!, pointwise!, scale!, offset!, x!],
      5,
    );
    tf.dispose(outputs.slice(1));
    return outputs[0]!;
  },
});

/** The block of a map [N, H, W, C] with y = z scale + offset behind it; not differentiable. */
export const nativeAffineSeparable = (
  x: Tensor,
  weights: SeparableWeights,
  { stride, padding }: Window,
): Tensor => runKernel(AFFINE_SEPARABLE, { x, ...weights }, { stride, padding })[0]!;

/** [y, batch mean, unbiased batch variance, ...reserved] of a map [N, H, W, C]. */
export const nativeSeparable = (x: Tensor, weights: SeparableWeights, window: SeparableWindow): Tensor[] =>
  runKernel(SEPARABLE, { x, ...weights }, { ...window });
