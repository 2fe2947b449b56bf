// A recording as a StableHLO module: text that compilers behind PJRT (XLA's for CPUs, GPUs and TPUs) take. Pure:
// the same recording and options give the same text. Decides the module's form, which results are arguments and
// which are returned, whose memory is donated, and what is bfloat16. Each operation is lowered by its family's
// file.
//
// One operation at a time and nothing joined: a compiler joins operations itself, and knows its device.

import { FleetError } from '../../errors.ts';
import { edgeKey, neededFor } from '../recording/consumers.ts';
import {
  type Edge,
  type OperationNode,
  type RecordedNode,
  type Recording,
  type RecordOptions,
  record,
} from '../recording/record.ts';
import type { Value } from '../recording/shapes.ts';
import type { Call, Lowering, Precision } from './call.ts';
import { type Element, elementOf, type Ref, typeText } from './literals.ts';
import { LOWERINGS } from './lowerings.ts';
import { isPixels, mapNodes } from './maps.ts';
import { ModuleText } from './module-text.ts';
import { moduleText } from './whole-module.ts';

export type { Precision } from './call.ts';

/** How a recording is lowered. */
export interface LowerOptions {
  /** How products are computed; float32 without it. */
  readonly precision?: Precision;
  /**
   * Results that are arguments, in order; the declared inputs without it. What is computed from them alone is
   * what the module computes.
   */
  readonly feeds?: readonly Edge[];
  /** Results that are returned, in order; the recording's outputs without it. */
  readonly fetches?: readonly Edge[];
  /** Arguments whose memory becomes that of a result of the same type: number of the argument, of the result. */
  readonly donated?: ReadonlyMap<number, number>;
}

/** Form of an argument or a result. */
export interface ModuleValue {
  readonly element: Element;
  readonly shape: readonly number[];
}

/** A module whose function `main` takes and returns these values, in order. */
export interface LoweredModule {
  readonly text: string;
  readonly inputs: readonly ModuleValue[];
  readonly outputs: readonly ModuleValue[];
}

/**
 * Records a function for this form: the library's own operations, none of ours, whatever device this process
 * has. An operation without a lowering is refused by name while the function is recorded.
 */
export const recordLowerable = (options: RecordOptions): Recording =>
  record({ ...options, flavour: 'gpu', check: (op) => void loweringOf(op) });

/** The module of a recording. Throws where an operation, or a form of one, has no lowering, and names it. */
export function lower(recording: Recording, options: LowerOptions = {}): LoweredModule {
  const { nodes } = recording;
  const { precision = 'float32' } = options;
  const feeds = options.feeds ?? inputEdges(recording);
  const fetches = options.fetches ?? recording.outputs;
  const text = new ModuleText();
  const values = new Map<string, Ref>();
  const inputs = feeds.map((edge, index): Ref => {
    const { dtype, shape } = formOf(nodes, edge);
    const ref: Ref = { name: `%arg${index}`, element: elementOf(dtype), shape };
    values.set(edgeKey(edge), ref);
    return ref;
  });
  const maps = precision === 'bf16' ? mapNodes(nodes) : new Set<number>();
  const needed = neededWithout(nodes, fetches, values);
  for (const [index, node] of nodes.entries()) {
    if (!needed.has(index) || node.kind !== 'operation') continue;
    const results = lowerNode({ nodes, node, text, values, precision });
    for (const [output, result] of results.entries()) {
      const key = edgeKey({ node: index, output });
      if (values.has(key)) continue;
      checkForm(node, result, node.outputs[output]!);
      const isMap = maps.has(index) && isPixels(result.shape);
      values.set(key, isMap ? text.convert(result, 'bf16') : result);
    }
  }
  const outputs = fetches.map((edge) => asRecorded(text, nodes, values, edge));
  return {
    text: moduleText({ inputs, outputs, lines: text.lines, donated: options.donated ?? new Map() }),
    inputs: inputs.map(({ element, shape }) => ({ element, shape })),
    outputs: outputs.map(({ element, shape }) => ({ element, shape })),
  };
}

const formOf = (nodes: readonly RecordedNode[], { node, output }: Edge): Value =>
  nodes[node]!.outputs[output]!;

/** The declared inputs, in their order. */
function inputEdges({ nodes, inputs }: Recording): Edge[] {
  const edges: Edge[] = inputs.map(() => ({ node: -1, output: 0 }));
  for (const [node, recorded] of nodes.entries())
    if (recorded.kind === 'input') edges[recorded.input] = { node, output: 0 };
  return edges;
}

/** Nodes that the fetches need where the values given are known. */
function neededWithout(
  nodes: readonly RecordedNode[],
  fetches: readonly Edge[],
  given: ReadonlyMap<string, Ref>,
): ReadonlySet<number> {
  const cut = nodes.map((node) =>
    node.kind === 'operation'
      ? { ...node, after: [], inputs: node.inputs.filter((edge) => !given.has(edgeKey(edge))) }
      : node,
  );
  return neededFor(
    cut,
    fetches.filter((edge) => !given.has(edgeKey(edge))),
  );
}

function loweringOf(op: string): Lowering {
  const lowering = LOWERINGS.get(op);
  if (lowering !== undefined) return lowering;
  throw new FleetError(
    'unimplemented',
    `${op} has no lowering to StableHLO, so a function with it runs on TensorFlow alone`,
    { details: { op } },
  );
}

interface Place {
  readonly nodes: readonly RecordedNode[];
  readonly node: OperationNode;
  readonly text: ModuleText;
  readonly values: Map<string, Ref>;
  readonly precision: Precision;
}

function lowerNode({ nodes, node, text, values, precision }: Place): readonly Ref[] {
  const lowering = loweringOf(node.op);
  const stored = (index: number) => readValue({ nodes, text, values, edge: node.inputs[index]! });
  const call: Call = {
    node,
    text,
    precision,
    stored,
    input: (index) => {
      const ref = stored(index);
      return ref.element === 'bf16' ? text.convert(ref, 'f32') : ref;
    },
    value: (index) => formOf(nodes, node.inputs[index]!),
    integers: (index) => {
      const { integers } = formOf(nodes, node.inputs[index]!);
      if (integers === undefined)
        throw new FleetError(
          'failedPrecondition',
          `${node.op} takes its input ${index} (a shape, size or axis) from a computed tensor; a compiled module needs constant shapes there`,
        );
      return integers;
    },
  };
  return lowering(call);
}

/** A result as a value of the module; a constant is written where it is first read. */
function readValue(options: {
  readonly nodes: readonly RecordedNode[];
  readonly text: ModuleText;
  readonly values: Map<string, Ref>;
  readonly edge: Edge;
}): Ref {
  const { nodes, text, values, edge } = options;
  const known = values.get(edgeKey(edge));
  if (known !== undefined) return known;
  const node = nodes[edge.node]!;
  if (node.kind !== 'constant')
    throw new FleetError(
      'internal',
      `the module reads ${node.kind === 'input' ? `input ${node.input}` : node.op}, which is not among its arguments`,
    );
  const { dtype, shape, values: numbers } = node.constant;
  const ref = text.constant(numbers, elementOf(dtype), shape);
  values.set(edgeKey(edge), ref);
  return ref;
}

/** A lowering that gives another form than the recording's is a mistake in it. */
function checkForm({ op }: OperationNode, result: Ref, { shape, dtype }: Value): void {
  if (result.shape.join() !== shape.join() || result.element !== elementOf(dtype))
    throw new FleetError(
      'internal',
      `the lowering of ${op} gives ${typeText(result)} where the recording has [${shape}] of type ${dtype}`,
    );
}

/** A returned value has the recording's type: a map that is stored as bfloat16 is returned as float32. */
function asRecorded(
  text: ModuleText,
  nodes: readonly RecordedNode[],
  values: Map<string, Ref>,
  edge: Edge,
): Ref {
  const ref = readValue({ nodes, text, values, edge });
  return text.convert(ref, elementOf(formOf(nodes, edge).dtype));
}
