// PReLU, depthwise convolution, pointwise convolution and batch norm as one operation each way, of which the networks of the
// search space almost wholly consist. It is an operation of our own (native/), for the CPU: what lies between its input and the
// sum before the norm stays in the caches, where TensorFlow's own operations write and read whole maps. Elsewhere ops.ts
// composes the block from its parts.

import type { Tensor } from '../tf.ts';
import { attr, defineKernel, execute, runKernel } from './kernels.ts';

const SEPARABLE = 'FleetSeparable';

export interface SeparableWeights {
  /** [C] of the PReLU. */
  readonly slope: Tensor;
  /** [k, k, C, 1]. */
  readonly depthwise: Tensor;
  /** [1, 1, C, O]. */
  readonly pointwise: Tensor;
  /** [O], of the batch norm. */
  readonly scale: Tensor;
  readonly offset: Tensor;
}

export interface SeparableWindow {
  /** Of the depthwise convolution. */
  readonly stride: number;
  readonly padding: number;
  /** Of the batch norm. */
  readonly epsilon: number;
}

const windowAttributes = ({ stride, padding, epsilon }: SeparableWindow) => [
  attr.int('stride', stride),
  attr.int('padding', padding),
  attr.float('epsilon', epsilon),
  // Maps to be added, and maps that x lies in: both fold.ts' to change, as are the maps that dx goes to.
  attr.int('N', 0),
  attr.int('parts', 1),
];

// Outputs: y, batch mean, unbiased batch variance, the map before the norm, and 1 / deviation.
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
