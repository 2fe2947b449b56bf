// The layers of the search network: all candidate ops on all edges, mixed by alphas, then a classifier; and
// the order of the alphas in their flat vector. Structure and names are the reference's (facts 1.5-1.7). It
// differs from the discrete network in four places: the stem has 3 C channels, batch norms inside cells have
// no scale and shift, the head's 7x7 has groups, and a linear layer ends it.
//
// Legend: A alphas, one row of eight (columns as in OPS) for each edge: edges of the normal cell node by
// node, then of the reduction cell.

import { FleetError } from '../errors.ts';
import { normals } from '../rng.ts';
import { OPS, type Op, SUPERNET_EMBEDDING } from '../spec/network.ts';
import { addFactorizedReduce, addOp, addSeparable } from './blocks.ts';
import type { Alphas, CellAlphas } from './decode.ts';
import { NODES } from './genotype.ts';
import {
  createBuilder,
  type LayerGraph,
  type LayerSink,
  type SearchOperation,
  type Term,
} from './network.ts';
import { addHead, addStem, isReduction } from './pocketnet.ts';

export interface SupernetSpec {
  readonly kind: 'supernet';
  /** Working channels C of the first cells, even; doubles at each reduction. */
  readonly channels: number;
  /** Cells L, at least 4. */
  readonly layers: number;
  /** Outputs of the linear classifier. */
  readonly classes: number;
}

/** A search network. Its result is the logits [N, classes], not the embedding before them. */
export interface Supernet extends LayerGraph {
  readonly spec: SupernetSpec;
}

/** The stem has this many times C channels; the discrete networks' have 4 times. */
const STEM_MULTIPLIER = 3;
/** Fixed in the reference. */
const HEAD_GROUPS = 128;
/**
 * Standard deviation of the initial alphas, as in the reference: nearly equal, so that no op has an advantage
 * by chance.
 */
const ALPHA_DEVIATION = 0.001;

/** Edges of one cell: 2 + 3 + 4 + 5. */
export const CELL_EDGES = Array.from({ length: NODES }, (_, node) => node + 2).reduce((a, b) => a + b, 0);
/** A = 2 cells x 14 edges x 8 ops = 224. */
export const ALPHA_COUNT = 2 * CELL_EDGES * OPS.length;

/** The layers of a search network. */
export function buildSupernet(spec: SupernetSpec): Supernet {
  checkSpec(spec);
  const builder = createBuilder<SearchOperation>();
  const stem = addStem(builder, STEM_MULTIPLIER * spec.channels);
  let previous = { before: stem, last: stem, lastReduced: false };
  let channels = spec.channels;
  for (let index = 0; index < spec.layers; index++) {
    const reduction = isReduction(index, spec.layers);
    if (reduction) channels *= 2;
    const cell = addSearchCell({ builder, module: `cells.${index}`, reduction, channels, ...previous });
    previous = { before: previous.last, last: cell, lastReduced: reduction };
  }
  const head = addHead(builder, previous.last, { embedding: SUPERNET_EMBEDDING, groups: HEAD_GROUPS });
  const module = 'linear';
  const flat = builder.add({ name: 'flatten', module, inputs: [head], operation: { kind: 'flatten' } });
  const output = builder.add({
    name: 'linear',
    module,
    inputs: [flat],
    operation: { kind: 'linear', channelsIn: SUPERNET_EMBEDDING, bias: true },
    channels: spec.classes,
  });
  return { spec, layers: builder.layers, output, embedding: SUPERNET_EMBEDDING };
}

function checkSpec({ channels, layers, classes }: SupernetSpec): void {
  const problem =
    channels < 2 || channels % 2 !== 0
      ? `channels is ${channels}; strided skips halve it, so make it even and at least 2`
      : layers < 4
        ? `layers is ${layers}; below 4 two of the three reductions coincide`
        : classes < 2
          ? `classes is ${classes}; a classifier needs at least 2`
          : undefined;
  if (problem !== undefined) throw new FleetError('invalidArgument', `search network: ${problem}`);
}

interface SearchCell {
  readonly builder: LayerSink<SearchOperation>;
  readonly module: string;
  readonly reduction: boolean;
  readonly channels: number;
  readonly before: number;
  readonly last: number;
  readonly lastReduced: boolean;
}

function addSearchCell(cell: SearchCell): number {
  const { builder, module } = cell;
  const part = { builder, module, channels: cell.channels, affine: false };
  const states = [
    cell.lastReduced
      ? addFactorizedReduce({ ...part, name: `${module}.preproc0`, input: cell.before })
      : addSeparable({ ...part, name: `${module}.preproc0`, input: cell.before, kernel: 1, stride: 1 }),
    addSeparable({ ...part, name: `${module}.preproc1`, input: cell.last, kernel: 1, stride: 1 }),
  ];
  for (let node = 0; node < NODES; node++) states.push(addNode(cell, node, states));
  return builder.add({ name: module, module, inputs: states.slice(2), operation: { kind: 'concat' } });
}

/**
 * Appends all ops on all edges of a node and their mixture. `none` adds no layer, but has its share in the
 * softmax of its edge.
 */
function addNode(cell: SearchCell, node: number, states: readonly number[]): number {
  const { builder, module, channels, reduction } = cell;
  const inputs: number[] = [];
  const terms: Term[] = [];
  states.forEach((input, from) => {
    OPS.forEach((op: Op, column) => {
      if (op === 'none') return;
      inputs.push(
        addOp({
          builder,
          module,
          channels,
          affine: false,
          name: `${module}.dag.${node}.${from}._ops.${column}`,
          op,
          input,
          stride: reduction && from < 2 ? 2 : 1,
        }),
      );
      terms.push({ row: alphaRow(reduction, node, from), column });
    });
  });
  return builder.add({ name: `${module}.dag.${node}`, module, inputs, operation: { kind: 'mix', terms } });
}

/** Row of the alphas of an edge: the nodes before have 2 + 3 + ... = node (node + 3) / 2 edges. */
function alphaRow(reduction: boolean, node: number, from: number): number {
  return (reduction ? CELL_EDGES : 0) + (node * (node + 3)) / 2 + from;
}

/** The flat alphas [A] at the start of a run. */
export function initialAlphas(seed: number): Float32Array {
  return Float32Array.from(normals(seed, 'alphas', ALPHA_COUNT), (value) => value * ALPHA_DEVIATION);
}

/** The matrices of the alphas in their flat vector: one for each node of both cells, a row an edge. */
export const alphaParts: readonly {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}[] = [false, true].flatMap((reduction) =>
  Array.from({ length: NODES }, (_, node) => ({
    name: `alpha_${reduction ? 'reduce' : 'normal'}.${node}`,
    offset: alphaRow(reduction, node, 0) * OPS.length,
    size: (node + 2) * OPS.length,
  })),
);

/** What an alpha weighs, in words: `skip_connect of input 1 of node 2 of the normal cell`. */
export function alphaName(index: number): string {
  const op = OPS[index % OPS.length];
  const row = Math.floor(index / OPS.length);
  const cell = row < CELL_EDGES ? 'normal' : 'reduction';
  for (let node = 0; node < NODES; node++) {
    const input = (row % CELL_EDGES) - alphaRow(false, node, 0);
    if (input < node + 2) return `${op} of input ${input} of node ${node} of the ${cell} cell`;
  }
  throw new Error(`assertion: there is no alpha ${index}`);
}

/** Flat alphas [A] by cell, node, edge and op, as decodeAlphas takes them. */
export function alphasOf(flat: Float32Array): Alphas {
  if (flat.length !== ALPHA_COUNT)
    throw new FleetError('invalidArgument', `${flat.length} alphas, ${ALPHA_COUNT} expected`);
  const row = (index: number): number[] => [...flat.subarray(index * OPS.length, (index + 1) * OPS.length)];
  const cell = (reduction: boolean): CellAlphas =>
    Array.from({ length: NODES }, (_, node) =>
      Array.from({ length: node + 2 }, (_, from) => row(alphaRow(reduction, node, from))),
    );
  return { normal: cell(false), reduce: cell(true) };
}

/** The inverse of alphasOf: alphas by cell, node, edge and op as the flat vector [A]. */
export function flatAlphas({ normal, reduce }: Alphas): Float32Array {
  const flat = Float32Array.from([...normal, ...reduce].flat(2));
  if (flat.length !== ALPHA_COUNT)
    throw new FleetError('invalidArgument', `${flat.length} alphas, ${ALPHA_COUNT} expected`);
  return flat;
}
