// Lists the layers of the search network: all candidate ops on all edges, mixed by alphas, then a classifier. Structure and
// names are the reference's (facts 1.5-1.7); it differs from the discrete network in the stem (3 C channels), batch norms
// without scale and shift inside cells, groups in the head's 7x7 and a linear layer at the end. Also says how the alphas
// lie in their flat vector. Running it is forward.ts', training it core/search's, reading a genotype decode.ts'.
//
// Legend: A alphas, one row of eight (columns as in OPS) for each edge: nodes of the normal cell, then of the reduction cell.

import { FleetError } from '../errors.ts';
import { normals } from '../rng.ts';
import { OPS, type Op } from '../spec/network.ts';
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

/** Its result is the logits [N, classes], not the embedding before them. */
export interface Supernet extends LayerGraph {
  readonly spec: SupernetSpec;
}

/** Stem channels are this times C; the discrete networks have 4. */
const STEM_MULTIPLIER = 3;
/** Fixed in the reference. */
const EMBEDDING = 128;
const HEAD_GROUPS = 128;
/** Standard deviation of the first alphas. */
const ALPHA_DEVIATION = 0.001;

/** Edges of one cell: 2 + 3 + 4 + 5. */
export const CELL_EDGES = Array.from({ length: NODES }, (_, node) => node + 2).reduce((a, b) => a + b, 0);
/** A = 224. */
export const ALPHA_COUNT = 2 * CELL_EDGES * OPS.length;

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
  const head = addHead(builder, previous.last, { embedding: EMBEDDING, groups: HEAD_GROUPS });
  const module = 'linear';
  const flat = builder.add({ name: 'flatten', module, inputs: [head], operation: { kind: 'flatten' } });
  const output = builder.add({
    name: 'linear',
    module,
    inputs: [flat],
    operation: { kind: 'linear', channelsIn: EMBEDDING, bias: true },
    channels: spec.classes,
  });
  return { spec, layers: builder.layers, output, embedding: EMBEDDING };
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

/** One layer sums all ops of all edges; `none` adds nothing, but has its share in the softmax. */
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

/** Rows of nodes before: 2 + 3 + ... */
function alphaRow(reduction: boolean, node: number, from: number): number {
  return (reduction ? CELL_EDGES : 0) + (node * (node + 3)) / 2 + from;
}

/** The flat alphas [A] of a run's first step. */
export function initialAlphas(seed: number): Float32Array {
  return Float32Array.from(normals(seed, 'alphas', ALPHA_COUNT), (value) => value * ALPHA_DEVIATION);
}

/** Flat alphas by cell, node, edge and op, as decoding takes them. */
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
