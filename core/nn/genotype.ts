// Genotypes as a spec writes them: the two published ones, and the parts of which a cell consists.

import type { Genotype } from '../spec/network.ts';

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

/** A cell from one function of the node index. */
export function cellOf(node: (index: number) => [Edge, Edge]): Cell {
  return [node(0), node(1), node(2), node(3)];
}
