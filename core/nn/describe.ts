// Exact counts of a network: parameters, floating point operations in the convention of the PocketNet
// authors, and multiply-adds. They equal the published figures to the digit, and constraints of a search are
// checked with them before a candidate is trained.
//
// The authors' convention (reference facts 3.3): convolution and linear layers count 2 operations a
// multiply-add, batch norm 2 an input element, PReLU 1 an input element, pooling k * k an output element,
// sums and concatenations nothing. Other papers print multiply-adds under the same heading, so figures
// compare only after conversion.

import { type LayerGraph, type SearchLayer, type Shape, shapeText } from './network.ts';

/** Costs of a network or a layer, for one image. */
export interface Counts {
  /** Number of parameters, frozen ones included, running statistics not. */
  readonly parameters: number;
  /** Millions of floating point operations in the authors' convention. */
  readonly mflops: number;
  /** Multiply-adds of the forward pass; not in millions. */
  readonly multiplyAdds: number;
}

/** One layer of the table, in network order. */
export interface Row extends Counts {
  readonly name: string;
  readonly module: string;
  readonly kind: SearchLayer['kind'];
  /** Channels x height x width. */
  readonly output: string;
}

/** All counts of a network. */
export interface Description extends Counts {
  /** Number of running statistics, which are not parameters. */
  readonly runningValues: number;
  readonly rows: readonly Row[];
  /** Layers summed by module: stem, cells, head. `output` is that of the module's last layer. */
  readonly modules: readonly (Counts & { readonly module: string; readonly output: string })[];
}

/** Counts every layer of a network; the input layer is no row. */
export function describe(network: LayerGraph): Description {
  const rows = network.layers.slice(1).map((layer) => rowOf(layer, inputShape(network, layer)));
  return {
    ...total(rows),
    runningValues: network.layers.reduce((sum, layer) => sum + runningValues(layer), 0),
    rows,
    modules: modulesOf(rows),
  };
}

/** Number of parameters of one layer, trainable and frozen. */
export function parametersOf(layer: SearchLayer): number {
  const { channels } = layer.shape;
  switch (layer.kind) {
    case 'conv':
      return (layer.kernel ** 2 * layer.channelsIn * channels) / layer.groups;
    case 'depthwise':
      return layer.kernel ** 2 * channels;
    case 'linear':
      return layer.channelsIn * channels + (layer.bias ? channels : 0);
    case 'batchNorm':
      return layer.affine ? 2 * channels : 0;
    case 'prelu':
      return channels;
    default:
      return 0;
  }
}

function rowOf(layer: SearchLayer, input: Shape): Row {
  const multiplyAdds = multiplyAddsOf(layer);
  return {
    name: layer.name,
    module: layer.module,
    kind: layer.kind,
    output: shapeText(layer.shape),
    parameters: parametersOf(layer),
    mflops: (2 * multiplyAdds + elementwiseFlops(layer, input)) / 1e6,
    multiplyAdds,
  };
}

function multiplyAddsOf(layer: SearchLayer): number {
  const outputs = elements(layer.shape);
  switch (layer.kind) {
    case 'conv':
      return (layer.kernel ** 2 * layer.channelsIn * outputs) / layer.groups;
    case 'depthwise':
      return layer.kernel ** 2 * outputs;
    case 'linear':
      return layer.channelsIn * outputs;
    default:
      return 0;
  }
}

function elementwiseFlops(layer: SearchLayer, input: Shape): number {
  switch (layer.kind) {
    case 'batchNorm':
      return 2 * elements(input);
    case 'prelu':
      return elements(input);
    case 'maxPool':
    case 'avgPool':
      return layer.kernel ** 2 * elements(layer.shape);
    default:
      return 0;
  }
}

function runningValues(layer: SearchLayer): number {
  return layer.kind === 'batchNorm' ? 2 * layer.shape.channels : 0;
}

function modulesOf(rows: readonly Row[]): Description['modules'] {
  const groups = new Map<string, Row[]>();
  for (const row of rows) groups.set(row.module, [...(groups.get(row.module) ?? []), row]);
  return [...groups].map(([module, group]) => ({
    module,
    output: group.at(-1)?.output ?? '',
    ...total(group),
  }));
}

/** Sums integers and divides once at the end, so that the printed digits are those of the integer. */
function total(rows: readonly Row[]): Counts {
  const sum = (value: (row: Row) => number): number => rows.reduce((all, row) => all + value(row), 0);
  return {
    parameters: sum((row) => row.parameters),
    mflops: sum((row) => Math.round(row.mflops * 1e6)) / 1e6,
    multiplyAdds: sum((row) => row.multiplyAdds),
  };
}

function inputShape(network: LayerGraph, layer: SearchLayer): Shape {
  return network.layers[layer.inputs[0] ?? 0]?.shape ?? layer.shape;
}

function elements(shape: Shape): number {
  return shape.height * shape.width * shape.channels;
}
