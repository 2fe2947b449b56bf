// The functions of a search network that workers compile: loss and gradients for weights and alphas, or for
// alphas alone, from flat vectors and a batch to one flat vector; batch statistics alone; and logits or embeddings in
// evaluation mode.
//
// Legend: b images, P weights, A alphas, S running statistics, K classes, E embedding before the classifier.

import { oneHot, softmaxCrossEntropy } from '../loss/softmax.ts';
import { forward } from '../nn/forward.ts';
import type { Layout } from '../nn/layout.ts';
import { IMAGE } from '../nn/network.ts';
import {
  type FunctionInput,
  gradientsOf,
  normaliseImages,
  type TensorFunction,
} from '../nn/step-function.ts';
import { ALPHA_COUNT, type Supernet } from '../nn/supernet.ts';
import { concatFlat, splitFlat } from '../tensor/flat.ts';
import type { Tensor } from '../tensor/tf.ts';
import type { Wanted } from './rounds.ts';

/** A search network for batches of b images. */
interface FunctionOptions {
  readonly network: Supernet;
  readonly layout: Layout;
  readonly batch: number;
  readonly fuse?: boolean;
  /** Whether the weight of an unweighted skip beside each edge is an input, so that it may change between steps. */
  readonly hasAuxiliarySkip?: boolean;
}

/**
 * Inputs: weights [P], alphas [A], images [b, 112, 112, 3], labels [b] and, with one, the auxiliary skip's weight
 * [1]. Output: one vector, [P + A + S + 1]
 * or, for alphas alone, [A + S + 1]: gradients of the mean cross entropy, batch means and unbiased variances,
 * the loss.
 */
export function searchFunction(options: FunctionOptions & { readonly wanted: Wanted }): TensorFunction {
  const { network, layout, batch, wanted } = options;
  return {
    inputs: [
      ...parameterInputs(layout),
      imagesInput(batch),
      { name: 'labels', dtype: 'int32', shape: [batch] },
      ...auxiliaryInput(options),
    ],
    build: (inputs) => {
      const [weights, alphas, images, labels, auxiliarySkip] = inputs as [
        Tensor,
        Tensor,
        Tensor,
        Tensor,
        Tensor?,
      ];
      const normalised = normaliseImages(images);
      const targets = oneHot(labels, network.spec.classes);
      const both = wanted === 'weights-and-alphas';
      const { gradients, kept } = gradientsOf({
        tensors: [...splitFlat(weights, layout.parameters), alphas],
        trainable: [...layout.parameters.map((slot) => both && slot.trainable), true],
        run: (tensors) => {
          const { embedding: logits, statistics } = forward({
            ...options,
            parameters: tensors.slice(0, -1),
            alphas: tensors.at(-1) as Tensor,
            auxiliarySkip,
            images: normalised,
          });
          const loss = softmaxCrossEntropy(logits, targets);
          return { loss, keep: [...statistics, loss] };
        },
      });
      const vector = concatFlat([...(both ? gradients : gradients.slice(-1)), ...kept]);
      for (const tensor of kept) tensor.dispose();
      return [vector];
    },
  };
}

/**
 * Inputs: weights [P], alphas [A], images [b, 112, 112, 3]. Output: batch means and unbiased variances [S], as
 * searchFunction has them, of a forward pass alone.
 */
export function searchStatisticsFunction(options: FunctionOptions): TensorFunction {
  const { layout, batch } = options;
  return {
    inputs: [...parameterInputs(layout), imagesInput(batch)],
    build: (inputs) => {
      const [weights, alphas, images] = inputs as [Tensor, Tensor, Tensor];
      const { statistics } = forward({
        ...options,
        parameters: splitFlat(weights, layout.parameters),
        alphas,
        images: normaliseImages(images),
      });
      return [concatFlat(statistics)];
    },
  };
}

/**
 * Inputs: weights [P], alphas [A], running [S], images [b, 112, 112, 3] and, with one, the auxiliary skip's weight
 * [1]. Output: logits [b, K] in evaluation mode.
 */
export function searchLogitsFunction(options: FunctionOptions): TensorFunction {
  const { layout, batch } = options;
  return {
    inputs: [
      ...parameterInputs(layout),
      { name: 'running', dtype: 'float32', shape: [layout.runningCount] },
      imagesInput(batch),
      ...auxiliaryInput(options),
    ],
    build: (inputs) => {
      const [weights, alphas, running, images, auxiliarySkip] = inputs as [
        Tensor,
        Tensor,
        Tensor,
        Tensor,
        Tensor?,
      ];
      const { embedding: logits } = forward({
        ...options,
        parameters: splitFlat(weights, layout.parameters),
        alphas,
        auxiliarySkip,
        running: splitFlat(running, layout.running),
        images: normaliseImages(images),
      });
      return [logits];
    },
  };
}

/**
 * As searchLogitsFunction, with what its classifier reads as output: embeddings [b, E], by which people are compared
 * that the classifier does not know.
 */
export function searchEmbeddingFunction(options: FunctionOptions): TensorFunction {
  const { network } = options;
  const [before] = network.layers[network.output]!.inputs;
  return searchLogitsFunction({ ...options, network: { ...network, output: before! } });
}

function parameterInputs(layout: Layout): FunctionInput[] {
  return [
    { name: 'weights', dtype: 'float32', shape: [layout.parameterCount] },
    { name: 'alphas', dtype: 'float32', shape: [ALPHA_COUNT] },
  ];
}

function imagesInput(batch: number): FunctionInput {
  return { name: 'images', dtype: 'uint8', shape: [batch, IMAGE.height, IMAGE.width, IMAGE.channels] };
}

const auxiliaryInput = ({ hasAuxiliarySkip }: FunctionOptions): FunctionInput[] =>
  hasAuxiliarySkip === true ? [{ name: 'auxiliary skip', dtype: 'float32', shape: [1] }] : [];
