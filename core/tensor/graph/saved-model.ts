// A recording as a TensorFlow graph in SavedModel form. Declared inputs become Placeholders in0, in1, ...,
// outputs Identities out0, out1, ..., and nodes that no output needs are left out. Decides names and what may
// be a constant. Equal recordings give equal bytes, because the digest of the graph is part of a run's device
// class.

import {
  type AttrValue,
  GraphDef,
  type NodeDef,
  SavedModel,
} from '../../../proto/gen/tensorflow/v1/saved_model.ts';
import { sha256Hex } from '../../digest.ts';
import { FleetError } from '../../errors.ts';
import { DT } from '../ops/kernels.ts';
import { liveNodes } from '../recording/consumers.ts';
import type { Constant, Edge, RecordedNode, Recording } from '../recording/record.ts';
import { type Binding, nativeBackend, type OpAttribute } from '../tf.ts';

/** Whether an input is the sizes of a SplitV: one number for each parameter of a network, and never data. */
const isStructure = (op: string, position: number) => op === 'SplitV' && position === 1;

/**
 * Most values of a constant. A longer one was captured by accident: data or weights that belong among the
 * inputs. Shapes, axes and pooling corrections stay far below; one value repeated counts as one.
 */
const CONSTANT_VALUES_MAX = 512;

/** Version of the GraphDef's dialect: that of TensorFlow 2.9, from which tfjs-node's operations are. */
const PRODUCER = 1087;

/** Oldest library that may read the graph; as TensorFlow writes it into SavedModels. */
const MIN_CONSUMER = 12;

/** A graph, not yet on disk. */
export interface SavedGraph {
  /** The file that the bytes are for; saved_model.pb without it. */
  readonly content?: 'saved_model.pb' | 'modules.json' | 'program.bin';
  readonly bytes: Uint8Array;
  /** SHA-256 of the GraphDef, or of the modules; part of a run's device class. */
  readonly digest: string;
  /** Number of operations, constants and inputs included. */
  readonly nodes: number;
  readonly outputShapes: readonly (readonly number[])[];
  /** Results that the first part keeps for the second, in a graph that runs in two parts. */
  readonly kept?: KeptTensors;
}

/** Results of the first part that the second reads. */
export interface KeptTensors {
  /** The session's names, `node:output`. */
  readonly names: readonly string[];
  readonly bytes: number;
}

/** Node of declared input `index`. */
export const inputName = (index: number) => `in${index}`;

/** Node of output `index`. */
export const outputName = (index: number) => `out${index}`;

/** The graph of a recording; throws where it captured a large constant. */
export function saveGraph(recording: Recording): SavedGraph {
  const { nodes, outputs } = recording;
  const live = liveNodes(recording);
  refuseLargeConstants(recording, live);
  const definitions: NodeDef[] = [];
  for (const [index, node] of nodes.entries())
    if (live.has(index)) definitions.push(define(nodes, index, node));
  for (const [index, edge] of outputs.entries())
    definitions.push(
      nodeDef(outputName(index), 'Identity', [edgeName(nodes, edge)], { T: type(DT.float32) }),
    );
  const graphDef: GraphDef = {
    node: definitions,
    versions: { producer: PRODUCER, minConsumer: MIN_CONSUMER },
  };
  return {
    bytes: SavedModel.encode({
      savedModelSchemaVersion: 1,
      metaGraphs: [{ metaInfoDef: { tags: ['serve'] }, graphDef }],
    }).finish(),
    digest: sha256Hex(GraphDef.encode(graphDef).finish()),
    nodes: definitions.length,
    outputShapes: outputs.map(({ node, output }) => nodes[node]!.outputs[output]!.shape),
  };
}

function refuseLargeConstants({ nodes }: Recording, live: ReadonlySet<number>): void {
  for (const index of live) {
    const node = nodes[index]!;
    if (node.kind !== 'operation') continue;
    for (const [position, input] of node.inputs.entries()) {
      const source = nodes[input.node]!;
      if (source.kind !== 'constant' || isStructure(node.op, position)) continue;
      const { values, shape } = source.constant;
      if (values.length > CONSTANT_VALUES_MAX && !isUniform(values))
        throw new FleetError(
          'failedPrecondition',
          `${node.op} reads a captured constant [${shape}] of ${values.length} values as its input ${position}; a graph holds at most ${CONSTANT_VALUES_MAX} values in a constant, so declare it as an input`,
          { details: { op: node.op, shape: [...shape] } },
        );
    }
  }
}

const isUniform = (values: Constant['values']) => values.every((value) => Object.is(value, values[0]));

function nameOf(nodes: readonly RecordedNode[], index: number): string {
  const node = nodes[index]!;
  return node.kind === 'input' ? inputName(node.input) : `n${index}`;
}

/** The session's name of this result. */
export const sessionName = (nodes: readonly RecordedNode[], { node, output }: Edge): string =>
  `${nameOf(nodes, node)}:${output}`;

/** A GraphDef's name of this result, where `:0` is left out. */
function edgeName(nodes: readonly RecordedNode[], { node, output }: Edge): string {
  const name = nameOf(nodes, node);
  return output === 0 ? name : `${name}:${output}`;
}

function nodeDef(name: string, op: string, input: string[], attr: Record<string, AttrValue>): NodeDef {
  return { name, op, input, device: '', attr };
}

function define(nodes: readonly RecordedNode[], index: number, node: RecordedNode): NodeDef {
  const name = nameOf(nodes, index);
  switch (node.kind) {
    case 'input': {
      const { dtype, shape } = node.outputs[0]!;
      return nodeDef(name, 'Placeholder', [], {
        dtype: type(dtype),
        shape: { value: { $case: 'shape', value: shapeProto(shape) } },
      });
    }
    case 'constant':
      return nodeDef(name, 'Const', [], {
        dtype: type(node.constant.dtype),
        value: { value: { $case: 'tensor', value: tensorProto(node.constant) } },
      });
    case 'operation': {
      const { binding } = nativeBackend();
      const attributes = node.attributes.map((attribute) => [attribute.name, attrValue(attribute, binding)]);
      const inputs = node.inputs.map((edge) => edgeName(nodes, edge));
      // A control edge has no output's number.
      inputs.push(...(node.after ?? []).map((before) => `^${nameOf(nodes, before)}`));
      return nodeDef(name, node.op, inputs, Object.fromEntries(attributes) as Record<string, AttrValue>);
    }
  }
}

const type = (dtype: number): AttrValue => ({ value: { $case: 'type', value: dtype } });

const shapeProto = (shape: readonly number[]) => ({ dim: shape.map((size) => ({ size })) });

/**
 * A constant as a TensorProto; values that are all equal are stored once, by TensorFlow's rule for short
 * value lists.
 */
function tensorProto({ dtype, shape, values }: Constant) {
  const uniform = values.length > 1 && isUniform(values);
  const one = uniform ? [values[0]!] : [];
  return {
    dtype,
    tensorShape: shapeProto(shape),
    tensorContent: uniform
      ? Buffer.alloc(0)
      : Buffer.from(values.buffer, values.byteOffset, values.byteLength),
    floatVal: dtype === DT.float32 ? one : [],
    intVal: dtype === DT.int32 ? one : [],
    boolVal: dtype === DT.bool ? one.map((value) => value !== 0) : [],
  };
}

function attrValue({ name, type: kind, value }: OpAttribute, binding: Binding): AttrValue {
  const list = { s: [], i: [], f: [], b: [], type: [] };
  switch (kind) {
    case binding.TF_ATTR_TYPE:
      return type(Number(value));
    case binding.TF_ATTR_BOOL:
      return { value: { $case: 'b', value: value === true } };
    case binding.TF_ATTR_STRING:
      return { value: { $case: 's', value: Buffer.from(String(value)) } };
    case binding.TF_ATTR_INT:
      return Array.isArray(value)
        ? { value: { $case: 'list', value: { ...list, i: value as number[] } } }
        : { value: { $case: 'i', value: Number(value) } };
    case binding.TF_ATTR_FLOAT:
      return Array.isArray(value)
        ? { value: { $case: 'list', value: { ...list, f: value as number[] } } }
        : { value: { $case: 'f', value: Number(value) } };
    default:
      throw new FleetError(
        'unimplemented',
        `attribute ${name} has kind ${kind}, which a recorded graph cannot hold`,
      );
  }
}
