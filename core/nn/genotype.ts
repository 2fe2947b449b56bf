// Genotypes: the two published ones, drawing one at random, and the canonical form that makes isomorphic
// cells one candidate.
//
// Two cells are isomorphic when one becomes the other by listing a node's two edges in another order (their
// sum is the same) or by numbering the nodes in another topological order. The cell's output concatenates all
// nodes, and what reads it, a PReLU and a 1x1 convolution, has parameters for each channel, so its channels
// are merely permuted. The networks then compute the same family of functions from identically distributed
// initial weights, so one trial stands for both. Inputs 0 and 1 are outputs of different cells and are never
// exchanged.

import { uniforms } from '../rng.ts';
import { type Genotype, OPS, type Op } from '../spec/network.ts';

export type Cell = Genotype['normal'];
export type Edge = Cell[number][number];

/** Intermediate nodes of a cell. */
export const NODES = 4;

/** Published genotypes by the name of the data they were searched on (PocketNet's configurations). */
export const GENOTYPES: Readonly<Record<'casia' | 'cifar10', Genotype>> = {
  casia: {
    normal: [
      [
        ['dw_conv_3x3', 0],
        ['dw_conv_1x1', 1],
      ],
      [
        ['dw_conv_3x3', 2],
        ['dw_conv_5x5', 0],
      ],
      [
        ['dw_conv_3x3', 3],
        ['dw_conv_3x3', 0],
      ],
      [
        ['dw_conv_3x3', 4],
        ['skip_connect', 0],
      ],
    ],
    normal_concat: [2, 3, 4, 5],
    reduce: [
      [
        ['dw_conv_3x3', 1],
        ['dw_conv_7x7', 0],
      ],
      [
        ['skip_connect', 2],
        ['dw_conv_5x5', 1],
      ],
      [
        ['max_pool_3x3', 0],
        ['skip_connect', 2],
      ],
      [
        ['max_pool_3x3', 0],
        ['max_pool_3x3', 1],
      ],
    ],
    reduce_concat: [2, 3, 4, 5],
  },
  cifar10: {
    normal: [
      [
        ['dw_conv_7x7', 0],
        ['dw_conv_3x3', 1],
      ],
      [
        ['dw_conv_1x1', 1],
        ['dw_conv_1x1', 2],
      ],
      [
        ['max_pool_3x3', 2],
        ['dw_conv_7x7', 3],
      ],
      [
        ['dw_conv_5x5', 4],
        ['max_pool_3x3', 0],
      ],
    ],
    normal_concat: [2, 3, 4, 5],
    reduce: [
      [
        ['max_pool_3x3', 0],
        ['dw_conv_7x7', 1],
      ],
      [
        ['max_pool_3x3', 0],
        ['max_pool_3x3', 1],
      ],
      [
        ['max_pool_3x3', 0],
        ['max_pool_3x3', 2],
      ],
      [
        ['max_pool_3x3', 0],
        ['max_pool_3x3', 1],
      ],
    ],
    reduce_concat: [2, 3, 4, 5],
  },
};

/** The genotype of a spec, which gives it in full or by the name of a published one. */
export function resolveGenotype(genotype: keyof typeof GENOTYPES | Genotype): Genotype {
  return typeof genotype === 'string' ? GENOTYPES[genotype] : genotype;
}

/**
 * The representative of all isomorphic genotypes, the first in the order of their texts. Two genotypes have
 * equal ones exactly when both their cells are isomorphic.
 */
export function canonicalGenotype(genotype: Genotype): Genotype {
  return {
    normal: canonicalCell(genotype.normal),
    normal_concat: [2, 3, 4, 5],
    reduce: canonicalCell(genotype.reduce),
    reduce_concat: [2, 3, 4, 5],
  };
}

/** Short text, equal exactly for isomorphic genotypes; names a candidate in journals and caches. */
export function genotypeKey(genotype: Genotype): string {
  const { normal, reduce } = canonicalGenotype(genotype);
  return `${cellText(normal)}|${cellText(reduce)}`;
}

/**
 * Candidate `number` of a random search, in canonical form: uniform over edges and over `ops`, a function of
 * its arguments alone.
 */
export function randomGenotype(ops: readonly Exclude<Op, 'none'>[], seed: number, number: number): Genotype {
  // Four draws a node, two for the pair of inputs and two for the ops, and two cells.
  const draws = uniforms(seed, `genotype/${number}`, 2 * NODES * 4);
  let next = 0;
  const below = (bound: number): number => Math.floor((draws[next++] ?? 0) * bound);
  const edge = (input: number): Edge => [ops[below(ops.length)] ?? 'skip_connect', input];
  const cell = (): Cell =>
    cellOf((node) => {
      const first = below(node + 2);
      const second = below(node + 1);
      return [edge(first), edge(second < first ? second : second + 1)];
    });
  return canonicalGenotype({
    normal: cell(),
    normal_concat: [2, 3, 4, 5],
    reduce: cell(),
    reduce_concat: [2, 3, 4, 5],
  });
}

/** A cell from one function of the node index. */
export function cellOf(node: (index: number) => [Edge, Edge]): Cell {
  return [node(0), node(1), node(2), node(3)];
}

function canonicalCell(cell: Cell): Cell {
  let best: { cell: Cell; text: string } | undefined;
  for (const order of TOPOLOGICAL_CANDIDATES) {
    const renumbered = renumber(cell, order);
    if (renumbered === undefined) continue;
    const text = cellText(renumbered);
    if (best === undefined || text < best.text) best = { cell: renumbered, text };
  }
  // The identity order is always possible.
  return best?.cell ?? cell;
}

/**
 * All 24 orders of four nodes. With so few, trying each is easier to trust than an algorithm for graph
 * isomorphism.
 */
const TOPOLOGICAL_CANDIDATES: readonly (readonly number[])[] = permutations([0, 1, 2, 3]);

function permutations(items: readonly number[]): number[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item) =>
    permutations(items.filter((other) => other !== item)).map((rest) => [item, ...rest]),
  );
}

/**
 * The cell whose node i is node `order[i]` of the given one, each node's edges sorted; undefined where a node
 * would read a later one.
 */
function renumber(cell: Cell, order: readonly number[]): Cell | undefined {
  const input = (old: number): number => (old < 2 ? old : 2 + order.indexOf(old - 2));
  const nodes = order.map((old, node) => {
    const edges = (cell[old] ?? []).map(([op, from]): Edge => [op, input(from)]);
    edges.sort((a, b) => a[1] - b[1] || OPS.indexOf(a[0]) - OPS.indexOf(b[0]));
    return edges.every(([, from]) => from < node + 2) ? edges : undefined;
  });
  if (nodes.some((edges) => edges === undefined)) return undefined;
  return cellOf((index) => nodes[index] as [Edge, Edge]);
}

function cellText(cell: Cell): string {
  return cell.map((edges) => edges.map(([op, from]) => `${from}${OPS.indexOf(op)}`).join('')).join('.');
}
