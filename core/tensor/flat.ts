// A flat vector and its parts: splits all weights and joins all gradients inside a graph, with one operation
// in each direction. One Slice a parameter would read the same, but its gradient is a padding to the whole
// vector for each parameter.

import { FleetError } from '../errors.ts';
import { type Tensor, tf } from './tf.ts';

/** A part of a flat vector, in elements. */
export interface FlatSlot {
  readonly shape: readonly number[];
  readonly offset: number;
  readonly size: number;
}

/**
 * The parts of flat [P], one tensor for each slot: one SplitV and a Reshape each. Slots lie gapless in order.
 */
export function splitFlat(flat: Tensor, slots: readonly FlatSlot[]): Tensor[] {
  let end = 0;
  for (const [index, slot] of slots.entries()) {
    const elements = slot.shape.reduce((product, dimension) => product * dimension, 1);
    if (slot.offset !== end || slot.size !== elements)
      throw new FleetError(
        'invalidArgument',
        `splitFlat: slot ${index} [${slot.shape}] at offset ${slot.offset} with ${slot.size} elements does not follow offset ${end}`,
      );
    end += slot.size;
  }
  if (flat.rank !== 1 || flat.size !== end)
    throw new FleetError(
      'invalidArgument',
      `splitFlat: a vector [${flat.shape}] where the slots need ${end} elements`,
    );
  if (slots.length === 0) return [];
  const sizes = slots.map((slot) => slot.size);
  // tfjs cannot differentiate a split into one part.
  const parts = sizes.length === 1 ? [flat] : tf.split(flat, sizes);
  return parts.map((part, i) =>
    slots[i]!.shape.length === 1 ? part : tf.reshape(part, [...slots[i]!.shape]),
  );
}

/** All tensors one after the other as one vector. */
export function concatFlat(tensors: readonly Tensor[]): Tensor {
  if (tensors.length === 0) return tf.zeros([0]);
  return tf.concat(tensors.map((tensor) => (tensor.rank === 1 ? tensor : tf.reshape(tensor, [-1]))));
}
