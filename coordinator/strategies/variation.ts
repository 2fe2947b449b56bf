// How new genes come from old ones: mutation, crossover, and the samples that parents are chosen from.

import type { RandomStream } from '../../core/rng.ts';
import type { Genes } from './search-space.ts';

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
