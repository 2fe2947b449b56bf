// Weights of a fixture that are too many to ship: each value is a hash of the tensor's name and the element's number
// (README 5). The probes in the fixture say whether the formula was read rightly; they must match exactly.

import { fromTorch } from '../../core/model/export.ts';
import type { Layout, Slot } from '../../core/nn/layout.ts';
import type { Layer, Network } from '../../core/nn/network.ts';
import { type Fixture, floats, part } from './fixture.ts';

export interface State {
  readonly weights: Float32Array;
  readonly running: Float32Array;
}

export function formulaState(layout: Layout, network: Network): State {
  return {
    weights: fill(layout.parameters, layout.parameterCount, network),
    running: fill(layout.running, layout.runningCount, network),
  };
}

/** Number of probe values that differ. */
export function probeMismatches(fixture: Fixture, state: State, layout: Layout): number {
  const inState = (slot: Slot) => part(slot, slot.role.startsWith('running') ? state.running : state.weights);
  let mismatches = 0;
  for (const slot of [...layout.parameters, ...layout.running]) {
    const places = new Float32Array(slot.size);
    // Which of our places is torch element i: push the numbers 0.. through the same permutation.
    fromTorch(
      slot,
      Float32Array.from({ length: slot.size }, (_, i) => i),
      places,
    );
    const values = inState(slot);
    const probe = floats(fixture, `probe/${slot.name}`);
    [0, 1, 2, slot.size - 1].forEach((element, i) => {
      if (values[places.indexOf(element)] !== probe[i]) mismatches++;
    });
  }
  return mismatches;
}

function fill(slots: readonly Slot[], count: number, network: Network): Float32Array {
  const vector = new Float32Array(count);
  for (const slot of slots) {
    const { centre, width } = distribution(slot, network.layers[slot.layer]);
    const hash = fnv1a(slot.name);
    const values = Float32Array.from(
      { length: slot.size },
      (_, i) => centre + width * (mix(i, hash) / 2 ** 31 - 1),
    );
    fromTorch(slot, values, part(slot, vector));
  }
  return vector;
}

function distribution(slot: Slot, layer: Layer | undefined): { centre: number; width: number } {
  if (slot.role === 'running_var') return { centre: 1, width: 0.3 };
  if (slot.role === 'running_mean' || slot.role === 'bias') return { centre: 0, width: 0.1 };
  if (layer?.kind === 'prelu') return { centre: 0.25, width: 0.1 };
  if (layer?.kind !== 'batchNorm') {
    const perOutput = slot.size / (slot.torchShape[0] ?? 1);
    return { centre: 0, width: Math.sqrt(3 / perOutput) };
  }
  if (layer.frozenScale) return { centre: 1, width: 0 };
  if (layer.name.endsWith('.bn3')) return { centre: 0.3, width: 0.1 };
  if (layer.name.endsWith('downsample.1')) return { centre: 0.7, width: 0.2 };
  return { centre: 1, width: 0.3 };
}

function fnv1a(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

function mix(index: number, hash: number): number {
  let h = (Math.imul(index + 1, 0x9e3779b1) + hash) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
