// The state of a run as named vectors in a fixed order. The order decides how a state is digested, how it is
// stored in a checkpoint and how it is sent to a member that is behind, so one list (`StateShape`) defines it
// and everything else follows that list.
//
// Nothing here knows how many vectors there are or what an optimiser does with them. A run that SGD trains
// has the three of `SGD_STATE`; a search that also trains its architecture has seven. Two rules hold for every
// state: the first vector is `weights`, and all values are float32.

import { digest64, digest64Of, joinedDigest } from './digest.ts';
import { FleetError } from './errors.ts';
import { stepDigest } from './step-digest.ts';

/** A piece of a vector that has a name of its own: one tensor of the network. */
export interface VectorPart {
  readonly name: string;
  /** Place of its first value in the vector, in values. */
  readonly offset: number;
  /** Number of its values. */
  readonly size: number;
}

/** What one vector of a state is. */
export interface VectorShape {
  readonly name: string;
  /** Number of its values. */
  readonly length: number;
  /** Its tensors in the order in which they lie in it; empty for a vector that is one piece. */
  readonly parts: readonly VectorPart[];
}

/** The vectors of a state, in order. */
export type StateShape = readonly VectorShape[];

/** One vector of a state, with its values. */
export interface NamedVector {
  readonly name: string;
  readonly values: Float32Array;
}

/** The values of a state, in the order of its shape. */
export type StateVectors = readonly NamedVector[];

/** Name of the first vector of every state. */
export const WEIGHTS = 'weights';

/** Name of the vector of a search's alphas. */
export const ALPHAS = 'alphas';

/**
 * The vectors of a run that SGD trains, in order. Checkpoints name their vectors only where these are not
 * all.
 */
export const SGD_STATE: readonly string[] = [WEIGHTS, 'momentum', 'running'];

/** The values of the vector of that name; a state without it is a mistake of the caller. */
export function vectorNamed(vectors: StateVectors, name: string): Float32Array {
  const found = vectors.find((vector) => vector.name === name);
  if (found !== undefined) return found.values;
  const known = vectors.map((vector) => vector.name).join(', ');
  throw new FleetError('internal', `a state of ${known === '' ? 'nothing' : known} has no vector ${name}`);
}

/** The state with other values for one vector. */
export function withVector(vectors: StateVectors, name: string, values: Float32Array): StateVectors {
  vectorNamed(vectors, name);
  return vectors.map((vector) => (vector.name === name ? { name, values } : vector));
}

/** Names of a state's vectors, in order. */
export const namesOf = (state: readonly { readonly name: string }[]): string[] =>
  state.map(({ name }) => name);

/** 64-bit digest of a whole state, 16 hex digits. */
export const stateDigest = (vectors: StateVectors): string => digest64Of(vectors.map(({ values }) => values));

/**
 * 64-bit digest of what a run trains, by which the members of a gang compare in each step: the weights, and the
 * alphas of a search; 16 hex digits.
 */
export const comparedDigest = (vectors: StateVectors): string =>
  trainedDigestOf(vectors.map(({ name, values }) => ({ name, digest: () => stepDigest(values) })));

/** 64-bit digest of what a run trains by which it is stored and reported; 16 hex digits. */
export const trainedDigest = (vectors: StateVectors): string =>
  trainedDigestOf(vectors.map(({ name, values }) => ({ name, digest: () => digest64(values) })));

/** The same from the digests of vectors. */
export function trainedDigestOf(
  vectors: readonly { readonly name: string; readonly digest: () => string }[],
): string {
  const [weights, alphas] = [WEIGHTS, ALPHAS].map((name) => vectors.find((vector) => vector.name === name));
  if (weights === undefined) throw new FleetError('internal', `a state has no vector ${WEIGHTS}`);
  return alphas === undefined ? weights.digest() : joinedDigest([weights.digest(), alphas.digest()]);
}

/**
 * The first vector of `shape` that a state does not have in that place and length, with the number of values
 * that the state has for it; undefined when the state is of that shape.
 */
export function firstMisfit(
  shape: StateShape,
  vectors: StateVectors,
): { readonly name: string; readonly found: number; readonly expected: number } | undefined {
  for (const [place, { name, length }] of shape.entries()) {
    const vector = vectors[place];
    const found = vector?.name === name ? vector.values.length : 0;
    if (vector?.name !== name || found !== length) return { name, found, expected: length };
  }
  const more = vectors[shape.length];
  return more && { name: more.name, found: more.values.length, expected: 0 };
}
