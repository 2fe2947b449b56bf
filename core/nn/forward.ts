// Runs a network on tensors, in training mode (batch statistics) or evaluation mode (running statistics): interprets the
// list of layers with the operations of core/tensor. Differentiable in training mode; recorded by compiled steps and run
// eagerly on other backends alike. What may be fused is fuse.ts', losses and gradients are step-function.ts'.
//
// Legend: N images, H x W map, C channels, E embedding. Maps are NHWC.

import {
  avgPool,
  batchNormEval,
  batchNormTrain,
  conv2d,
  depthwiseConv2d,
  flattenChw,
  groupedConv2d,
  linear,
  maxPool,
  prelu,
} from '../tensor/ops.ts';
import { type Tensor, type Tensor2D, type Tensor4D, tf } from '../tensor/tf.ts';
import { type Fusion, fusionOf, NO_FUSION } from './fuse.ts';
import type { Layout, Slot } from './layout.ts';
import type { Layer, Network } from './network.ts';

/** PyTorch's default for every batch norm of the reference. */
export const BATCH_NORM_EPSILON = 1e-5;

export interface ForwardOptions {
  readonly network: Network;
  readonly layout: Layout;
  /** In the order of layout.parameters; a head's kernel at the end is ignored. */
  readonly parameters: readonly Tensor[];
  /** Normalised, [N, 112, 112, 3]. */
  readonly images: Tensor;
  /** Running statistics in the order of layout.running make it evaluation mode; without them it is training mode. */
  readonly running?: readonly Tensor[];
  /** false runs every layer by itself; for tests and for tracing inner layers. */
  readonly fuse?: boolean;
}

export interface ForwardResult {
  /** [N, E], raw: not of unit length. */
  readonly embedding: Tensor2D;
  /** Batch means and unbiased variances in the order of layout.running; empty in evaluation mode. */
  readonly statistics: readonly Tensor[];
  /** Output of each layer by index; undefined where the layer was fused into another. */
  readonly outputs: readonly (Tensor | undefined)[];
}

export function forward(options: ForwardOptions): ForwardResult {
  const { network, layout, running } = options;
  const mode = running === undefined ? 'train' : 'eval';
  const fusion = options.fuse === false ? NO_FUSION : fusionOf(network, mode);
  const pass: Pass = {
    network,
    fusion,
    weights: byLayer(layout.parameters, options.parameters),
    running: running === undefined ? undefined : byLayer(layout.running, running),
    outputs: [options.images],
    statistics: [],
  };
  network.layers.forEach((layer, index) => {
    if (index === 0 || fusion.absorbed.has(index)) return;
    const output = runLayer(pass, layer, index);
    pass.outputs[index] = output;
    const norm = fusion.normalisedBy.get(index);
    if (norm !== undefined) pass.outputs[norm] = output;
  });
  const last = outputOf(pass, network.output);
  const embedding = (last.rank === 2 ? last : flattenChw(last)) as Tensor2D;
  return { embedding, statistics: pass.statistics, outputs: pass.outputs };
}

type LayerTensors = Partial<Record<Slot['role'], Tensor>>;

/** State of one pass; `outputs` and `statistics` grow layer by layer. */
interface Pass {
  readonly network: Network;
  readonly fusion: Fusion;
  readonly weights: ReadonlyMap<number, LayerTensors>;
  readonly running: ReadonlyMap<number, LayerTensors> | undefined;
  readonly outputs: (Tensor | undefined)[];
  readonly statistics: Tensor[];
}

function runLayer(pass: Pass, layer: Layer, index: number): Tensor {
  const inputs = layer.inputs.map((input) =>
    outputOf(pass, pass.fusion.absorbed.has(input) ? sourceOf(pass, input) : input),
  );
  const x = inputs[0] as Tensor;
  switch (layer.kind) {
    case 'input':
      return x;
    case 'conv':
    case 'depthwise':
    case 'linear':
      return runWeighted(pass, layer, index, x);
    case 'batchNorm':
      return runBatchNorm(pass, index, x);
    case 'prelu':
      return prelu(x, weightOf(pass, index, 'weight'));
    case 'maxPool':
      return maxPool(x, layer.kernel, layer.stride, layer.padding);
    case 'avgPool':
      return avgPool(x, layer.kernel, layer.stride, layer.padding);
    case 'crop':
      return tf.slice(x as Tensor4D, [0, 1, 1, 0]);
    case 'add':
      return inputs.reduce((sum, input) => tf.add(sum, input));
    case 'concat':
      return tf.concat(inputs, 3);
    case 'flatten':
      return flattenChw(x);
  }
}

/** A convolution or linear layer with whatever was fused into it. */
function runWeighted(
  pass: Pass,
  layer: Extract<Layer, { kind: 'conv' | 'depthwise' | 'linear' }>,
  index: number,
  x: Tensor,
): Tensor {
  let kernel = weightOf(pass, index, 'weight');
  let bias = layer.kind === 'linear' && layer.bias ? weightOf(pass, index, 'bias') : null;
  let stride = layer.kind === 'linear' ? 1 : layer.stride;
  const scaling = pass.fusion.scaledBy.get(index);
  if (scaling !== undefined) {
    // [1, 1, C, 1] times [1, 1, C, Co].
    kernel = tf.mul(kernel, weightOf(pass, scaling, 'weight'));
    const depthwise = pass.network.layers[scaling];
    if (depthwise?.kind === 'depthwise') stride = depthwise.stride;
  }
  const norm = pass.fusion.normalisedBy.get(index);
  if (norm !== undefined) {
    const { scale, shift } = normAsAffine(pass, norm);
    kernel = tf.mul(kernel, layer.kind === 'depthwise' ? tf.reshape(scale, [-1, 1]) : scale);
    bias = bias === null ? shift : tf.add(tf.mul(bias, scale), shift);
  }
  switch (layer.kind) {
    case 'linear':
      return linear(x, kernel, bias);
    case 'depthwise':
      return plus(depthwiseConv2d(x, kernel, stride, layer.padding), bias);
    case 'conv':
      return plus(
        layer.groups === 1
          ? conv2d(x, kernel, stride, layer.padding)
          : groupedConv2d(x, kernel, layer.groups, stride, layer.padding),
        bias,
      );
  }
}

function plus(x: Tensor, bias: Tensor | null): Tensor {
  return bias === null ? x : tf.add(x, bias);
}

/** Evaluation-mode batch norm as scale and shift [C]. */
function normAsAffine(pass: Pass, index: number): { scale: Tensor; shift: Tensor } {
  const { mean, variance } = runningOf(pass, index);
  const deviation = tf.sqrt(tf.add(variance, BATCH_NORM_EPSILON));
  const { weight, bias } = pass.weights.get(index) ?? {};
  const scale = weight === undefined ? tf.div(1, deviation) : tf.div(weight, deviation);
  const shifted = tf.mul(mean, scale);
  return { scale, shift: bias === undefined ? tf.neg(shifted) : tf.sub(bias, shifted) };
}

function runBatchNorm(pass: Pass, index: number, x: Tensor): Tensor {
  const { weight = null, bias = null } = pass.weights.get(index) ?? {};
  if (pass.running !== undefined) {
    const { mean, variance } = runningOf(pass, index);
    return batchNormEval(x, mean, variance, weight, bias, BATCH_NORM_EPSILON);
  }
  const { y, mean, variance } = batchNormTrain(x, weight, bias, BATCH_NORM_EPSILON);
  pass.statistics.push(mean, variance);
  return y;
}

/** What an absorbed depthwise layer reads; absorbed batch norms have their convolution's output under their own index. */
function sourceOf(pass: Pass, index: number): number {
  const layer = pass.network.layers[index];
  return layer?.kind === 'depthwise' && pass.outputs[index] === undefined
    ? (layer.inputs[0] ?? index)
    : index;
}

function outputOf(pass: Pass, index: number): Tensor {
  const output = pass.outputs[index];
  if (output === undefined)
    throw new Error(`layer ${index} (${pass.network.layers[index]?.name}) has no output yet`);
  return output;
}

function weightOf(pass: Pass, index: number, role: 'weight' | 'bias'): Tensor {
  const tensor = pass.weights.get(index)?.[role];
  if (tensor === undefined)
    throw new Error(`${pass.network.layers[index]?.name}.${role} is not in the layout`);
  return tensor;
}

function runningOf(pass: Pass, index: number): { mean: Tensor; variance: Tensor } {
  const { running_mean: mean, running_var: variance } = pass.running?.get(index) ?? {};
  if (mean === undefined || variance === undefined)
    throw new Error(`${pass.network.layers[index]?.name} has no running statistics`);
  return { mean, variance };
}

function byLayer(slots: readonly Slot[], tensors: readonly Tensor[]): Map<number, LayerTensors> {
  const layers = new Map<number, LayerTensors>();
  slots.forEach((slot, i) => {
    const tensor = tensors[i];
    if (tensor !== undefined) layers.set(slot.layer, { ...layers.get(slot.layer), [slot.role]: tensor });
  });
  return layers;
}
