// Writes a trained network as an ONNX file (opset 17) for inference. Input `input` [N, 3, 112, 112] float32,
// normalised by the caller, or bytes [N, 112, 112, 3] that the graph normalises itself; output `embedding`
// [N, E], raw. Pure: the file is made from the description and the weights, without TensorFlow.

import {
  ModelProto,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
} from '../../proto/gen/onnx/v1/model.ts';
import { EPSILON, inferenceSteps, type Step, type TrainedNetwork } from './inference.ts';
import { type GraphInput, graphMetadata } from './preprocessing.ts';

/** Opset 17 is of 2022: every runtime in use reads it. Its IR version is 8. */
const OPSET = 17;
const IR_VERSION = 8;

const TYPES = { float: 1, uint8: 2, int64: 7 } as const;
const ATTRIBUTES = { float: 1, int: 2, ints: 7 } as const;

export function exportOnnx(
  model: TrainedNetwork & {
    readonly input?: GraphInput;
    readonly metadata?: Readonly<Record<string, string>>;
  },
): Uint8Array {
  const { network, input = 'normalised' } = model;
  const graph = createGraph();
  const values = new Map([[0, addInput(graph, input)]]);
  for (const step of inferenceSteps(model)) {
    const output = addStep(
      graph,
      step,
      step.inputs.map((layer) => nameOf(values, layer)),
    );
    for (const layer of step.outputs) values.set(layer, output);
  }
  const last = nameOf(values, network.output);
  // The map has one pixel, or is a vector already; flattening is right for both.
  graph.node('Flatten', 'embedding', [last], [integer('axis', 1)]);
  const metadata = graphMetadata(network.spec, input === 'bytes' ? 'bytes' : 'planes', model.metadata);
  return ModelProto.encode({
    irVersion: IR_VERSION,
    producerName: 'pocketfleet',
    producerVersion: '',
    docString: `face embedding network, ${network.spec.kind}`,
    opsetImport: [{ domain: '', version: OPSET }],
    metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
    graph: {
      name: network.spec.kind,
      node: graph.nodes,
      initializer: graph.constants,
      input: [inputInfo(input)],
      output: [info('embedding', TYPES.float, ['N', network.embedding])],
    },
  }).finish();
}

type Attribute = NodeProto['attribute'][number];

interface Graph {
  readonly nodes: NodeProto[];
  readonly constants: TensorProto[];
  /** Appends a node and returns the name of its output. */
  node(opType: string, name: string, inputs: readonly string[], attributes?: readonly Attribute[]): string;
  /** Appends a constant and returns its name. */
  floats(name: string, data: Float32Array, shape: readonly number[]): string;
  integers(name: string, values: readonly number[]): string;
}

function createGraph(): Graph {
  const nodes: NodeProto[] = [];
  const constants: TensorProto[] = [];
  const constant = (
    name: string,
    dataType: number,
    dims: readonly number[],
    raw: ArrayBufferView,
  ): string => {
    const rawData = Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength);
    constants.push({ name, dataType, dims: [...dims], rawData });
    return name;
  };
  return {
    nodes,
    constants,
    node(opType, name, inputs, attributes = []) {
      nodes.push({ opType, name, input: [...inputs], output: [name], attribute: [...attributes] });
      return name;
    },
    floats: (name, data, shape) => constant(name, TYPES.float, shape, data),
    integers: (name, values) =>
      constant(name, TYPES.int64, [values.length], BigInt64Array.from(values, BigInt)),
  };
}

/** The value that the first layer reads: [N, 3, 112, 112], normalised. */
function addInput(graph: Graph, input: GraphInput): string {
  if (input === 'normalised') return 'input';
  const floats = graph.node('Cast', 'input.float', ['input'], [integer('to', TYPES.float)]);
  const full = graph.floats('input.255', Float32Array.of(255), []);
  const half = graph.floats('input.0.5', Float32Array.of(0.5), []);
  // In the reference's order of operations.
  const unit = graph.node('Div', 'input.unit', [floats, full]);
  const centred = graph.node('Sub', 'input.centred', [unit, half]);
  const normalised = graph.node('Div', 'input.normalised', [centred, half]);
  return graph.node('Transpose', 'input.planes', [normalised], [integers('perm', [0, 3, 1, 2])]);
}

function addStep(graph: Graph, step: Step, inputs: readonly string[]): string {
  const { name } = step;
  const { channels } = step.shape;
  const vector = (part: string, data: Float32Array): string =>
    graph.floats(`${name}.${part}`, data, [channels]);
  switch (step.kind) {
    case 'conv':
    case 'depthwise': {
      const weight = graph.floats(`${name}.weight`, step.kernel.torch(), step.kernel.torchShape);
      const bias = step.bias === undefined ? [] : [vector('bias', step.bias)];
      return graph.node(
        'Conv',
        name,
        [...inputs, weight, ...bias],
        [integer('group', step.groups), ...window(step)],
      );
    }
    case 'linear': {
      const weight = graph.floats(`${name}.weight`, step.kernel.torch(), step.kernel.torchShape);
      const bias = step.bias === undefined ? [] : [vector('bias', step.bias)];
      return graph.node('Gemm', name, [...inputs, weight, ...bias], [integer('transB', 1)]);
    }
    case 'batchNorm': {
      const parts = (['scale', 'shift', 'mean', 'variance'] as const).map((part) => vector(part, step[part]));
      return graph.node('BatchNormalization', name, [...inputs, ...parts], [real('epsilon', EPSILON)]);
    }
    case 'prelu':
      return graph.node('PRelu', name, [
        ...inputs,
        graph.floats(`${name}.weight`, step.slopes, [channels, 1, 1]),
      ]);
    case 'maxPool':
      return graph.node('MaxPool', name, inputs, window(step));
    case 'avgPool':
      return graph.node('AveragePool', name, inputs, [...window(step), integer('count_include_pad', 0)]);
    case 'crop': {
      const from = graph.integers(`${name}.from`, [1, 1]);
      const to = graph.integers(`${name}.to`, [step.shape.height + 1, step.shape.width + 1]);
      return graph.node('Slice', name, [...inputs, from, to, graph.integers(`${name}.axes`, [2, 3])]);
    }
    case 'add':
      return graph.node('Add', name, inputs);
    case 'concat':
      return graph.node('Concat', name, inputs, [integer('axis', 1)]);
    case 'flatten':
      return graph.node('Flatten', name, inputs, [integer('axis', 1)]);
  }
}

function window(step: { size: number; stride: number; padding: number }): Attribute[] {
  const { size, stride, padding } = step;
  return [
    integers('kernel_shape', [size, size]),
    integers('strides', [stride, stride]),
    integers('pads', [padding, padding, padding, padding]),
  ];
}

const NOTHING = { f: 0, i: 0, ints: [] };
const integer = (name: string, i: number): Attribute => ({ ...NOTHING, name, i, type: ATTRIBUTES.int });
const real = (name: string, f: number): Attribute => ({ ...NOTHING, name, f, type: ATTRIBUTES.float });
const integers = (name: string, ints: number[]): Attribute => ({
  ...NOTHING,
  name,
  ints,
  type: ATTRIBUTES.ints,
});

function inputInfo(input: GraphInput): ValueInfoProto {
  return input === 'bytes'
    ? info('input', TYPES.uint8, ['N', 112, 112, 3])
    : info('input', TYPES.float, ['N', 3, 112, 112]);
}

function info(name: string, elemType: number, shape: readonly (string | number)[]): ValueInfoProto {
  const dim = shape.map((size) => ({
    value:
      typeof size === 'string'
        ? ({ $case: 'dimParam', value: size } as const)
        : ({ $case: 'dimValue', value: size } as const),
  }));
  return {
    name,
    docString: '',
    type: { value: { $case: 'tensorType', value: { elemType, shape: { dim } } } },
  };
}

function nameOf(values: ReadonlyMap<number, string>, layer: number): string {
  const value = values.get(layer);
  if (value === undefined) throw new Error(`layer ${layer} is read before it is written`);
  return value;
}
