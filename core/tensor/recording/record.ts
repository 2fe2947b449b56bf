// Records a function of tensors as a list of TensorFlow operations. Every tfjs kernel of the tensorflow
// backend goes through the addon's executeOp and createTensor. While the function runs once, a recorder takes
// the addon's place: it computes nothing and returns the shapes that would come out, by the rules in
// shapes.ts. So recording takes JavaScript's time alone, up to a second for S-128, whatever the batch
// (docs/performance.md), and no memory for maps.
//
// What a recording may hold follows from that. Only shapes are known, so the function must not branch on
// values; operations whose output depends on values or chance are refused; tensors from outside become
// constants of the graph.

import { FleetError } from '../../errors.ts';
import { DT } from '../ops/kernels.ts';
import {
  type Binding,
  nativeBackend,
  type OpAttribute,
  type Tensor,
  type TensorMetadata,
  tf,
} from '../tf.ts';
import { inferOutputs, type Value } from './shapes.ts';

/** One declared input of the function. */
export interface GraphInput {
  /** For error messages. */
  readonly name: string;
  /** uint8 travels and is fed as bytes and reaches the function as float32: tfjs has no such type. */
  readonly dtype: 'float32' | 'int32' | 'uint8';
  readonly shape: readonly number[];
}

/** Output number `output` of node number `node`. */
export interface Edge {
  readonly node: number;
  readonly output: number;
}

/** A tensor whose values are part of the graph. */
export interface Constant {
  /** TensorFlow's DataType number. */
  readonly dtype: number;
  readonly shape: readonly number[];
  readonly values: Float32Array | Int32Array | Uint8Array;
}

/** One node of the graph. `outputs` has shape and type of each result. */
export type RecordedNode =
  | { readonly kind: 'input'; readonly input: number; readonly outputs: readonly Value[] }
  | { readonly kind: 'constant'; readonly constant: Constant; readonly outputs: readonly Value[] }
  | {
      readonly kind: 'operation';
      readonly op: string;
      /** Sorted by name, so that equal operations have equal keys. */
      readonly attributes: readonly OpAttribute[];
      readonly inputs: readonly Edge[];
      readonly outputs: readonly Value[];
      /** Nodes that have to be computed before it though it reads nothing of them. */
      readonly after?: readonly number[];
    };

export type OperationNode = Extract<RecordedNode, { kind: 'operation' }>;

/**
 * A recorded function. Every node stands behind the nodes that it reads; passes and the graph rely on this
 * order.
 */
export interface Recording {
  readonly nodes: readonly RecordedNode[];
  readonly inputs: readonly GraphInput[];
  readonly outputs: readonly Edge[];
  /** How many nodes, from the first on, were recorded before the backward pass began; absent without one. */
  readonly forward?: number;
}

export interface RecordOptions {
  readonly inputs: readonly GraphInput[];
  /**
   * The function to record; its outputs are float32. It runs inside tf.tidy. One that differentiates says when
   * its forward pass is done.
   */
  readonly build: (inputs: Tensor[], onForward: () => void) => Tensor[];
  /**
   * Also runs every operation on zeros and fails where it gives another shape than its rule; slow, for tests.
   */
  readonly audit?: boolean;
  /**
   * gpu: the operations that a GPU's graph consists of, the library's own alone, whatever device this process
   * has. Without it those that this process's device computes fastest.
   */
  readonly flavour?: 'gpu';
  /** Called with the name of each operation before it is recorded; throws where the engine to come lacks it. */
  readonly check?: (op: string) => void;
}

/**
 * Ids of recorded tensors count down from here. The addon's own ids are 0 and above, and -1 means "not
 * uploaded" to tfjs. tfjs never passes a negative id to the addon's deleteTensor, so a recorded tensor can be
 * disposed at any time.
 */
const FIRST_RECORDED_ID = -2;
const isRecorded = (id: number) => id <= FIRST_RECORDED_ID;
/**
 * Longest int32 constant whose values are kept for shape rules: shapes, axes and sizes are shorter, one
 * number a parameter at most.
 */
const SHAPE_VALUES_MAX = 4096;

/**
 * Operations whose output shape depends on values, or whose values on chance: a graph recorded once would be
 * wrong.
 */
const REFUSED = new Set(
  'Where UniqueV2 NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5 Multinomial RandomUniform RandomStandardNormal TruncatedNormal RandomGamma RandomPoissonV2 RandomShuffle'.split(
    ' ',
  ),
);

/** Runs the function once on recorded tensors and returns what it would compute. */
export function record(options: RecordOptions): Recording {
  const backend = nativeBackend();
  const real = backend.binding;
  const recorder = createRecorder(real, options);
  backend.binding = recorder.binding;
  const alive = tf.memory().numTensors;
  try {
    let outputs: Edge[] = [];
    let forward: number | undefined;
    tf.tidy(() => {
      const inputs = options.inputs.map((input, index) =>
        backend.createOutputTensor(recorder.declareInput(input, index)),
      );
      const built = options.build(inputs, () => {
        forward = recorder.nodes.length;
      });
      if (!Array.isArray(built))
        throw new FleetError('invalidArgument', 'the function to record does not return an array of tensors');
      outputs = backend
        .getInputTensorIds(built)
        .map((id, index) => checkOutput(recorder.nodes, recorder.edgeOf(id, 'output'), index));
    });
    refuseKept(tf.memory().numTensors - alive);
    return {
      nodes: recorder.nodes,
      inputs: options.inputs,
      outputs,
      ...(forward === undefined ? {} : { forward }),
    };
  } finally {
    backend.binding = real;
  }
}

/**
 * A recorded tensor has no values, so one that outlives its recording would fail wherever it is used next.
 */
function refuseKept(count: number): void {
  if (count > 0)
    throw new FleetError(
      'invalidArgument',
      `the recorded function keeps ${count} tensors alive; return what is needed and keep nothing`,
    );
}

function checkOutput(nodes: readonly RecordedNode[], edge: Edge, index: number): Edge {
  const { dtype } = nodes[edge.node]!.outputs[edge.output]!;
  if (dtype !== DT.float32)
    throw new FleetError(
      'invalidArgument',
      `output ${index} of the recorded function has data type ${dtype}; outputs are float32, so cast it`,
    );
  return edge;
}

/** The stand-in for the addon, and what it has recorded so far. */
function createRecorder(real: Binding, { audit = false, flavour, check }: RecordOptions) {
  const nodes: RecordedNode[] = [];
  /**
   * Index of the node with this key. Operations here are pure, so equal ones are one node: the gradients of a
   * network recompute much of its forward pass, and tfjs would keep both.
   */
  const known = new Map<string, number>();
  /**
   * The result behind each recorded tensor, and the values behind each constant that is alive, by tfjs' id.
   */
  const edges = new Map<number, Edge>();
  const constants = new Map<number, Constant>();
  let nextId = FIRST_RECORDED_ID;

  const add = (key: string, make: () => RecordedNode): number => {
    const found = known.get(key);
    if (found !== undefined) return found;
    const index = nodes.push(make()) - 1;
    known.set(key, index);
    return index;
  };
  const answer = (edge: Edge): TensorMetadata => {
    const { shape, dtype } = nodes[edge.node]!.outputs[edge.output]!;
    edges.set(nextId, edge);
    return { id: nextId--, shape: [...shape], dtype };
  };
  const edgeOf = (id: number, reader: string): Edge => {
    const edge = edges.get(id);
    if (edge !== undefined) return edge;
    if (isRecorded(id)) throw new FleetError('internal', `${reader} reads a tensor of another recording`);
    const constant = constants.get(id) ?? captured(real, id);
    return { node: add(constantKey(constant), () => constantNode(constant)), output: 0 };
  };
  const executeOp: Binding['executeOp'] = (op, attributes, inputIds, outputs) => {
    if (REFUSED.has(op))
      throw new FleetError(
        'failedPrecondition',
        `${op} depends on values or chance and cannot be recorded; compute it outside and make it an input`,
      );
    check?.(op);
    if (op === 'AddN' && inputIds.length > 2)
      throw new FleetError(
        'failedPrecondition',
        'AddN of three tensors or more gives bits that depend on the order in which other operations run, so it is not recorded; use addAll (core/tensor/ops/kernels.ts)',
      );
    const inputs = inputIds.map((id) => edgeOf(id, op));
    if (op === 'Reshape') inputs[0] = unshaped(inputs[0]!, nodes);
    const same = unchanged(op, attributes, inputs, nodes);
    if (same !== null) return [answer(same)];
    const sorted = [...attributes].sort((a, b) => (a.name < b.name ? -1 : 1));
    const key = JSON.stringify([op, sorted, inputs]);
    const node = add(key, () => {
      const values = inputs.map(({ node, output }) => nodes[node]!.outputs[output]!);
      const result = infer(real, { op, attributes, values, outputs, audit });
      return { kind: 'operation', op, attributes: sorted, inputs, outputs: result };
    });
    return nodes[node]!.outputs.map((_, output) => answer({ node, output }));
  };
  const createTensor: Binding['createTensor'] = (shape, dtype, values) => {
    // The addon creates it as well: tfjs uploads lazily, so this tensor may be older than the recording and
    // outlive it.
    const id = real.createTensor(shape, dtype, values);
    if (values instanceof Float32Array || values instanceof Int32Array || values instanceof Uint8Array)
      constants.set(id, { dtype, shape: [...shape], values });
    return id;
  };
  const deleteTensor: Binding['deleteTensor'] = (id) => {
    constants.delete(id);
    real.deleteTensor(id);
  };
  const tensorDataSync: Binding['tensorDataSync'] = (id) => {
    if (!isRecorded(id)) return real.tensorDataSync(id);
    throw new FleetError(
      'failedPrecondition',
      'the function reads the value of a tensor while it is recorded; only shapes are known then, so it must not branch on values',
    );
  };
  const declareInput = (input: GraphInput, index: number): TensorMetadata => {
    const value: Value = { shape: input.shape, dtype: DT[input.dtype] };
    const node = add(`input ${index}`, () => ({ kind: 'input', input: index, outputs: [value] }));
    const fed = answer({ node, output: 0 });
    if (input.dtype !== 'uint8') return fed;
    const cast = [
      { name: 'SrcT', type: real.TF_ATTR_TYPE, value: DT.uint8 },
      { name: 'DstT', type: real.TF_ATTR_TYPE, value: DT.float32 },
      { name: 'Truncate', type: real.TF_ATTR_BOOL, value: false },
    ];
    return executeOp('Cast', cast, [fed.id], 1)[0]!;
  };
  const own = {
    executeOp,
    createTensor,
    deleteTensor,
    tensorDataSync,
    // What the operations choose by (core/tensor/ops) is asked of the binding.
    ...(flavour === 'gpu' ? { isUsingGpuDevice: () => true } : {}),
  };
  return { binding: standInFor(real, own), nodes, edgeOf, declareInput };
}

/**
 * The addon with some functions replaced. The addon's own properties are not writable, so an object that
 * inherits from it is used.
 */
function standInFor(real: Binding, own: Partial<Binding>): Binding {
  const descriptors = Object.entries(own).map(([name, value]) => [name, { value }]);
  return Object.create(real, Object.fromEntries(descriptors) as PropertyDescriptorMap) as Binding;
}

/**
 * The input of a Cast to the same type or a Reshape to the same shape, which would return it unchanged; null
 * for all else.
 */
function unchanged(
  op: string,
  attributes: readonly OpAttribute[],
  inputs: readonly Edge[],
  nodes: readonly RecordedNode[],
): Edge | null {
  if (op === 'Cast') {
    const type = (name: string) => attributes.find((attribute) => attribute.name === name)?.value;
    return type('SrcT') === type('DstT') ? inputs[0]! : null;
  }
  if (op !== 'Reshape') return null;
  const [x, shape] = inputs.map(({ node, output }) => nodes[node]!.outputs[output]!);
  return shape!.integers?.join() === x!.shape.join() ? inputs[0]! : null;
}

/**
 * The tensor that a chain of Reshapes begins with. Only the last shape of a chain matters, and a Reshape
 * moves no values.
 */
function unshaped(edge: Edge, nodes: readonly RecordedNode[]): Edge {
  const node = nodes[edge.node]!;
  return node.kind === 'operation' && node.op === 'Reshape' ? unshaped(node.inputs[0]!, nodes) : edge;
}

function constantNode(constant: Constant): RecordedNode {
  const { dtype, shape, values } = constant;
  const isShapeLike = dtype === DT.int32 && values.length <= SHAPE_VALUES_MAX;
  const value: Value = { shape, dtype, ...(isShapeLike ? { integers: [...values] } : {}) };
  // tfjs may reuse its array, so the recording copies it.
  return { kind: 'constant', constant: { dtype, shape, values: values.slice() }, outputs: [value] };
}

function constantKey({ dtype, shape, values }: Constant): string {
  const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  return `constant ${dtype} [${shape}] ${bytes.toString('base64')}`;
}

/**
 * The present values of a tensor that was made before the recording; they become part of the graph. Copied
 * through Identity, because only the addon knows the tensor's type and shape and returns them with a result.
 */
function captured(real: Binding, id: number): Constant {
  const copy = real.executeOp('Identity', [], [id], 1)[0]!;
  try {
    const values = real.tensorDataSync(copy.id);
    return { dtype: copy.dtype, shape: copy.shape, values };
  } finally {
    real.deleteTensor(copy.id);
  }
}

interface Inference {
  readonly op: string;
  readonly attributes: readonly OpAttribute[];
  readonly values: readonly Value[];
  readonly outputs: number;
  readonly audit: boolean;
}

/** Shapes and types of an operation's outputs: by rule, or from a run where there is no rule. */
function infer(real: Binding, call: Inference): Value[] {
  const inferred = inferOutputs(call.op, call.attributes, call.values, call.outputs);
  if (inferred === null) return runOnZeros(real, call);
  if (call.audit) compare(call, inferred, runOnZeros(real, call));
  return inferred;
}

/**
 * Shapes of an operation without a rule: it runs once on zeros, with the true values of shape-like constants.
 */
function runOnZeros(real: Binding, { op, attributes, values, outputs }: Inference): Value[] {
  const ids = values.map(({ shape, dtype, integers }) => {
    const length = shape.reduce((product, size) => product * size, 1);
    const zeros =
      dtype === DT.float32
        ? new Float32Array(length)
        : dtype === DT.int32
          ? Int32Array.from(integers ?? new Int32Array(length))
          : new Uint8Array(length);
    return real.createTensor([...shape], dtype, zeros);
  });
  try {
    const results = real.executeOp(op, attributes, ids, outputs);
    for (const result of results) real.deleteTensor(result.id);
    return results.map(({ shape, dtype }) => ({ shape, dtype }));
  } finally {
    for (const id of ids) real.deleteTensor(id);
  }
}

/** Fails where a rule and the operation disagree. Reserve spaces have no shape that matters. */
function compare(call: Inference, inferred: readonly Value[], real: readonly Value[]): void {
  for (const [index, value] of inferred.entries()) {
    const found = real[index];
    if (found === undefined || (value.shape.length === 1 && value.shape[0] === 0)) continue;
    if (value.shape.join() !== found.shape.join() || value.dtype !== found.dtype)
      throw new FleetError(
        'internal',
        `${call.op} of ${call.values.map((input) => `[${input.shape}]`).join(', ')} gives [${found.shape}] of type ${found.dtype} where its rule says [${value.shape}] of type ${value.dtype}`,
      );
  }
}
