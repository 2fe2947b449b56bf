// Which values of a state lie in which part of its checkpoint. Decides the parts by what reads them alone:
//
//   backbone    the network and its running statistics: what a student, a verification and an export need
//   optimizer   what only the next step of the same run needs: momenta, and residuals of int8 within a stage
//   head        the rest of the weights: the classes of the training data
//   labels      the labels of the head's classes, where they were renumbered; text
//
// A vector that is not known to be an optimiser's lies in the backbone, which is kept the longest. The
// metadata of a checkpoint carry its layout, so that it is read without building the network.

import { z } from 'zod';
import { FleetError } from '../errors.ts';
import { sharedFloats } from '../shared-memory.ts';
import { type StateVectors, vectorNamed, WEIGHTS } from '../state-vectors.ts';
import { excerpt } from '../text/printable.ts';
import { shaped } from '../text/shape.ts';
import type { Pieces } from './chunks.ts';

export const BACKBONE = 'backbone';
export const OPTIMIZER = 'optimizer';
export const HEAD = 'head';
export const LABELS = 'labels';

/** The parts that hold values, in the order in which they are stored. */
export const VALUE_PARTS = [BACKBONE, OPTIMIZER, HEAD] as const;
/** The name of such a part. */
export type ValuePart = (typeof VALUE_PARTS)[number];

const OPTIMIZER_VECTORS: ReadonlySet<string> = new Set([
  'momentum',
  'outer_momentum',
  'adam_first',
  'adam_second',
]);

/** Name of the vector of what int8 compression has left of a shard, in the checkpoint of a step. */
export const residualName = (shard: number): string => `residual_${shard}`;

const isOfOptimizer = (name: string): boolean => OPTIMIZER_VECTORS.has(name) || name.startsWith('residual_');

/** A range of a vector, in values: its name, the first value, how many. */
const sliceSchema = z.tuple([z.string().regex(/^[a-z][a-z0-9_]*$/), z.int().min(0), z.int().min(0)]);
/** One such range. */
export type Slice = z.infer<typeof sliceSchema>;

const layoutSchema = z.strictObject({
  /** Vectors of the state, in order. */
  vectors: z.array(z.string()).min(1),
  backbone: z.array(sliceSchema),
  optimizer: z.array(sliceSchema),
  head: z.array(sliceSchema),
});

/** Where the values of a state lie. */
export type StateLayout = z.infer<typeof layoutSchema>;

/** The layout of a state whose first `backboneCount` weights are the backbone. */
export function layoutOfState(vectors: StateVectors, backboneCount: number): StateLayout {
  const weights = vectorNamed(vectors, WEIGHTS).length;
  if (backboneCount > weights)
    throw new FleetError('internal', `a backbone of ${backboneCount} in ${weights} weights`);
  const momentum = vectors.find(({ name }) => name === 'momentum')?.values.length ?? weights;
  if (momentum !== weights) throw new FleetError('internal', `${weights} weights have ${momentum} momenta`);
  const others = vectors.filter(({ name }) => name !== WEIGHTS);
  const whole = (names: StateVectors): Slice[] => names.map(({ name, values }) => [name, 0, values.length]);
  return {
    vectors: vectors.map(({ name }) => name),
    backbone: [[WEIGHTS, 0, backboneCount], ...whole(others.filter(({ name }) => !isOfOptimizer(name)))],
    optimizer: whole(others.filter(({ name }) => isOfOptimizer(name))),
    head: [[WEIGHTS, backboneCount, weights - backboneCount]],
  };
}

/** The layout that metadata carry; `dataLoss` when its ranges are not the whole of each vector. */
export function parsedLayout(text: string | undefined, where: string): StateLayout {
  let value: unknown;
  try {
    value = JSON.parse(text ?? '');
  } catch {
    throw new FleetError('dataLoss', `${where} carry no layout of the state`);
  }
  const layout = shaped(layoutSchema, value, `the layout in ${where}`, 'dataLoss');
  const named = new Set(layout.vectors);
  for (const [name] of VALUE_PARTS.flatMap((part) => layout[part]))
    if (!named.has(name))
      throw new FleetError(
        'dataLoss',
        `the layout in ${where} has values of ${excerpt(name)}, which is no vector of it`,
      );
  for (const name of layout.vectors) lengthOf(layout, name, where);
  return layout;
}

/**
 * Throws `dataLoss` where a part has another length than its ranges need: memory is made by the layout, which
 * may not claim more than is stored.
 */
export function assertStored(
  layout: Pick<StateLayout, ValuePart>,
  parts: readonly { readonly name: string; readonly bytes: number }[],
  where: string,
): void {
  for (const part of VALUE_PARTS) {
    const needed = layout[part].reduce((sum, [, , length]) => sum + length * 4, 0);
    const stored = parts.find(({ name }) => name === part)?.bytes ?? 0;
    if (needed !== stored)
      throw new FleetError(
        'dataLoss',
        `the layout in ${where} needs ${needed} bytes of part ${part}, which has ${stored}`,
      );
  }
}

/** Memory of a state with this layout, shared with other threads; zeros. */
export const emptyState = (layout: StateLayout): StateVectors =>
  layout.vectors.map((name) => ({ name, values: sharedFloats(lengthOf(layout, name, 'a checkpoint')) }));

/** The memory of a part: its ranges in the vectors, as bytes. */
export const piecesOf = (slices: readonly Slice[], vectors: StateVectors): Pieces =>
  slices.map(([name, offset, length]) => {
    const values = vectorNamed(vectors, name);
    return new Uint8Array(values.buffer, values.byteOffset + offset * 4, length * 4);
  });

/** Number of values of a vector, whose ranges must follow one another from 0 on without a gap. */
function lengthOf(layout: StateLayout, name: string, where: string): number {
  const slices = VALUE_PARTS.flatMap((part) => layout[part]).filter(([vector]) => vector === name);
  let next = 0;
  for (const [, offset, length] of slices.sort(([, a], [, b]) => a - b)) {
    if (offset !== next)
      throw new FleetError('dataLoss', `the layout in ${where} has a gap in ${excerpt(name)}`);
    next += length;
  }
  return next;
}
