// How much a search still moves: what of one genotype is not in the one before it.

import type { Genotype } from '../spec/network.ts';

/**
 * Edges of both cells, 0 to 16, that `after` has and `before` has not: another operation or another input at the same
 * node. The order of a node's two edges does not count, since their sum is the same.
 */
export function edgesChanged(before: Genotype, after: Genotype): number {
  const changedOf = (cell: 'normal' | 'reduce') =>
    after[cell].flatMap((edges, node) => {
      const known = before[cell][node]!;
      return edges.filter(([op, input]) => !known.some((edge) => edge[0] === op && edge[1] === input));
    }).length;
  return changedOf('normal') + changedOf('reduce');
}
