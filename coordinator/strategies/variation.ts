// How candidates come about: the first ones by a draw, the others from old genes by mutation and crossover, and the
// samples that parents are chosen from.

import type { RandomStream } from '../../core/rng.ts';
import type { Genes, SearchSpace } from './search-space.ts';
import type { Proposal, Turn } from './strategy.ts';

/**
 * A candidate that is drawn at random, because fewer than `first` were begun or no result is known; undefined
 * otherwise.
 */
export function firstDraw(
  space: SearchSpace,
  {
    seed,
    draw,
    begun,
    first,
    isNothingKnown,
  }: {
    readonly seed: number;
    readonly draw: Turn['draw'];
    readonly begun: number;
    readonly first: number;
    readonly isNothingKnown: boolean;
  },
): Proposal | undefined {
  if (begun >= first && !isNothingKnown) return undefined;
  const reason =
    begun < first
      ? `one of the first ${first}, drawn at random`
      : 'drawn at random, because no trial has a result yet';
  return { kind: 'evaluate', reason, genes: space.draw(seed, draw), parents: [] };
}

/** Refused children in a row after which the next ones have one more gene changed. */
const MISSES_A_MUTATION = 8;

/** Genes to change of a child, of which `mutations` are asked for, after so many refused ones in a row. */
export function mutationsAfter(misses: number, mutations: number): number {
  return mutations + Math.floor(misses / MISSES_A_MUTATION);
}

/** `count` different genes get another value each; those that have one value alone stay as they are. */
export function mutated(
  genes: Genes,
  widths: readonly number[],
  count: number,
  random: RandomStream,
): number[] {
  const free = widths.flatMap((width, gene) => (width > 1 ? [gene] : []));
  const changed = [...genes];
  for (const gene of sampled(free, count, random)) {
    const other = random.integer(widths[gene]! - 1);
    changed[gene] = other < changed[gene]! ? other : other + 1;
  }
  return changed;
}

/** Each gene from one of the two, with equal chances. */
export function crossed(a: Genes, b: Genes, random: RandomStream): number[] {
  return a.map((value, gene) => (random.chance(0.5) ? value : b[gene]!));
}

/** `count` of the things without repetition, or all of them where they are fewer; at a cost of `count`. */
export function sampled<T>(things: readonly T[], count: number, random: RandomStream): T[] {
  const chosen: T[] = [];
  /** What stands at a place after the swaps so far; itself where nothing is said. */
  const moved = new Map<number, number>();
  for (let at = 0; at < Math.min(count, things.length); at++) {
    const place = at + random.integer(things.length - at);
    chosen.push(things[moved.get(place) ?? place]!);
    moved.set(place, moved.get(at) ?? at);
  }
  return chosen;
}
