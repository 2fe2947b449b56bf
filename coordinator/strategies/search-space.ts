// What a strategy knows of a space: a list of genes with a few values each, and pure functions of them. Cells of
// PocketNet are one such space, a table of measured networks another; a strategy takes any.

import type { Costs } from '../../core/nn/space.ts';

/** One value for each gene of a space, each a place in the gene's list of values. */
export type Genes = readonly number[];

/** A choice that a candidate makes. */
export interface Gene {
  /** Unique within the space. */
  readonly name: string;
  /** What it can be, at least one, in words. */
  readonly values: readonly string[];
}

/** A space of candidates, within the constraints of its search. */
export interface SearchSpace {
  readonly genes: readonly Gene[];
  /** The candidate of a numbered draw, a function of its arguments alone. */
  draw(seed: number, number: number): Genes;
  /** The name of the candidate: equal exactly for those that are one and the same network. */
  keyOf(genes: Genes): string;
  /** Genes of the candidate with this key. */
  genesOf(key: string): Genes;
  /** What the candidate costs, before anything is trained. */
  costsOf(genes: Genes): Costs;
  /** Which constraint the costs break, in words; undefined where they break none. */
  violation(costs: Costs): string | undefined;
  /** The candidates one by one where they are few within the constraints; undefined where they are many. */
  listed(): ListedSpace | undefined;
}

/** Every candidate within the constraints, and perhaps some that are not. */
export interface ListedSpace {
  readonly size: number;
  /** The candidate at a place from 0 to `size` - 1; no two places have the same key. */
  at(place: number): Genes;
  /** Why the space has no candidate; asked where `size` is 0. */
  emptiness(): string;
}

/** How many values each gene has. */
export function widthsOf({ genes }: Pick<SearchSpace, 'genes'>): number[] {
  return genes.map(({ values }) => values.length);
}
