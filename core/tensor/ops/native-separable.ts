// PReLU, depthwise convolution, pointwise convolution and batch norm as one operation each way. The networks
// of the search space consist of such blocks almost wholly. The operation is our own (native/separable.cc),
// for the CPU: what lies between its input and the map before the norm stays in the caches, where
// TensorFlow's operations write and read whole maps. S-128, 8 images: 451 ms a step with the library's
// operations, 284 to 296 with this one (docs/performance.md).

import type { Tensor } from '../tf.ts';
import { attr, defineKernel, execute, runKernel } from './kernels.ts';

const SEPARABLE = 'FleetSeparable';

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

export interface SeparableWindow {
  /** Of the depthwise convolution, in pixels. */
  readonly stride: number;
  readonly padding: number;
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

/** [y, batch mean, unbiased batch variance, ...reserved] of a map [N, H, W, C]. */
export const nativeSeparable = (x: Tensor, weights: SeparableWeights, window: SeparableWindow): Tensor[] =>
  runKernel(SEPARABLE, { x, ...weights }, { ...window });
