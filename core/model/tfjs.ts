// Writes a trained network in TensorFlow.js' graph-model format: model.json and weight shards, for
// tf.loadGraphModel. Input `input` [N, 112, 112, 3] float32 normalised by the caller, output `embedding` [N,
// E], raw. Only operations and paddings that every TensorFlow.js backend has (no explicit padding in a
// convolution). Pure: the graph is JSON from the description and the weights, without TensorFlow.

import { FleetError } from '../errors.ts';
import { canonicalJson } from '../spec/canonical-json.ts';
import { EPSILON, inferenceSteps, type Step, type TrainedNetwork } from './inference.ts';
import { graphMetadata } from './preprocessing.ts';

/** Small enough to be cached by browsers, as TensorFlow's own converter cuts them. */
const SHARD_BYTES = 4 * 1024 * 1024;

/**
 * The most negative float32, which a maximum never picks. Infinity would become NaN where a backend
 * multiplies by masks.
 */
const LOWEST = -3.4028234663852886e38;

export interface ModelFile {
  /** Path inside the model's folder. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

export function exportTfjs(
  model: TrainedNetwork & { readonly metadata?: Readonly<Record<string, string>> },
): ModelFile[] {
  const { network } = model;
  const graph = createGraph();
  graph.node('Placeholder', 'input', [], { dtype: FLOAT, shape: shapeOf([-1, 112, 112, 3]) });
  const values = new Map([[0, 'input']]);
  const channels = (layer: number) => network.layers[layer]!.shape;
  for (const step of inferenceSteps(model)) {
    const inputs = step.inputs.map((layer) => nameOf(values, layer));
    const output = addStep(graph, step, { inputs, first: channels(step.inputs[0]!) });
    for (const layer of step.outputs) values.set(layer, output);
  }
  const flat = graph.integers('embedding.shape', [-1, network.embedding]);
  graph.node('Reshape', 'embedding', [nameOf(values, network.output), flat], FLOATS);
  return filesOf(graph, {
    format: 'graph-model',
    generatedBy: 'pocketfleet',
    convertedBy: null,
    signature: {
      inputs: { input: signature('input', [-1, 112, 112, 3]) },
      outputs: { embedding: signature('embedding', [-1, network.embedding]) },
    },
    userDefinedMetadata: graphMetadata(network.spec, 'rows', model.metadata),
  });
}

interface Weight {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: 'float32' | 'int32';
  readonly data: Float32Array | Int32Array;
}

interface Graph {
  readonly nodes: { name: string; op: string; input: string[]; attr: Record<string, unknown> }[];
  readonly weights: Weight[];
  /** Each appends a node and returns its name. */
  node(op: string, name: string, inputs: readonly string[], attr?: Readonly<Record<string, unknown>>): string;
  floats(name: string, data: Float32Array, shape: readonly number[]): string;
  integers(name: string, values: readonly number[], shape?: readonly number[]): string;
}

const FLOAT = { type: 'DT_FLOAT' };
const FLOATS = { T: FLOAT };

function createGraph(): Graph {
  const nodes: Graph['nodes'] = [];
  const weights: Weight[] = [];
  const constant = (weight: Weight): string => {
    weights.push(weight);
    const dtype = { type: weight.dtype === 'float32' ? 'DT_FLOAT' : 'DT_INT32' };
    // The value itself is in the shards, found by the node's name.
    nodes.push({
      name: weight.name,
      op: 'Const',
      input: [],
      attr: { dtype, value: { tensor: { dtype: dtype.type, tensorShape: shapeOf(weight.shape).shape } } },
    });
    return weight.name;
  };
  return {
    nodes,
    weights,
    node(op, name, inputs, attr = FLOATS) {
      nodes.push({ name, op, input: [...inputs], attr });
      return name;
    },
    floats: (name, data, shape) => constant({ name, data, shape, dtype: 'float32' }),
    integers: (name, values, shape = [values.length]) =>
      constant({ name, data: Int32Array.from(values), shape, dtype: 'int32' }),
  };
}

interface Sources {
  readonly inputs: readonly string[];
  /** Of one image, of the first input. */
  readonly first: { readonly height: number; readonly width: number; readonly channels: number };
}

function addStep(graph: Graph, step: Step, sources: Sources): string {
  const { name } = step;
  const input = sources.inputs[0]!;
  switch (step.kind) {
    case 'conv':
    case 'depthwise':
      return addConvolution(graph, step, input);
    case 'linear': {
      const kernel = graph.floats(`${name}/kernel`, step.kernel.data, step.kernel.shape);
      const attr = { ...FLOATS, transpose_a: { b: false }, transpose_b: { b: false } };
      return addBias(graph, step, graph.node('MatMul', plainName(step), [input, kernel], attr));
    }
    case 'batchNorm':
      return addNorm(graph, step, input);
    case 'prelu': {
      // Broadcast over whatever lies before the channels.
      const slopes = graph.floats(`${name}/slopes`, step.slopes, [1, 1, step.slopes.length]);
      return graph.node('Prelu', name, [input, slopes]);
    }
    case 'maxPool':
      return addPool(graph, 'MaxPool', step, padded(graph, step, input, LOWEST), name);
    case 'avgPool':
      return addAverage(graph, step, input, sources.first);
    case 'crop': {
      const from = graph.integers(`${name}/from`, [0, 1, 1, 0]);
      const size = graph.integers(`${name}/size`, [-1, -1, -1, -1]);
      return graph.node('Slice', name, [input, from, size], { ...FLOATS, Index: INT });
    }
    case 'add':
      return graph.node('AddV2', name, sources.inputs);
    case 'concat': {
      const axis = graph.integers(`${name}/axis`, [3], []);
      const attr = { ...FLOATS, N: { i: sources.inputs.length }, Tidx: INT };
      return graph.node('ConcatV2', name, [...sources.inputs, axis], attr);
    }
    case 'flatten':
      return addFlatten(graph, step, input);
  }
}

type StepOf<K extends Step['kind']> = Extract<Step, { kind: K }>;

function addConvolution(graph: Graph, step: StepOf<'conv' | 'depthwise'>, input: string): string {
  const { name, kind } = step;
  if (kind === 'conv' && step.groups !== 1)
    throw new FleetError(
      'unimplemented',
      `${name}: TensorFlow.js has no convolution in ${step.groups} groups; export ONNX`,
    );
  const kernel = graph.floats(`${name}/kernel`, step.kernel.data, step.kernel.shape);
  const window = padded(graph, step, input, 0);
  const op = kind === 'conv' ? 'Conv2D' : 'DepthwiseConv2dNative';
  const attr = { ...FLOATS, ...window.attr, dilations: list([1, 1, 1, 1]) };
  return addBias(graph, step, graph.node(op, plainName(step), [window.input, kernel], attr));
}

/** A layer's name is that of its last node; before a bias the node has another. */
const plainName = (step: { name: string; bias: Float32Array | undefined }): string =>
  step.bias === undefined ? step.name : `${step.name}/plain`;

function addBias(
  graph: Graph,
  step: { name: string; bias: Float32Array | undefined },
  plain: string,
): string {
  const { name, bias } = step;
  if (bias === undefined) return plain;
  return graph.node('BiasAdd', name, [plain, graph.floats(`${name}/bias`, bias, [bias.length])], {
    ...FLOATS,
    data_format: text('NHWC'),
  });
}

function addNorm(graph: Graph, step: StepOf<'batchNorm'>, input: string): string {
  const parts = (['scale', 'shift', 'mean', 'variance'] as const).map((part) =>
    graph.floats(`${step.name}/${part}`, step[part], [step[part].length]),
  );
  const attr = {
    ...FLOATS,
    U: FLOAT,
    epsilon: { f: EPSILON },
    is_training: { b: false },
    data_format: text('NHWC'),
  };
  return graph.node('FusedBatchNormV3', step.name, [input, ...parts], attr);
}

interface Window {
  readonly input: string;
  readonly attr: Record<string, unknown>;
}

/**
 * TensorFlow pads symmetrically only by "SAME" at stride 1 (and its pools then ignore the padding, as
 * PyTorch's do); at stride 2 that would pad right and bottom alone, so the map is padded by a node of its
 * own.
 */
function padded(
  graph: Graph,
  step: { name: string; size: number; stride: number; padding: number },
  input: string,
  value: number,
): Window {
  const { name, size, stride, padding } = step;
  const attr = (kind: 'SAME' | 'VALID') => ({
    strides: list([1, stride, stride, 1]),
    padding: text(kind),
    data_format: text('NHWC'),
  });
  if (padding === 0) return { input, attr: attr('VALID') };
  if (stride === 1 && 2 * padding === size - 1) return { input, attr: attr('SAME') };
  const widths = graph.integers(`${name}/paddings`, [0, 0, padding, padding, padding, padding, 0, 0], [4, 2]);
  const filling = graph.floats(`${name}/filling`, Float32Array.of(value), []);
  const around = graph.node('PadV2', `${name}/padded`, [input, widths, filling], {
    ...FLOATS,
    Tpaddings: INT,
  });
  return { input: around, attr: attr('VALID') };
}

function addPool(graph: Graph, op: string, step: { size: number }, window: Window, name: string): string {
  const ksize = list([1, step.size, step.size, 1]);
  return graph.node(op, name, [window.input], { ...FLOATS, ...window.attr, ksize });
}

/** Where the map was padded the zeros are in the divisor; a factor for each place takes them out again. */
function addAverage(
  graph: Graph,
  step: StepOf<'maxPool' | 'avgPool'>,
  input: string,
  first: Sources['first'],
): string {
  const { name, size } = step;
  const window = padded(graph, step, input, 0);
  if (window.input === input) return addPool(graph, 'AvgPool', step, window, name);
  const pooled = addPool(graph, 'AvgPool', step, window, `${name}/padded_mean`);
  const { height, width } = step.shape;
  const inside = (place: number, length: number): number => {
    const from = place * step.stride - step.padding;
    return Math.min(length, from + size) - Math.max(0, from);
  };
  const factors = Float32Array.from({ length: height * width }, (_, i) => {
    const [row, column] = [Math.floor(i / width), i % width];
    return size ** 2 / (inside(row, first.height) * inside(column, first.width));
  });
  return graph.node('Mul', name, [pooled, graph.floats(`${name}/factors`, factors, [1, height, width, 1])]);
}

/** Channel, row, column order is what the linear layer behind was trained on. */
function addFlatten(graph: Graph, step: StepOf<'flatten'>, input: string): string {
  const { name } = step;
  const order = graph.integers(`${name}/order`, [0, 3, 1, 2]);
  const planes = graph.node('Transpose', `${name}/planes`, [input, order], { ...FLOATS, Tperm: INT });
  const shape = graph.integers(`${name}/shape`, [-1, step.shape.channels]);
  return graph.node('Reshape', name, [planes, shape], { ...FLOATS, Tshape: INT });
}

/**
 * model.json with the graph and the list of weights, and the weights one after the other, cut into shards.
 */
function filesOf(graph: Graph, head: Record<string, unknown>): ModelFile[] {
  const total = graph.weights.reduce((sum, { data }) => sum + data.byteLength, 0);
  const all = new Uint8Array(total);
  let at = 0;
  for (const { data } of graph.weights) {
    all.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  const count = Math.max(1, Math.ceil(total / SHARD_BYTES));
  const shards = Array.from({ length: count }, (_, shard) => ({
    name: `group1-shard${shard + 1}of${count}.bin`,
    bytes: all.subarray(shard * SHARD_BYTES, (shard + 1) * SHARD_BYTES),
  }));
  const model = {
    ...head,
    modelTopology: { node: graph.nodes, library: {}, versions: { producer: 1 } },
    weightsManifest: [
      {
        paths: shards.map((shard) => shard.name),
        weights: graph.weights.map(({ name, shape, dtype }) => ({ name, shape, dtype })),
      },
    ],
  };
  return [{ name: 'model.json', bytes: new TextEncoder().encode(canonicalJson(model)) }, ...shards];
}

const INT = { type: 'DT_INT32' };
const list = (i: number[]) => ({ list: { i } });
/** Text is bytes in TensorFlow's messages, and bytes are base64 in their JSON. */
const text = (value: string) => ({ s: Buffer.from(value).toString('base64') });

function shapeOf(sizes: readonly number[]) {
  return { shape: { dim: sizes.map((size) => ({ size: String(size) })) } };
}

function signature(name: string, sizes: readonly number[]) {
  return { name: `${name}:0`, dtype: 'DT_FLOAT', tensorShape: shapeOf(sizes).shape };
}

function nameOf(values: ReadonlyMap<number, string>, layer: number): string {
  const value = values.get(layer);
  if (value === undefined) throw new Error(`layer ${layer} is read before it is written`);
  return value;
}
