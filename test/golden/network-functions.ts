// Functions of tensors that the fixtures ask for and the product does not: gradients of sum(embedding * K) for weights and
// input, and per-layer outputs. They are built on the same forward pass and the same gradient code as a training step.

import { forward } from '../../core/nn/forward.ts';
import type { Layout } from '../../core/nn/layout.ts';
import type { Network } from '../../core/nn/network.ts';
import { gradientsOf, normaliseImages, type TensorFunction } from '../../core/nn/step-function.ts';
import { ALPHA_COUNT, type Supernet } from '../../core/nn/supernet.ts';
import { concatFlat, splitFlat } from '../../core/tensor/flat.ts';
import { type Tensor, tf } from '../../core/tensor/tf.ts';

interface Options {
  readonly network: Network;
  readonly layout: Layout;
  readonly batch: number;
  readonly fuse?: boolean;
}

const IMAGE = [112, 112, 3];

/** Inputs: weights, image bytes. Outputs: embedding in training mode, batch statistics as one vector. */
export function trainEmbeddingFunction({ network, layout, batch, fuse = true }: Options): TensorFunction {
  return {
    inputs: [
      { name: 'weights', dtype: 'float32', shape: [layout.parameterCount] },
      { name: 'images', dtype: 'uint8', shape: [batch, ...IMAGE] },
    ],
    build: ([weights, images]) => {
      const parameters = splitFlat(weights as Tensor, layout.parameters);
      const pass = forward({ network, layout, parameters, images: normaliseImages(images as Tensor), fuse });
      return [pass.embedding, concatFlat(pass.statistics)];
    },
  };
}

/** Inputs: weights, image bytes, K [batch, E]. Outputs: loss, embedding, statistics, flat gradient, gradient of the input. */
export function gradientFunction({ network, layout, batch, fuse = true }: Options): TensorFunction {
  return {
    inputs: [
      { name: 'weights', dtype: 'float32', shape: [layout.parameterCount] },
      { name: 'images', dtype: 'uint8', shape: [batch, ...IMAGE] },
      { name: 'factors', dtype: 'float32', shape: [batch, network.embedding] },
    ],
    build: ([weights, images, factors]) => {
      const normalised = normaliseImages(images as Tensor);
      const { gradients, kept } = gradientsOf({
        tensors: [...splitFlat(weights as Tensor, layout.parameters), normalised],
        trainable: [...layout.parameters.map((slot) => slot.trainable), true],
        run: (tensors) => {
          const pass = forward({
            network,
            layout,
            parameters: tensors.slice(0, -1),
            images: tensors.at(-1) as Tensor,
            fuse,
          });
          const loss = tf.sum(tf.mul(pass.embedding, factors as Tensor));
          return { loss, keep: [loss, pass.embedding, ...pass.statistics] };
        },
      });
      const [loss, embedding, ...statistics] = kept as [Tensor, Tensor, ...Tensor[]];
      const outputs = [
        tf.clone(loss),
        tf.clone(embedding),
        concatFlat(statistics),
        concatFlat(gradients.slice(0, -1)),
        gradients.at(-1) as Tensor,
      ];
      tf.dispose(kept);
      return outputs;
    },
  };
}

/** Outputs of the chosen layers, unfused. Inputs: weights, running statistics, image bytes; running ones are unused in training mode. */
export function layersFunction(
  { network, layout, batch }: Options,
  layers: readonly number[],
  mode: 'train' | 'eval',
): TensorFunction {
  return {
    inputs: [
      { name: 'weights', dtype: 'float32', shape: [layout.parameterCount] },
      { name: 'running', dtype: 'float32', shape: [layout.runningCount] },
      { name: 'images', dtype: 'uint8', shape: [batch, ...IMAGE] },
    ],
    build: ([weights, running, images]) => {
      const pass = forward({
        network,
        layout,
        parameters: splitFlat(weights as Tensor, layout.parameters),
        images: normaliseImages(images as Tensor),
        fuse: false,
        ...(mode === 'eval' ? { running: splitFlat(running as Tensor, layout.running) } : {}),
      });
      return layers.map((layer) => pass.outputs[layer] as Tensor);
    },
  };
}

/**
 * Outputs of the chosen layers of a search network in training mode. Inputs: weights, alphas, image bytes and, where there
 * is one, the weight of the skip beside each edge.
 */
export function searchTraceFunction(
  options: Omit<Options, 'network'> & { readonly network: Supernet; readonly hasAuxiliarySkip?: boolean },
  layers: readonly number[],
): TensorFunction {
  const { network, layout, batch, fuse = true, hasAuxiliarySkip = false } = options;
  return {
    inputs: [
      { name: 'weights', dtype: 'float32', shape: [layout.parameterCount] },
      { name: 'alphas', dtype: 'float32', shape: [ALPHA_COUNT] },
      { name: 'images', dtype: 'uint8', shape: [batch, ...IMAGE] },
      ...(hasAuxiliarySkip ? [{ name: 'skip', dtype: 'float32' as const, shape: [1] }] : []),
    ],
    build: ([weights, alphas, images, auxiliarySkip]) => {
      const pass = forward({
        network,
        layout,
        parameters: splitFlat(weights as Tensor, layout.parameters),
        alphas: alphas as Tensor,
        auxiliarySkip,
        images: normaliseImages(images as Tensor),
        fuse,
      });
      return layers.map((layer) => pass.outputs[layer] as Tensor);
    },
  };
}
