// The layers of a discrete PocketNet for any genotype: stem, cells with their reductions, head. Structure and
// module names are the reference's (facts 1.1-1.6), so that weights move between the two by name.

import type { Genotype, PocketnetSpec } from '../spec/network.ts';
import { addFactorizedReduce, addOp, addSeparable } from './blocks.ts';
import { type Cell, resolveGenotype } from './genotype.ts';
import { type Builder, createBuilder, type LayerSink, type Network } from './network.ts';

/** The stem has this many times C channels; the search network's has 3 times. */
const STEM_MULTIPLIER = 4;

const POINTWISE = { kernel: 1, stride: 1, padding: 0 } as const;
const AFFINE = { kind: 'batchNorm', affine: true, frozenScale: false } as const;

/** The layers of a PocketNet: 112x112 -> stem 56 -> reductions 28, 14, 7 -> embedding. */
export function buildPocketnet(spec: PocketnetSpec): Network {
  const genotype = resolveGenotype(spec.genotype);
  const builder = createBuilder();
  const stem = addStem(builder, STEM_MULTIPLIER * spec.channels);
  let previous = { before: stem, last: stem, lastReduced: false };
  let channels = spec.channels;
  for (let index = 0; index < spec.layers; index++) {
    const reduction = isReduction(index, spec.layers);
    if (reduction) channels *= 2;
    const cell = addCell(builder, { name: `cells.${index}`, genotype, reduction, channels, ...previous });
    previous = { before: previous.last, last: cell, lastReduced: reduction };
  }
  const output = addHead(builder, previous.last, { embedding: spec.embedding });
  return { spec: { ...spec, genotype }, layers: builder.layers, output, embedding: spec.embedding };
}

/**
 * Whether a cell is a reduction: at one third, at two thirds and, unlike in DARTS, at the end. The third one
 * brings 56 pixels to the 7 that the head's global convolution needs.
 */
export function isReduction(index: number, layers: number): boolean {
  return index === Math.floor(layers / 3) || index === Math.floor((2 * layers) / 3) || index === layers - 1;
}

/** A 3x3 convolution at stride 2 and a batch norm: [112, 112, 3] -> [56, 56, channels]. */
export function addStem(builder: LayerSink, channels: number): number {
  const conv = builder.add({
    name: 'stem.0',
    module: 'stem',
    inputs: [0],
    operation: { kind: 'conv', kernel: 3, stride: 2, padding: 1, groups: 1, channelsIn: 3 },
    channels,
  });
  return builder.add({ name: 'stem.1', module: 'stem', inputs: [conv], operation: AFFINE });
}

/**
 * Appends one cell: two input layers, four nodes of two edges each, and the concatenation of the nodes -> [H,
 * W, 4 channels].
 */
function addCell(
  builder: Builder,
  cell: {
    name: string;
    genotype: Genotype;
    reduction: boolean;
    channels: number;
    before: number;
    last: number;
    lastReduced: boolean;
  },
): number {
  const { name: module, channels, reduction } = cell;
  const part = { builder, module, channels, affine: true };
  const states = [
    cell.lastReduced
      ? addFactorizedReduce({ ...part, name: `${module}.preproc0`, input: cell.before })
      : addSeparable({ ...part, name: `${module}.preproc0`, input: cell.before, kernel: 1, stride: 1 }),
    addSeparable({ ...part, name: `${module}.preproc1`, input: cell.last, kernel: 1, stride: 1 }),
  ];
  const nodes: Cell = reduction ? cell.genotype.reduce : cell.genotype.normal;
  nodes.forEach((edges, node) => {
    const inputs = edges.map(([op, from], edge) =>
      addOp({
        ...part,
        name: `${module}.dag.${node}.${edge}`,
        op,
        input: states[from] ?? -1,
        stride: reduction && from < 2 ? 2 : 1,
      }),
    );
    states.push(builder.add({ name: `${module}.dag.${node}`, module, inputs, operation: { kind: 'add' } }));
  });
  return builder.add({ name: module, module, inputs: states.slice(2), operation: { kind: 'concat' } });
}

/**
 * Appends the head: 1x1 to the head's width, a 7x7 global depthwise convolution, 1x1 to the embedding,
 * without an activation at the end. With `groups`, for the search network, the 7x7 is a grouped convolution
 * instead.
 */
export function addHead(
  builder: LayerSink,
  input: number,
  { embedding, groups }: { embedding: number; groups?: number },
): number {
  const module = 'tail';
  const width = embedding === 512 ? 1024 : 512;
  const add = (
    index: number,
    from: number,
    layer: Pick<Parameters<Builder['add']>[0], 'operation' | 'channels'>,
  ) => builder.add({ name: `tail.${index}`, module, inputs: [from], ...layer });
  const conv = (channelsIn: number) => ({ kind: 'conv', ...POINTWISE, groups: 1, channelsIn }) as const;
  let last = add(0, input, { operation: { kind: 'prelu' } });
  last = add(1, last, { operation: conv(builder.shapeOf(input).channels), channels: width });
  last = add(2, last, { operation: AFFINE });
  last = add(3, last, { operation: { kind: 'prelu' } });
  const whole = { kernel: 7, stride: 1, padding: 0 } as const;
  last = add(4, last, {
    operation:
      groups === undefined
        ? { kind: 'depthwise', ...whole }
        : { kind: 'conv', ...whole, groups, channelsIn: width },
    channels: width,
  });
  last = add(5, last, { operation: AFFINE });
  last = add(6, last, { operation: conv(width), channels: embedding });
  return add(7, last, { operation: AFFINE });
}
