// Runs a network on tensors, in training mode (batch statistics) or evaluation mode (running statistics):
// interprets the list of layers in order, each by one operation of core/tensor/ops. Where a fusion is given,
// several layers run as one operation, or a layer's work moves into the weights of another; results are equal
// to rounding. Differentiable in training mode. Compiled steps record this function once, other backends run
// it eagerly.
//
// Legend: N images, H x W map, C channels, E embedding, A alphas. Maps are NHWC.

import { OPS } from '../spec/network.ts';
import { addAll } from '../tensor/ops/kernels.ts';
import {
  affineSeparable,
  avgPool,
  batchNormEval,
  batchNormTrain,
  conv2d,
  depthwiseConv2d,
  flattenChw,
  groupedConv2d,
  linear,
  maxPool,
  prelus,
  separable,
} from '../tensor/ops/ops.ts';
import { evenAndOdd, sample } from '../tensor/ops/sample.ts';
import { hasOwnKernels, type Tensor, type Tensor2D, type Tensor4D, tf } from '../tensor/tf.ts';
import { type Fusion, fusionOf, NO_FUSION, type Reduction, type Separable } from './fuse.ts';
import type { Layout, Slot } from './layout.ts';
import type { LayerGraph, Mixture, SearchLayer, Term } from './network.ts';

/** PyTorch's default for every batch norm of the reference. */
const BATCH_NORM_EPSILON = 1e-5;

/** One pass of a network over a batch. */
export interface ForwardOptions {
  readonly network: LayerGraph;
  readonly layout: Layout;
  /** In the order of layout.parameters; the kernel of a classifier head at the end is not read. */
  readonly parameters: readonly Tensor[];
  /** Normalised to [-1, 1], [N, 112, 112, 3]. */
  readonly images: Tensor;
  /**
   * Running statistics in the order of layout.running. With them the pass is in evaluation mode, without them
   * in training mode.
   */
  readonly running?: readonly Tensor[];
  /**
   * [A]: eight alphas for each edge of a search network, in the order of the mixtures' rows. Differentiable
   * too.
   */
  readonly alphas?: Tensor;
  /**
   * [1]: weight of an unweighted skip beside each mixed edge of a search network (Chu et al., "DARTS-", 2020,
   * eq. 4). It goes through the edge's own skip, which has parameters where the edge has a stride. Absent: none.
   */
  readonly auxiliarySkip?: Tensor | undefined;
  /** false runs every layer by itself, so that each output exists; for tests and for tracing inner layers. */
  readonly fuse?: boolean;
}

/** What a pass gives. */
export interface ForwardResult {
  /** [N, E], raw: not of unit length. For a search network the logits [N, classes]. */
  readonly embedding: Tensor2D;
  /** Batch means and unbiased variances in the order of layout.running; empty in evaluation mode. */
  readonly statistics: readonly Tensor[];
  /** Output of each layer by index; undefined where the layer was fused into another. */
  readonly outputs: readonly (Tensor | undefined)[];
}

/** Runs the network on a batch. */
export function forward(options: ForwardOptions): ForwardResult {
  const { network, layout, running } = options;
  const mode = running === undefined ? 'train' : 'eval';
  const fusion = options.fuse === false ? NO_FUSION : fusionOf(network, mode, hasOwnKernels());
  const pass: Pass = {
    network,
    fusion,
    weights: byLayer(layout.parameters, options.parameters),
    running: running === undefined ? undefined : byLayer(layout.running, running),
    opWeights: options.alphas === undefined ? [] : opWeights(options.alphas, options.auxiliarySkip),
    outputs: [options.images],
    statistics: [],
  };
  network.layers.forEach((layer, index) => {
    // Layer 0 is the images; a layer whose output exists already ran together with an earlier one.
    if (index === 0 || fusion.absorbed.has(index) || pass.outputs[index] !== undefined) return;
    const same = fusion.sameAs.get(index);
    const output = same === undefined ? runLayer(pass, layer, index) : outputOf(pass, same);
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
  readonly network: LayerGraph;
  readonly fusion: Fusion;
  readonly weights: ReadonlyMap<number, LayerTensors>;
  readonly running: ReadonlyMap<number, LayerTensors> | undefined;
  /** A tensors [1]: what each op's output is multiplied by, edge by edge. */
  readonly opWeights: readonly Tensor[];
  readonly outputs: (Tensor | undefined)[];
  readonly statistics: Tensor[];
}

/**
 * Output of one layer, [N, H', W', C'] for maps; separable blocks and reductions stand at their batch norm.
 */
function runLayer(pass: Pass, layer: SearchLayer, index: number): Tensor {
  const block = pass.fusion.separable.get(index);
  if (block !== undefined) return runSeparable(pass, block, index);
  const reduction = pass.fusion.reductions.get(index);
  if (reduction !== undefined) return runReduction(pass, reduction, index);
  switch (layer.kind) {
    case 'conv':
    case 'depthwise':
    case 'linear':
      return runWeighted(pass, layer, index);
  }
  const inputs = layer.inputs.map((input) => outputOf(pass, input));
  const x = inputs[0] as Tensor;
  switch (layer.kind) {
    case 'input':
      return x;
    case 'batchNorm':
      return runBatchNorm(pass, index, x);
    case 'prelu':
      return runPrelus(pass, index, x);
    case 'maxPool':
      return maxPool(x, layer.kernel, layer.stride, layer.padding, pass.fusion.pools);
    case 'avgPool':
      return avgPool(x, layer.kernel, layer.stride, layer.padding, pass.fusion.pools);
    case 'crop':
      return tf.slice(x as Tensor4D, [0, 1, 1, 0]); // [N, H, W, C] -> [N, H - 1, W - 1, C]
    case 'add':
      return inputs.reduce((sum, input) => tf.add(sum, input));
    case 'mix':
      return addAll(layer.terms.map((term, i) => weighed(pass, layer, inputs[i] as Tensor, term, i)));
    case 'concat':
      return tf.concat(inputs, 3); // [N, H, W, Ci] each -> [N, H, W, sum of Ci]
    case 'flatten':
      return flattenChw(x);
  }
}

/**
 * Runs this PReLU and all others of the same map at once; the others' outputs exist before their turn comes.
 */
function runPrelus(pass: Pass, index: number, x: Tensor): Tensor {
  const together = pass.fusion.together.get(index) ?? [index];
  const outputs = prelus(
    x,
    together.map((layer) => weightOf(pass, layer, 'weight')),
  );
  together.forEach((layer, i) => {
    pass.outputs[layer] = outputs[i];
  });
  return outputOf(pass, index);
}

/**
 * Runs a batch norm together with the PReLU and the two convolutions before it: x [N, H, W, C] -> [N, H', W',
 * O].
 */
function runSeparable(pass: Pass, block: Separable, norm: number): Tensor {
  const window = pass.network.layers[block.depthwise];
  if (window?.kind !== 'depthwise') throw new Error(`layer ${block.depthwise} is no depthwise convolution`);
  const { stride, padding } = window;
  const x = inputOf(pass, block.prelu);
  const weights = blockWeights(pass, block);
  if (pass.running !== undefined)
    return affineSeparable(x, { ...weights, ...normAsAffine(pass, norm) }, { stride, padding });
  const { y, mean, variance } = separable(
    x,
    { ...weights, ...normWeights(pass, norm) },
    { stride, padding, epsilon: BATCH_NORM_EPSILON },
  );
  pass.statistics.push(mean, variance);
  return y;
}

/**
 * Runs a batch norm together with the factorised reduction before it: x [N, H, W, C] -> [N, H / 2, W / 2, O].
 * A batch norm normalises each channel by itself, so each branch can normalise its half of the channels
 * before these are joined.
 */
function runReduction(pass: Pass, { branches }: Reduction, norm: number): Tensor {
  const isEvaluation = pass.running !== undefined;
  const whole = isEvaluation ? normAsAffine(pass, norm) : normWeights(pass, norm);
  const [scales, offsets] = [tf.split(whole.scale, 2), tf.split(whole.offset, 2)]; // [O] -> two [O / 2]
  const samples = evenAndOdd(inputOf(pass, branches[0].prelu)); // two [N, H / 2, W / 2, C]
  const blocks = branches.map((block, i) => ({
    ...blockWeights(pass, block),
    ...{ scale: scales[i]!, offset: offsets[i]! },
  }));
  const window = { stride: 1, padding: 0 };
  if (isEvaluation)
    return tf.concat(
      blocks.map((weights, i) => affineSeparable(samples[i]!, weights, window)),
      -1,
    );
  const parts = blocks.map((weights, i) =>
    separable(samples[i]!, weights, { ...window, epsilon: BATCH_NORM_EPSILON }),
  );
  const joined = (name: 'y' | 'mean' | 'variance') =>
    tf.concat(
      parts.map((part) => part[name]),
      -1,
    );
  pass.statistics.push(joined('mean'), joined('variance'));
  return joined('y'); // two [N, H / 2, W / 2, O / 2] -> [N, H / 2, W / 2, O]
}

/** Output of a layer's first input. */
const inputOf = (pass: Pass, index: number): Tensor =>
  outputOf(pass, pass.network.layers[index]?.inputs[0] ?? -1);

const blockWeights = (pass: Pass, { prelu, depthwise, pointwise }: Separable) => ({
  slope: weightOf(pass, prelu, 'weight'),
  depthwise: weightOf(pass, depthwise, 'weight'),
  pointwise: weightOf(pass, pointwise, 'weight'),
});

/** Scale and offset [C] of a batch norm; ones and zeros where it has none. */
function normWeights(pass: Pass, norm: number): { scale: Tensor; offset: Tensor } {
  const channels = pass.network.layers[norm]?.shape.channels ?? 0;
  return {
    scale: scaleOf(pass, norm) ?? tf.ones([channels]),
    offset: pass.weights.get(norm)?.bias ?? tf.zeros([channels]),
  };
}

/** Runs a convolution or linear layer with everything that was fused into it. */
function runWeighted(
  pass: Pass,
  layer: Extract<SearchLayer, { kind: 'conv' | 'depthwise' | 'linear' }>,
  index: number,
): Tensor {
  const { kernel, bias } = kernelOf(pass, layer, index);
  if (layer.kind === 'linear') return linear(outputOf(pass, layer.inputs[0] ?? -1), kernel, bias);
  const { x, stride } = sourceOf(pass, layer, index);
  if (layer.kind === 'depthwise') return plus(depthwiseConv2d(x, kernel, stride, layer.padding), bias);
  return layer.groups === 1
    ? plus(conv2d(x, kernel, stride, layer.padding), bias)
    : plus(groupedConv2d(x, kernel, layer.groups, stride, layer.padding), bias);
}

/**
 * Kernel and bias of a layer with a depthwise scale and a batch norm multiplied in: norm(conv(d x, K)) =
 * conv(x, K d scale) + shift, with d per input channel, scale and shift per output channel.
 */
function kernelOf(
  pass: Pass,
  layer: Extract<SearchLayer, { kind: 'conv' | 'depthwise' | 'linear' }>,
  index: number,
): { kernel: Tensor; bias: Tensor | null } {
  let kernel = weightOf(pass, index, 'weight');
  let bias = layer.kind === 'linear' && layer.bias ? weightOf(pass, index, 'bias') : null;
  const scaling = pass.fusion.scaledBy.get(index);
  // [1, 1, C, O] times [1, 1, C, 1].
  if (scaling !== undefined) kernel = tf.mul(kernel, weightOf(pass, scaling, 'weight'));
  const norm = pass.fusion.normalisedBy.get(index);
  if (norm !== undefined) {
    const { scale, offset } = normAsAffine(pass, norm);
    // A depthwise kernel [k, k, C, 1] has its output channels in the last but one axis, all others in the
    // last.
    kernel = tf.mul(kernel, layer.kind === 'depthwise' ? tf.reshape(scale, [-1, 1]) : scale);
    bias = bias === null ? offset : tf.add(tf.mul(bias, scale), offset);
  }
  return { kernel, bias };
}

/**
 * The map that a convolution reads, and its stride. A strided 1x1 reads a sampled map with stride 1, and the
 * sample begins where an absorbed crop would.
 */
function sourceOf(
  pass: Pass,
  layer: Extract<SearchLayer, { kind: 'conv' | 'depthwise' }>,
  index: number,
): { x: Tensor; stride: number } {
  const scaling = pass.fusion.scaledBy.get(index) ?? index;
  const window = pass.network.layers[scaling];
  const crop = pass.fusion.croppedBy.get(scaling);
  const input = pass.network.layers[crop ?? scaling]?.inputs[0] ?? -1;
  const x = outputOf(pass, input);
  const stride = window?.kind === 'conv' || window?.kind === 'depthwise' ? window.stride : 1;
  if (layer.kernel !== 1 || layer.padding !== 0 || stride === 1) return { x, stride };
  return { x: sample(x, stride, crop === undefined ? 0 : 1), stride: 1 };
}

/**
 * A term of a mixture, x times its op weight; unchanged where the batch norm before has multiplied the weight
 * in.
 */
function weighed(
  pass: Pass,
  layer: { readonly inputs: readonly number[] } & Mixture,
  x: Tensor,
  term: Term,
  place: number,
): Tensor {
  return pass.fusion.weighedBy.has(layer.inputs[place] ?? -1) ? x : tf.mul(x, opWeight(pass, term));
}

function opWeight(pass: Pass, { row, column }: Term): Tensor {
  const weight = pass.opWeights[row * OPS.length + column];
  if (weight === undefined) throw new Error(`no alpha for op ${column} of edge ${row} was given`);
  return weight;
}

/**
 * [A] alphas -> A tensors [1]: the softmax over the ops of each edge (DARTS, eq. 2), and for its skip connection
 * the weight of the unweighted one in addition.
 */
function opWeights(alphas: Tensor, auxiliarySkip: Tensor | undefined): Tensor[] {
  const edges = tf.reshape(alphas, [-1, OPS.length]); // [A] -> [A / 8, 8]
  const weights = tf.split(tf.reshape(tf.softmax(edges), [-1]), alphas.size);
  return auxiliarySkip === undefined
    ? weights
    : weights.map((weight, i) => (i % OPS.length === SKIP ? tf.add(weight, auxiliarySkip) : weight));
}

const SKIP = OPS.indexOf('skip_connect');

function plus(x: Tensor, bias: Tensor | null): Tensor {
  return bias === null ? x : tf.add(x, bias);
}

/** A batch norm in evaluation mode as y = scale x + offset, both [C]. */
function normAsAffine(pass: Pass, index: number): { scale: Tensor; offset: Tensor } {
  const { mean, variance } = runningOf(pass, index);
  const deviation = tf.sqrt(tf.add(variance, BATCH_NORM_EPSILON));
  const { bias } = pass.weights.get(index) ?? {};
  const weight = scaleOf(pass, index);
  const scale = weight === null ? tf.div(1, deviation) : tf.div(weight, deviation);
  const shifted = tf.mul(mean, scale);
  return { scale, offset: bias === undefined ? tf.neg(shifted) : tf.sub(bias, shifted) };
}

/** Runs a batch norm that is part of no other operation; in training mode its statistics go to the result. */
function runBatchNorm(pass: Pass, index: number, x: Tensor): Tensor {
  const { bias = null } = pass.weights.get(index) ?? {};
  const weight = scaleOf(pass, index);
  if (pass.running !== undefined) {
    const { mean, variance } = runningOf(pass, index);
    return batchNormEval(x, mean, variance, weight, bias, BATCH_NORM_EPSILON);
  }
  const { y, mean, variance } = batchNormTrain(x, weight, bias, BATCH_NORM_EPSILON);
  pass.statistics.push(mean, variance);
  return y;
}

/** Scale [C] of a batch norm: its own, or the op weight of the mixture that reads it, or null. */
function scaleOf(pass: Pass, index: number): Tensor | null {
  const term = pass.fusion.weighedBy.get(index);
  if (term === undefined) return pass.weights.get(index)?.weight ?? null;
  return tf.mul(tf.ones([pass.network.layers[index]?.shape.channels ?? 0]), opWeight(pass, term));
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

/** Tensors by layer and role. */
function byLayer(slots: readonly Slot[], tensors: readonly Tensor[]): Map<number, LayerTensors> {
  const layers = new Map<number, LayerTensors>();
  slots.forEach((slot, i) => {
    const tensor = tensors[i];
    if (tensor !== undefined) layers.set(slot.layer, { ...layers.get(slot.layer), [slot.role]: tensor });
  });
  return layers;
}
