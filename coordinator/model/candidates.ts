// The genotypes that a sweep has had, so that none is proposed twice. Those of a long past lie in one table,
// which takes a small part of the time that a persistent map does: a start makes it once, and nobody changes it
// afterwards. What is decided since then lies in a persistent map over it.

import { KeyNumbers, type ReadonlyKeyNumbers } from './key-numbers.ts';
import { emptyMap, entriesOf, lookup, type PersistentMap, withEntry } from './persistent-map.ts';
import type { Edit } from './table.ts';

/** Keys of genotypes -> number of the trial's id; of those that screening has cut the number of their group, below 0. */
export interface Candidates {
  /** Those that were there when the state was read. */
  readonly past: ReadonlyKeyNumbers;
  /** Those since then, which count before the others. */
  readonly recent: PersistentMap<number>;
}

/** A set without candidates, of one sweep alone. */
export const noCandidates = (): Candidates => ({ past: new KeyNumbers(), recent: emptyMap() });

/** The number of the trial that has this genotype, or undefined. */
export const trialOfGenotype = ({ past, recent }: Candidates, key: string): number | undefined =>
  lookup(recent, key) ?? past.get(key);

/** With one more; the one given stays as it is, except for what was made under `edit`. */
export function withCandidate(candidates: Candidates, key: string, number: number, edit: Edit): Candidates {
  return { past: candidates.past, recent: withEntry(candidates.recent, key, number, edit) };
}

/** Adds one to a set that nobody else has seen. */
export function addCandidate({ past }: Candidates, key: string, number: number): void {
  (past as KeyNumbers).set(key, number);
}

/** All of them, each once. */
export function* candidatesIn({ past, recent }: Candidates): Generator<readonly [string, number]> {
  for (const entry of past) if (lookup(recent, entry[0]) === undefined) yield entry;
  yield* entriesOf(recent);
}
