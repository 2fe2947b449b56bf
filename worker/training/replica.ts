// The replica of a run on one worker: the vectors that every member of the gang holds alike, in memory that
// the compute thread shares, and the number of committed steps that they belong to. Decides how a replica is
// made from a state and what a network trained by SGD has for vectors.

import type { Layout } from '../../core/nn/layout.ts';
import { sharedFloats } from '../../core/shared-memory.ts';
import {
  comparedDigest,
  SGD_STATE,
  type StateShape,
  type StateVectors,
  vectorNamed,
  WEIGHTS,
} from '../../core/state-vectors.ts';

export interface Replica {
  /** Committed steps. */
  step: number;
  /** Of what is trained (`comparedDigest`), kept beside it because the optimiser's thread computes it anyway. */
  digest: string;
  /** In shared memory, and changed in place by the optimiser. */
  readonly vectors: StateVectors;
}

/** A state and the committed steps that it belongs to. */
export interface StateAtStep {
  readonly step: number;
  readonly vectors: StateVectors;
}

/**
 * The replica with a state. Vectors that have shared memory to themselves are taken over, all others are
 * copied.
 */
export function replicaOf({ step, vectors }: StateAtStep): Replica {
  const own = vectors.map(({ name, values }) => ({ name, values: inSharedMemory(values) }));
  return { step, digest: comparedDigest(own), vectors: own };
}

function inSharedMemory(values: Float32Array): Float32Array {
  if (values.buffer instanceof SharedArrayBuffer && values.byteLength === values.buffer.byteLength)
    return values;
  const copy = sharedFloats(values.length);
  copy.set(values);
  return copy;
}

/** The vectors of a network that SGD trains, as the layout places its tensors in them. */
export function sgdShape(layout: Layout): StateShape {
  const { parameters, running, parameterCount, runningCount } = layout;
  const shapes = [
    { length: parameterCount, parts: parameters },
    { length: parameterCount, parts: parameters },
    { length: runningCount, parts: running },
  ];
  return SGD_STATE.map((name, place) => ({ name, ...shapes[place]! }));
}

/** The vectors of a network that SGD trains, by name. */
export interface SgdVectors {
  /** [P], the backbone before the head. */
  readonly weights: Float32Array;
  /** [P] */
  readonly momentum: Float32Array;
  /** [S], means and variances of batch normalisation. */
  readonly running: Float32Array;
}

/** Those vectors of a replica or a checkpoint. */
export const sgdVectors = ({ vectors }: { readonly vectors: StateVectors }): SgdVectors => ({
  weights: vectorNamed(vectors, WEIGHTS),
  momentum: vectorNamed(vectors, 'momentum'),
  running: vectorNamed(vectors, 'running'),
});

/** As a state, in order. */
export const sgdState = ({ weights, momentum, running }: SgdVectors): StateVectors => [
  { name: WEIGHTS, values: weights },
  { name: 'momentum', values: momentum },
  { name: 'running', values: running },
];
