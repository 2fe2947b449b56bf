// A trained network as the steps that a runtime executes for inference, with their constants. Decides what is
// folded: a batch norm into the convolution or linear layer before it, and a 1x1 depthwise convolution into
// the pointwise one behind it.
//
// With y = W x + b and batch norm g (y - m) / sqrt(v + e) + o, the folded layer has weights W s and bias (b -
// m) s + o, where s = g / sqrt(v + e) for each output channel. Folding is in double precision and rounded
// once. Pure; no step depends on the format that it is written in.

import { type Fusion, fusionOf } from '../nn/fuse.ts';
import type { Layout, Slot } from '../nn/layout.ts';
import type { Layer, Network, Shape } from '../nn/network.ts';
import { toTorch } from './export.ts';

/** PyTorch's default for every batch norm of the reference. */
export const EPSILON = 1e-5;

export type Step = {
  /** Name of the layer in the network. */
  readonly name: string;
  /** Layers (of the network) whose outputs it reads. */
  readonly inputs: readonly number[];
  /** Layers whose output it is: its own, and a batch norm folded into it. */
  readonly outputs: readonly number[];
  readonly shape: Shape;
} & (
  | {
      readonly kind: 'conv' | 'depthwise';
      readonly kernel: Constant;
      readonly bias: Float32Array | undefined;
      readonly size: number;
      readonly stride: number;
      readonly padding: number;
      /** Of a depthwise convolution: its channels. */
      readonly groups: number;
    }
  | { readonly kind: 'linear'; readonly kernel: Constant; readonly bias: Float32Array | undefined }
  | {
      readonly kind: 'batchNorm';
      readonly scale: Float32Array;
      readonly shift: Float32Array;
      readonly mean: Float32Array;
      readonly variance: Float32Array;
    }
  | { readonly kind: 'prelu'; readonly slopes: Float32Array }
  | {
      readonly kind: 'maxPool' | 'avgPool';
      readonly size: number;
      readonly stride: number;
      readonly padding: number;
    }
  /** Without the first row and column. */
  | { readonly kind: 'crop' }
  | { readonly kind: 'add' }
  | { readonly kind: 'concat' }
  /** To channel, row, column order. */
  | { readonly kind: 'flatten' }
);

/**
 * A kernel in both layouts that formats want: [height, width, in, out] and [out, in, height, width], or [in,
 * out] and [out, in].
 */
export interface Constant {
  readonly data: Float32Array;
  readonly shape: readonly number[];
  readonly torchShape: readonly number[];
  torch(): Float32Array;
}

export interface TrainedNetwork {
  readonly network: Network;
  readonly layout: Layout;
  /** Backbone parameters in layout order; a head after them is ignored. */
  readonly weights: Float32Array;
  readonly running: Float32Array;
}

/** In an order in which each reads only earlier ones; layer 0 is the input. */
export function inferenceSteps(model: TrainedNetwork): Step[] {
  const fusion = fusionOf(model.network, 'eval');
  const values = valuesByLayer(model);
  const absorbed = new Set([...fusion.scaledBy.values(), ...fusion.normalisedBy.values()]);
  return model.network.layers.flatMap((layer, index) =>
    index === 0 || absorbed.has(index) ? [] : [stepOf({ model, fusion, values, layer, index })],
  );
}

type Role = Slot['role'];
/** Values of each layer's slots. */
type Values = ReadonlyMap<number, Partial<Record<Role, { slot: Slot; data: Float32Array }>>>;

interface Context {
  readonly model: TrainedNetwork;
  readonly fusion: Fusion;
  readonly values: Values;
  readonly layer: Layer;
  readonly index: number;
}

function stepOf(context: Context): Step {
  const { layer, index } = context;
  const common = { name: layer.name, inputs: layer.inputs, outputs: [index], shape: layer.shape };
  switch (layer.kind) {
    case 'input':
      throw new Error('the input is no step');
    case 'conv':
    case 'depthwise':
    case 'linear':
      return weighted(context, layer);
    case 'batchNorm':
      return { ...common, kind: 'batchNorm', ...norm(context, index) };
    case 'prelu':
      return { ...common, kind: 'prelu', slopes: slotOf(context, index, 'weight').data };
    case 'maxPool':
    case 'avgPool':
      return { ...common, kind: layer.kind, ...windowOf(layer) };
    case 'crop':
    case 'add':
    case 'concat':
    case 'flatten':
      return { ...common, kind: layer.kind };
  }
}

function weighted(context: Context, layer: Extract<Layer, { kind: 'conv' | 'depthwise' | 'linear' }>): Step {
  const { fusion, index, model } = context;
  const { slot, data } = slotOf(context, index, 'weight');
  const kernel = Float64Array.from(data);
  let bias: Float64Array | undefined;
  if (layer.kind === 'linear' && layer.bias) bias = Float64Array.from(slotOf(context, index, 'bias').data);
  const scaling = fusion.scaledBy.get(index);
  if (scaling !== undefined) scaleInputs(kernel, slotOf(context, scaling, 'weight').data);
  const normed = fusion.normalisedBy.get(index);
  if (normed !== undefined) bias = foldNorm(kernel, bias, norm(context, normed));
  const common = {
    name: layer.name,
    inputs: scaling === undefined ? layer.inputs : (model.network.layers[scaling]?.inputs ?? []),
    outputs: normed === undefined ? [index] : [index, normed],
    shape: layer.shape,
    kernel: constant(slot, Float32Array.from(kernel)),
    bias: bias && Float32Array.from(bias),
  };
  if (layer.kind === 'linear') return { ...common, kind: 'linear' };
  const source = scaling === undefined ? layer : model.network.layers[scaling];
  const stride = source?.kind === 'depthwise' || source?.kind === 'conv' ? source.stride : layer.stride;
  const groups = layer.kind === 'depthwise' ? layer.shape.channels : layer.groups;
  return { ...common, kind: layer.kind, ...windowOf(layer), stride, groups };
}

/** kernel [1, 1, C, Co] times scale [C]. */
function scaleInputs(kernel: Float64Array, scale: Float32Array): void {
  const outputs = kernel.length / scale.length;
  for (let i = 0; i < kernel.length; i++) kernel[i]! *= scale[Math.floor(i / outputs)]!;
}

/** The output channel is the last axis of every kernel here, depthwise ones ([h, w, C, 1]) included. */
function foldNorm(kernel: Float64Array, bias: Float64Array | undefined, norms: Norm): Float64Array {
  const channels = norms.scale.length;
  const factors = Float64Array.from(
    norms.scale,
    (scale, c) => scale / Math.sqrt(norms.variance[c]! + EPSILON),
  );
  for (let i = 0; i < kernel.length; i++) kernel[i]! *= factors[i % channels]!;
  return factors.map((factor, c) => norms.shift[c]! + ((bias?.[c] ?? 0) - norms.mean[c]!) * factor);
}

type Norm = Pick<Extract<Step, { kind: 'batchNorm' }>, 'scale' | 'shift' | 'mean' | 'variance'>;

function norm(context: Context, index: number): Norm {
  const { weight, bias, running_mean, running_var } = context.values.get(index) ?? {};
  const mean = running_mean?.data ?? slotOf(context, index, 'running_mean').data;
  return {
    scale: weight?.data ?? new Float32Array(mean.length).fill(1),
    shift: bias?.data ?? new Float32Array(mean.length),
    mean,
    variance: running_var?.data ?? slotOf(context, index, 'running_var').data,
  };
}

function windowOf(layer: { kernel: number; stride: number; padding: number }) {
  return { size: layer.kernel, stride: layer.stride, padding: layer.padding };
}

function constant(slot: Slot, data: Float32Array): Constant {
  const { shape, torchShape } = slot;
  return { data, shape, torchShape, torch: () => toTorch({ ...slot, offset: 0 }, data) };
}

function slotOf({ values, model }: Context, index: number, role: Role) {
  const value = values.get(index)?.[role];
  if (value === undefined)
    throw new Error(`${model.network.layers[index]?.name}.${role} is not in the layout`);
  return value;
}

function valuesByLayer({ layout, weights, running }: TrainedNetwork): Values {
  const values = new Map<number, Partial<Record<Role, { slot: Slot; data: Float32Array }>>>();
  const add = (slots: readonly Slot[], vector: Float32Array) => {
    for (const slot of slots) {
      const data = vector.subarray(slot.offset, slot.offset + slot.size);
      values.set(slot.layer, { ...values.get(slot.layer), [slot.role]: { slot, data } });
    }
  };
  add(layout.parameters, weights);
  add(layout.running, running);
  return values;
}
