// Spares a batch norm its second pass: a block leaves its map as it is before the norm, and the first block that reads it normalises
// it, adds what was to be added and writes it for all others, a few rows at a time, while its products leave the memory idle.
// Only between our own blocks. Pure, from recording to recording: every value is computed as before, so the bits are the same.

import { attr } from '../ops/kernels.ts';
import { numberOf, type Reader, readersOf, withNumber } from '../recording/readers.ts';
import type { Edge, OperationNode, RecordedNode, Recording } from '../recording/record.ts';

const BLOCK = 'FleetSeparable';
/** Places among its inputs and outputs. */
const X = 5;
const Y = 0;
const Z = 3;

/** A map that its maker leaves before the norm. */
interface Raw {
  readonly maker: number;
  /** Which part of the reader's x it is. */
  readonly part: number;
  /** What is added to it, and whether that too is left before its norm. */
  readonly term?: { readonly map: Edge; readonly raw: boolean };
}

type Resolve = (edge: Edge) => Edge;

export function normaliseWhileReading(recording: Recording): Recording {
  const raws = rawMaps(recording);
  const left = new Set<number>();
  /** Maker -> where its map is after the norm. */
  const finished = new Map<number, Edge>();
  for (const [reader, parts] of raws)
    for (const [index, { maker, term }] of parts.entries()) {
      left.add(maker);
      if (term?.raw) left.add(term.map.node);
      const before = recording.nodes[reader]!.outputs.length;
      finished.set(maker, { node: reader, output: before + index });
    }
  const resolve: Resolve = (edge) => (edge.output === Y ? finished.get(edge.node) : undefined) ?? edge;
  const nodes = recording.nodes.map((node, index): RecordedNode => {
    if (node.kind !== 'operation') return node;
    const whole = left.has(index) ? withoutNorm(node) : node;
    const resolved = { ...whole, inputs: whole.inputs.map(resolve) };
    const parts = raws.get(index);
    return parts === undefined ? resolved : withNorms(recording, resolved, parts, resolve);
  });
  return { ...recording, nodes, outputs: recording.outputs.map(resolve) };
}

/** Reader -> the maps that it finishes. */
function rawMaps(recording: Recording): Map<number, Raw[]> {
  const { nodes } = recording;
  const readers = readersOf(recording);
  const raws = new Map<number, Raw[]>();
  nodes.forEach((node, maker) => {
    if (!isBlock(node) || numberOf(node, 'N') > 1) return;
    const first = firstOf(readers.get(`${maker}:${Y}`) ?? []);
    const reader = first === undefined ? undefined : nodes[first.node];
    if (first === undefined || !isBlock(reader)) return;
    const part = first.input - X;
    if (part < 0 || part >= numberOf(reader, 'parts')) return;
    const term = numberOf(node, 'N') === 1 ? termOf(recording, node.inputs.at(-1)!, readers) : {};
    raws.set(first.node, [...(raws.get(first.node) ?? []), { maker, part, ...term }]);
  });
  return raws;
}

const isBlock = (node: RecordedNode | undefined): node is OperationNode =>
  node?.kind === 'operation' && node.op === BLOCK;

/** The one operation that could read before all others; none when it reads twice. */
function firstOf(readers: readonly Reader[]): Reader | undefined {
  const [first, second] = readers.filter(({ input }) => input >= 0).sort((a, b) => a.node - b.node);
  return first?.node === second?.node ? undefined : first;
}

function termOf({ nodes }: Recording, map: Edge, readers: ReadonlyMap<string, readonly Reader[]>) {
  const maker = nodes[map.node];
  const alone = readers.get(`${map.node}:${map.output}`)?.length === 1;
  return { term: { map, raw: isBlock(maker) && map.output === Y && alone && numberOf(maker, 'N') === 0 } };
}

/** The block that gives factors and offsets, [2, O], in place of its map, and adds nothing. */
function withoutNorm(node: OperationNode): OperationNode {
  const { shape, dtype } = node.outputs[Y]!;
  return {
    ...node,
    attributes: [...withNumber(node, 'N', 0).attributes, attr.int('raw', 1)],
    inputs: node.inputs.slice(0, X + numberOf(node, 'parts')),
    outputs: [{ shape: [2, shape.at(-1)!], dtype }, ...node.outputs.slice(1)],
  };
}

/** The block that finishes these parts of its x, and gives them behind its other outputs. */
function withNorms(
  recording: Recording,
  node: OperationNode,
  raws: readonly Raw[],
  resolve: Resolve,
): OperationNode {
  const inputs = [...node.inputs];
  const unfinished: Edge[] = [];
  for (const { maker, part, term } of raws) {
    inputs[X + part] = { node: maker, output: Z };
    unfinished.push({ node: maker, output: Y });
    if (term?.raw) unfinished.push({ node: term.map.node, output: Z }, { node: term.map.node, output: Y });
    else if (term !== undefined) unfinished.push(resolve(term.map));
  }
  return {
    ...node,
    attributes: [
      ...node.attributes,
      attr.int('F', raws.length),
      attr.int('T', unfinished.length),
      attr.int(
        'unfinished',
        raws.map(({ part }) => part),
      ),
      attr.int(
        'terms',
        raws.map(({ term }) => (term === undefined ? 0 : term.raw ? 2 : 1)),
      ),
    ],
    inputs: [...inputs, ...unfinished],
    outputs: [...node.outputs, ...raws.map(({ maker }) => recording.nodes[maker]!.outputs[Y]!)],
  };
}
