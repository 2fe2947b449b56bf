// Initial weights and running statistics of a run, a function of layout and seed alone. Each slot draws from
// a random stream of its own, named after the slot, so a layer's initial values do not depend on which other
// layers exist.

import { normals, uniforms } from '../rng.ts';
import type { Layout, Slot } from './layout.ts';

/** Initial parameters [P], each slot from its distribution. */
export function initialWeights(layout: Layout, seed: number): Float32Array {
  return filled(layout.parameters, layout.parameterCount, seed);
}

/** Initial running statistics [S]: mean 0, variance 1. */
export function initialRunning(layout: Layout): Float32Array {
  return filled(layout.running, layout.runningCount, 0);
}

function filled(slots: readonly Slot[], count: number, seed: number): Float32Array {
  const vector = new Float32Array(count);
  for (const slot of slots) fillSlot(vector.subarray(slot.offset, slot.offset + slot.size), slot, seed);
  return vector;
}

function fillSlot(into: Float32Array, slot: Slot, seed: number): void {
  const { initial } = slot;
  const stream = `init/${slot.name}`;
  switch (initial.kind) {
    case 'constant':
      into.fill(initial.value);
      return;
    case 'uniform':
      into.set(uniforms(seed, stream, slot.size).map((value) => (2 * value - 1) * initial.bound));
      return;
    case 'normal':
      into.set(normals(seed, stream, slot.size).map((value) => value * initial.std));
      return;
  }
}
