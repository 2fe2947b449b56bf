// The function that NASWOT and zen are computed from: one pass of a network in training mode, with what every
// PReLU switches. Layers run one by one, because the scores look at maps that a fused pass does not make.
//
// Legend: N images, P parameters, S running statistics, E embedding, L distinct inputs of PReLUs.

import { forward } from '../nn/forward.ts';
import type { Layout } from '../nn/layout.ts';
import { IMAGE, type Network } from '../nn/network.ts';
import type { TensorFunction } from '../nn/step-function.ts';
import { concatFlat, splitFlat } from '../tensor/flat.ts';
import { matMul } from '../tensor/ops/ops.ts';
import { type Tensor, tf } from '../tensor/tf.ts';
import { switchesOf } from './naswot.ts';

/**
 * Inputs: weights [P] without a head, images [N, 112, 112, 3], normalised. Outputs: embeddings [N, E], batch
 * means and unbiased variances [S], units that two images both switch on [L, N, N].
 */
export function initialPass(options: {
  readonly network: Network;
  readonly layout: Layout;
  /** N. */
  readonly images: number;
}): TensorFunction {
  const { network, layout } = options;
  return {
    inputs: [
      { name: 'weights', dtype: 'float32', shape: [layout.parameterCount] },
      {
        name: 'images',
        dtype: 'float32',
        shape: [options.images, IMAGE.height, IMAGE.width, IMAGE.channels],
      },
    ],
    build: ([weights, images]) => {
      const parameters = splitFlat(weights as Tensor, layout.parameters);
      const pass = forward({ network, layout, parameters, images: images as Tensor, fuse: false });
      return [pass.embedding, concatFlat(pass.statistics), sharedUnits(network, pass.outputs)];
    },
  };
}

/**
 * Units that two images both switch on, [L, N, N] with one matrix for each of `switchesOf`.
 */
function sharedUnits(network: Network, outputs: readonly (Tensor | undefined)[]): Tensor {
  return tf.stack(
    switchesOf(network).map(({ input, units }) => {
      const map = outputs[input];
      if (map === undefined) throw new Error(`layer ${input} has no output`);
      const on = tf.reshape(tf.cast(tf.greater(map, 0), 'float32'), [-1, units]); // [N, H, W, C] -> [N, M]
      return matMul(on, tf.transpose(on)); // [N, M] [M, N] -> [N, N]
    }),
  );
}

/** Bytes to [-1, 1] in the order of operations of a training step, each rounded to single precision. */
export function normalisedPixels(bytes: Uint8Array): Float32Array {
  const levels = Float32Array.from({ length: 256 }, (_, level) =>
    Math.fround(Math.fround(Math.fround(level / 255) - 0.5) / 0.5),
  );
  return Float32Array.from(bytes, (level) => levels[level]!);
}
