// Synflow of a network at given weights (Tanaka et al., "Pruning neural networks without any data by
// iteratively conserving synaptic flow", 2020, eq. 3; as a score of architectures: Abdelfattah et al.,
// "Zero-cost proxies for lightweight NAS", 2021). The network is made linear: absolute weights, no batch
// norm, an image of ones. With R the sum of its outputs, the score is the sum over all weights of convolutions
// and linear layers of w dR/dw.
//
// A sum of w dR/dw is the derivative of R when all these weights are scaled together, so one forward pass that
// carries each value with its derivative for that scale gives the score, without a backward pass. Everything
// is positive, hence no difference is ever taken and nothing cancels. R grows by an order of magnitude with
// each layer, so a map holds its values divided by a power of two, and the score is a logarithm.
//
// Legend: H x W map, C channels in and O out; a map is [2, H, W, C]: values, then derivatives.

import { FleetError } from '../errors.ts';
import type { Layout, Slot } from '../nn/layout.ts';
import type { Layer, Network } from '../nn/network.ts';
import {
  addInto,
  averages,
  depthwise,
  flatten,
  grouped,
  maxima,
  pointwise,
  takeFrom,
} from './flow-kernels.ts';

/** A map of the linear network. What it means is its numbers times 2^exponent. */
export interface Flow {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** [2, H, W, C]: values, then derivatives; all at least 0. */
  readonly numbers: Float64Array;
  readonly exponent: number;
}

/**
 * Natural logarithm of the score. Higher is better. Weights [P] in the layout's order; a head after the
 * backbone is not read. `outOfRange` where the weights are not finite or let nothing through.
 */
export function synflow(network: Network, layout: Layout, weights: Float32Array): number {
  const slots = new Map(layout.parameters.map((slot) => [`${slot.layer}/${slot.role}`, slot]));
  const absolute = (layer: number, role: Slot['role']): Float64Array | undefined => {
    const slot = slots.get(`${layer}/${role}`);
    return slot && absoluteOf(weights.subarray(slot.offset, slot.offset + slot.size));
  };
  const lastUse = lastUses(network);
  const flows: (Flow | undefined)[] = [];
  network.layers.forEach((layer, index) => {
    const inputs = layer.inputs.map((input) => flows[input]!);
    flows[index] = run(layer, inputs, (role) => absolute(index, role));
    for (const input of layer.inputs) if (lastUse.get(input) === index) flows[input] = undefined;
  });
  const { numbers, exponent } = flows[network.output]!;
  const score = sum(numbers.subarray(numbers.length / 2));
  if (!(score > 0 && Number.isFinite(score)))
    throw new FleetError(
      'outOfRange',
      'synflow is not finite: the weights are not, or no path leads to the output',
    );
  return Math.log(score) + exponent * Math.LN2;
}

function run(
  layer: Layer,
  inputs: readonly Flow[],
  absolute: (role: 'weight' | 'bias') => Float64Array | undefined,
): Flow {
  const { height, width, channels } = layer.shape;
  const first = inputs[0]!;
  const empty = () => new Float64Array(2 * height * width * channels);
  const made = (numbers: Float64Array, exponent = first?.exponent ?? 0): Flow => ({
    height,
    width,
    channels,
    numbers,
    exponent,
  });
  switch (layer.kind) {
    case 'input':
      return made(empty().fill(1, 0, height * width * channels));
    // A PReLU is the identity for positive values.
    case 'batchNorm':
    case 'prelu':
      return first;
    case 'conv': {
      const weights = absolute('weight')!;
      const whole = layer.kernel === 1 && layer.stride === 1 && layer.padding === 0 && layer.groups === 1;
      const into = empty();
      if (whole) pointwise(first.numbers, weights, first.channels, into);
      else grouped(first, weights, layer, layer.shape, into);
      return scaled(made(withWeights(into)));
    }
    case 'depthwise': {
      const into = empty();
      depthwise(first, absolute('weight')!, layer, layer.shape, into);
      return scaled(made(withWeights(into)));
    }
    case 'linear': {
      const into = empty();
      pointwise(first.numbers, absolute('weight')!, first.channels, into);
      withWeights(into);
      // A bias is added to the values and has no part in the score.
      absolute('bias')?.forEach((bias, channel) => {
        into[channel]! += bias * 2 ** -first.exponent;
      });
      return scaled(made(into));
    }
    case 'maxPool':
    case 'avgPool': {
      const into = empty();
      (layer.kind === 'maxPool' ? maxima : averages)(first, layer, layer.shape, into);
      return made(into);
    }
    case 'crop': {
      const into = empty();
      takeFrom(first, layer.shape, into);
      return made(into);
    }
    case 'add':
    case 'concat': {
      const exponent = Math.max(...inputs.map((input) => input.exponent));
      const into = empty();
      let channel = 0;
      for (const input of inputs) {
        addInto(into, channels, channel, input, 2 ** (input.exponent - exponent));
        if (layer.kind === 'concat') channel += input.channels;
      }
      return made(into, exponent);
    }
    case 'flatten': {
      const into = empty();
      flatten(first, into);
      return made(into);
    }
  }
}

/** Adds the derivative for the scale of the layer's own weights, which is its output. */
function withWeights(numbers: Float64Array): Float64Array {
  const half = numbers.length / 2;
  for (let i = 0; i < half; i++) numbers[half + i]! += numbers[i]!;
  return numbers;
}

/**
 * The same map with numbers of about 1 at most, unless they are small enough. Powers of two round nothing.
 * Derivatives decide: after a layer with weights none is below its value.
 */
function scaled(flow: Flow): Flow {
  const { numbers } = flow;
  let largest = 0;
  for (let i = numbers.length / 2; i < numbers.length; i++) if (numbers[i]! > largest) largest = numbers[i]!;
  if (!(largest > LARGEST && Number.isFinite(largest))) return flow;
  const by = Math.ceil(Math.log2(largest));
  const factor = 2 ** -by;
  return { ...flow, numbers: numbers.map((number) => number * factor), exponent: flow.exponent + by };
}

/** Far below what a layer could make of it that overflows, and rarely reached. */
const LARGEST = 2 ** 200;

function sum(values: Float64Array): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

function absoluteOf(values: Float32Array): Float64Array {
  const sizes = new Float64Array(values.length);
  for (let i = 0; i < values.length; i++) sizes[i] = Math.abs(values[i]!);
  return sizes;
}

/** By layer: the last one that reads it. A network of many layers would need gigabytes otherwise. */
function lastUses({ layers, output }: Network): Map<number, number> {
  const last = new Map<number, number>();
  layers.forEach((layer, index) => {
    for (const input of layer.inputs) last.set(input, index);
  });
  last.delete(output);
  return last;
}
