// The functions of a network that workers compile: the training step of one shard, from flat weights and a
// batch to one flat vector; that step in two parts around a head that is computed elsewhere; and embeddings
// in evaluation mode. Plain functions of tensors, so that a compiled graph and an eager backend run the same
// code. Batch norm sees one shard alone (ghost batch norm), so a shard's vector does not depend on which
// worker computes it.
//
// Legend: b images of one shard, P parameters, S running statistics, E embedding, T the teacher's embedding, which is
// E without an adapter.

import { arcfaceLoss, type Margin } from '../loss/arcface.ts';
import { distillationLoss } from '../loss/distillation.ts';
import { unitAlong } from '../loss/unit.ts';
import { concatFlat, splitFlat } from '../tensor/flat.ts';
import type { FirstPart } from '../tensor/passes/cut.ts';
import { type Tensor, tf } from '../tensor/tf.ts';
import { forward } from './forward.ts';
import type { Layout } from './layout.ts';
import { IMAGE, type Network } from './network.ts';

/** One input of a function, fed as a plain array. */
export interface FunctionInput {
  readonly name: string;
  readonly dtype: 'float32' | 'int32' | 'uint8';
  readonly shape: number[];
}

/** A function of tensors with its inputs, ready to be recorded. */
export interface TensorFunction {
  readonly inputs: FunctionInput[];
  /** `onForward`: called when the forward pass is done and the backward pass begins. */
  readonly build: (inputs: Tensor[], onForward?: () => void) => Tensor[];
}

/** A function whose later inputs are known only after its first outputs. */
export interface TwoPartFunction extends TensorFunction {
  readonly first: FirstPart;
}

/**
 * Inputs: weights [P], images [b, 112, 112, 3], labels [b] and, for a student, teacher [b, T] (raw
 * embeddings) and weight [1] (of the distillation term in this step). Output: one vector [P + S + 3]: gradient of the mean loss over the b images, batch means and
 * unbiased variances, then total loss, margin loss and weighted distillation term. Frozen parameters have
 * gradient zero.
 */
export function trainingFunction(options: {
  network: Network;
  /** With the head's classes: its kernel [E, classes] is the last parameter. */
  layout: Layout;
  /** b, at least 1. */
  batch: number;
  loss: Margin;
  /** Whether it learns from a teacher: whose embeddings and weight are then inputs. */
  distils?: boolean;
  fuse?: boolean;
}): TensorFunction {
  const { network, layout, batch, distils = false } = options;
  const inputs: FunctionInput[] = [
    { name: 'weights', dtype: 'float32', shape: [layout.parameterCount] },
    imagesInput(batch),
    { name: 'labels', dtype: 'int32', shape: [batch] },
  ];
  if (distils) inputs.push(...teacherInputs(batch, network, layout));
  return {
    inputs,
    build: ([weights, images, labels, teacher, weight], onForward) => {
      const normalised = normaliseImages(images as Tensor);
      const { gradients, kept } = gradientsOf({
        tensors: splitFlat(weights as Tensor, layout.parameters),
        trainable: layout.parameters.map((slot) => slot.trainable),
        onForward,
        run: (parameters) => {
          const { embedding, statistics } = forward({
            network,
            layout,
            parameters,
            images: normalised,
            ...(options.fuse === undefined ? {} : { fuse: options.fuse }),
          });
          const unit = unitAlong(embedding, 1);
          const margin = arcfaceLoss(unit, parameters.at(-1) as Tensor, labels as Tensor, options.loss);
          if (!distils) return { loss: margin, keep: [...statistics, margin, margin, tf.zerosLike(margin)] };
          const distillation = distillationTerm(adapted(layout, parameters, unit), teacher, weight);
          const loss = tf.add(margin, distillation);
          return { loss, keep: [...statistics, loss, margin, distillation] };
        },
      });
      const vector = concatFlat([...gradients, ...kept]);
      tf.dispose(kept);
      return [vector];
    },
  };
}

/**
 * The training step without its head, in two parts. First inputs: weights [P], images [b, 112, 112, 3]; first
 * output: unit embeddings [b E]. Later inputs: slopes [b, E], the gradient of the mean loss over the b images
 * for those embeddings; margin [1], that loss; and for a student teacher [b, T] and weight [1]. Second output: a vector as
 * that of trainingFunction, [P + S + 3]. Both parts share one forward pass, which is kept between them or
 * computed again.
 */
export function backboneFunction(options: {
  network: Network;
  /** Without a head: P counts the backbone and a student's adapter. */
  layout: Layout;
  batch: number;
  distils?: boolean;
  fuse?: boolean;
}): TwoPartFunction {
  const { network, layout, batch, distils = false, fuse } = options;
  const inputs: FunctionInput[] = [
    { name: 'weights', dtype: 'float32', shape: [layout.parameterCount] },
    imagesInput(batch),
    { name: 'slopes', dtype: 'float32', shape: [batch, network.embedding] },
    { name: 'margin', dtype: 'float32', shape: [1] },
  ];
  if (distils) inputs.push(...teacherInputs(batch, network, layout));
  return {
    inputs,
    first: { inputs: 2, outputs: 1 },
    build: ([weights, images, slopes, margin, teacher, weight], onForward) => {
      const normalised = normaliseImages(images as Tensor);
      const { gradients, kept } = gradientsOf({
        tensors: splitFlat(weights as Tensor, layout.parameters),
        trainable: layout.parameters.map((slot) => slot.trainable),
        onForward,
        run: (parameters) => {
          const { embedding, statistics } = forward({
            network,
            layout,
            parameters,
            images: normalised,
            ...(fuse === undefined ? {} : { fuse }),
          });
          const unit = unitAlong(embedding, 1);
          // The gradient of sum(unit slopes) for `unit` is `slopes`, so differentiating it continues the
          // head's backward pass.
          const linear = tf.sum(tf.mul(unit, slopes as Tensor));
          const marginLoss = tf.reshape(margin as Tensor, []);
          if (!distils) {
            const losses = [marginLoss, marginLoss, tf.zerosLike(marginLoss)];
            return { loss: linear, keep: [unit, ...statistics, ...losses] };
          }
          const distillation = distillationTerm(adapted(layout, parameters, unit), teacher, weight);
          const total = tf.add(marginLoss, distillation);
          return {
            loss: tf.add(linear, distillation),
            keep: [unit, ...statistics, total, marginLoss, distillation],
          };
        },
      });
      const [unit, ...others] = kept;
      const outputs = [concatFlat([unit as Tensor]), concatFlat([...gradients, ...others])];
      tf.dispose(kept);
      return outputs;
    },
  };
}

/**
 * Inputs: weights [P], running [S], images [b, 112, 112, 3]. Output: embeddings [b, E], raw, from running
 * statistics.
 */
export function embeddingFunction(options: {
  network: Network;
  layout: Layout;
  batch: number;
  fuse?: boolean;
}): TensorFunction {
  const { network, layout, batch } = options;
  return {
    inputs: [
      { name: 'weights', dtype: 'float32', shape: [layout.parameterCount] },
      { name: 'running', dtype: 'float32', shape: [layout.runningCount] },
      imagesInput(batch),
    ],
    build: ([weights, running, images]) => {
      const { embedding } = forward({
        network,
        layout,
        parameters: splitFlat(weights as Tensor, layout.parameters),
        running: splitFlat(running as Tensor, layout.running),
        images: normaliseImages(images as Tensor),
        ...(options.fuse === undefined ? {} : { fuse: options.fuse }),
      });
      return [embedding];
    },
  };
}

/**
 * Bytes to [-1, 1], (x / 255 - 0.5) / 0.5, in the reference's order of operations. The divisor is max(first
 * pixel, 255), a computed value that is always 255: TensorFlow turns a division by a constant into a product
 * with its rounded reciprocal, and inputs that are one rounding off change which pixel wins a max pool
 * (search network of the fixtures: weight gradients off by 2.4e-4 instead of 1.1e-6).
 */
export function normaliseImages(images: Tensor): Tensor {
  const pixels = tf.cast(images, 'float32');
  const first = tf.slice(
    pixels,
    pixels.shape.map(() => 0),
    pixels.shape.map(() => 1),
  );
  const divisor = tf.maximum(tf.reshape(first, []), 255);
  return tf.div(tf.sub(tf.div(pixels, divisor), 0.5), 0.5);
}

/**
 * Gradients of a scalar for some tensors, zeros where `trainable` is false, and the tensors that `run`
 * returns in `keep`. tfjs frees whatever a differentiated function does not return, so those are kept by
 * tf.keep, and the caller disposes them.
 */
export function gradientsOf(options: {
  tensors: readonly Tensor[];
  trainable: readonly boolean[];
  run: (tensors: readonly Tensor[]) => { loss: Tensor; keep: readonly Tensor[] };
  /** Called between the forward and the backward pass. */
  onForward?: (() => void) | undefined;
}): { gradients: Tensor[]; kept: Tensor[] } {
  const { tensors, trainable, run } = options;
  const kept: Tensor[] = [];
  const differentiate = tf.valueAndGrads((...varied: Tensor[]) => {
    let next = 0;
    const { loss, keep } = run(
      tensors.map((tensor, i) => (trainable[i] ? (varied[next++] as Tensor) : tensor)),
    );
    // Clones, because a tensor may be listed twice, and disposing it once would free the second.
    for (const tensor of keep) kept.push(tf.keep(tf.clone(tensor)));
    const scalar = loss.asScalar();
    options.onForward?.();
    return scalar;
  });
  const { value, grads } = differentiate(tensors.filter((_, i) => trainable[i]));
  value.dispose();
  let next = 0;
  const gradients = tensors.map((tensor, i) =>
    trainable[i] ? (grads[next++] as Tensor) : tf.zerosLike(tensor),
  );
  return { gradients, kept };
}

/** What a student's step takes beside its own: the teacher's raw embeddings, and the weight of the term. */
const teacherInputs = (batch: number, { embedding }: Network, layout: Layout): FunctionInput[] => [
  { name: 'teacher', dtype: 'float32', shape: [batch, adapterIn(layout)?.shape[1] ?? embedding] },
  { name: 'distillation weight', dtype: 'float32', shape: [1] },
];

const adapterIn = ({ parameters }: Layout) => parameters.find(({ role }) => role === 'adapter');

/** A student's unit embeddings [b, E] as its teacher's are compared with: through the adapter [b, T], unit again. */
function adapted(layout: Layout, parameters: readonly Tensor[], unit: Tensor): Tensor {
  const slot = adapterIn(layout);
  if (slot === undefined) return unit;
  return unitAlong(tf.matMul(unit, parameters[layout.parameters.indexOf(slot)] as Tensor), 1);
}

const distillationTerm = (unit: Tensor, teacher: Tensor | undefined, weight: Tensor | undefined): Tensor =>
  distillationLoss(unit, teacher as Tensor, tf.reshape(weight as Tensor, []));

function imagesInput(batch: number): FunctionInput {
  return { name: 'images', dtype: 'uint8', shape: [batch, IMAGE.height, IMAGE.width, IMAGE.channels] };
}
