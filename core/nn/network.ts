// What a network is: a plain list of layers in evaluation order, without any tensor library. Parameter
// layout, counts, initial weights, names in files (a layer's name is its module name in the reference's
// state_dict) and the forward pass all follow from this list. Decides which operations a list may hold and
// how a layer's output shape follows from its inputs.

import { FleetError } from '../errors.ts';
import type { NetworkSpec } from '../spec/network.ts';

/** Output of a layer for one image; a flattened output has height and width 1. */
export interface Shape {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/** Images are 112x112 RGB. The size is fixed because the networks' 7x7 global convolution has no padding. */
export const IMAGE: Shape = { height: 112, width: 112, channels: 3 };

/** A square window, in pixels. Padding is symmetric, as in PyTorch, and never TensorFlow's "same". */
interface Window {
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}

/** What a layer computes. */
export type Operation =
  /** The normalised images: layer 0 and no other. */
  | { readonly kind: 'input' }
  /** Convolution without bias; groups > 1 splits input and output channels evenly. */
  | ({ readonly kind: 'conv'; readonly groups: number; readonly channelsIn: number } & Window)
  /** One filter a channel. */
  | ({ readonly kind: 'depthwise' } & Window)
  /**
   * Epsilon is 1e-5. Without `affine` it has no scale and shift; a frozen scale keeps its initial value (the
   * teacher's last layer).
   */
  | { readonly kind: 'batchNorm'; readonly affine: boolean; readonly frozenScale: boolean }
  /** One slope a channel. */
  | { readonly kind: 'prelu' }
  /** Padding counts as minus infinity. */
  | ({ readonly kind: 'maxPool' } & Window)
  /** Padding is excluded from the divisor. */
  | ({ readonly kind: 'avgPool' } & Window)
  /** Cuts off the first row and the first column (branch B of a factorised reduction). */
  | { readonly kind: 'crop' }
  | { readonly kind: 'add' }
  /** Along the channels, in the order of the inputs. */
  | { readonly kind: 'concat' }
  /** To a vector in channel, row, column order, whatever the memory layout of the map. */
  | { readonly kind: 'flatten' }
  | { readonly kind: 'linear'; readonly channelsIn: number; readonly bias: boolean };

/** The alpha that weighs one input of a mixture: row (an edge) and column (an op, as in OPS). */
export interface Term {
  readonly row: number;
  readonly column: number;
}

/**
 * The mixture at a node of a search network (DARTS, eq. 2): the sum over all ops on all edges of input i
 * times the softmax, over the eight ops of its edge, of the alpha that terms[i] names. It is no Operation, so
 * that the types keep it out of exports and deployed networks.
 */
export interface Mixture {
  readonly kind: 'mix';
  readonly terms: readonly Term[];
}

export type SearchOperation = Operation | Mixture;

/** A layer's name, inputs and output shape. */
interface Place {
  /** Module name in the reference's state_dict where the layer has parameters; unique in the network. */
  readonly name: string;
  /** The part of the network that tables count it under: stem, cells.3, layer2.0, tail. */
  readonly module: string;
  /** Indices of earlier layers. */
  readonly inputs: readonly number[];
  readonly shape: Shape;
}

export type Layer = Place & Operation;
export type SearchLayer = Place & SearchOperation;

/** Any network, a search network too: enough for counts, layouts and the forward pass. */
export interface LayerGraph {
  readonly spec: { readonly kind: string };
  readonly layers: readonly SearchLayer[];
  /** The layer whose output, flattened, is the result. */
  readonly output: number;
  /** Length E of the embedding. */
  readonly embedding: number;
}

export interface Network extends LayerGraph {
  /** Complete description, genotype included; two equal specs are the same network. */
  readonly spec: NetworkSpec;
  readonly layers: readonly Layer[];
}

/** Takes layers of the kinds O, one after the other. */
export interface LayerSink<O extends SearchOperation = Operation> {
  /**
   * Appends a layer and returns its index. `channels` is given for operations that choose their output
   * channels.
   */
  add(layer: {
    name: string;
    module: string;
    inputs: readonly number[];
    operation: O;
    channels?: number;
  }): number;
  /** Output of a layer added before. */
  shapeOf(index: number): Shape;
}

export interface Builder<O extends SearchOperation = Operation> extends LayerSink<O> {
  readonly layers: readonly (Place & O)[];
}

export function createBuilder<O extends SearchOperation = Operation>(): Builder<O> {
  const input: Place & { kind: 'input' } = {
    name: 'input',
    module: 'input',
    inputs: [],
    shape: IMAGE,
    kind: 'input',
  };
  // The first layer is the input whatever kinds O has, which the type cannot express.
  const layers = [input as unknown as Place & O];
  const names = new Set(['input']);
  const shapeOf = (index: number): Shape => {
    const layer = layers[index];
    if (!layer) throw new FleetError('internal', `network has no layer ${index}`);
    return layer.shape;
  };
  return {
    layers,
    shapeOf,
    add({ name, module, inputs, operation, channels }) {
      if (names.has(name)) throw new FleetError('internal', `network has two layers called ${name}`);
      names.add(name);
      const shape = outputShape({ name, operation, inputs: inputs.map(shapeOf), channels });
      layers.push({ name, module, inputs, shape, ...operation });
      return layers.length - 1;
    },
  };
}

function outputShape(options: {
  name: string;
  operation: SearchOperation;
  inputs: readonly Shape[];
  channels: number | undefined;
}): Shape {
  const { name, operation, inputs } = options;
  const first = inputs[0] ?? IMAGE;
  const channels = options.channels ?? first.channels;
  switch (operation.kind) {
    case 'input':
    case 'batchNorm':
    case 'prelu':
      return first;
    case 'conv':
    case 'depthwise':
    case 'maxPool':
    case 'avgPool':
      return {
        height: slide(name, first.height, operation),
        width: slide(name, first.width, operation),
        channels,
      };
    case 'crop':
      return { height: first.height - 1, width: first.width - 1, channels: first.channels };
    case 'add':
    case 'mix':
      if (inputs.some((shape) => !sameShape(shape, first)))
        throw new FleetError(
          'internal',
          `${name} adds maps of different shapes: ${inputs.map(shapeText).join(', ')}`,
        );
      return first;
    case 'concat':
      if (inputs.some((shape) => shape.height !== first.height || shape.width !== first.width))
        throw new FleetError(
          'internal',
          `${name} joins maps of different sizes: ${inputs.map(shapeText).join(', ')}`,
        );
      return { ...first, channels: inputs.reduce((sum, shape) => sum + shape.channels, 0) };
    case 'flatten':
      return { height: 1, width: 1, channels: first.height * first.width * first.channels };
    case 'linear':
      return { height: 1, width: 1, channels };
  }
}

/** Output length of a window over one side of a map. */
function slide(name: string, size: number, { kernel, stride, padding }: Window): number {
  const out = Math.floor((size + 2 * padding - kernel) / stride) + 1;
  if (out < 1)
    throw new FleetError(
      'invalidArgument',
      `${name}: a ${kernel}x${kernel} window does not fit a map of ${size} pixels; use fewer reductions`,
    );
  return out;
}

function sameShape(a: Shape, b: Shape): boolean {
  return a.height === b.height && a.width === b.width && a.channels === b.channels;
}

/** Channels x height x width, as the reference prints it. */
export function shapeText(shape: Shape): string {
  return `${shape.channels}x${shape.height}x${shape.width}`;
}
