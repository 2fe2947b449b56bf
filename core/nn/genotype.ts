// Genotypes as a spec writes them: the two published ones, and the parts of which a cell consists.

import { FleetError } from '../errors.ts';
import type { Genotype, NetworkSpec } from '../spec/network.ts';
import { foundText } from '../text/printable.ts';

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
export function resolveGenotype(genotype: string | Genotype): Genotype {
  if (typeof genotype !== 'string') return genotype;
  if (isPublished(genotype)) return GENOTYPES[genotype];
  throw new FleetError(
    'invalidArgument',
    `${foundText(genotype)} names no published genotype; what a search has found is known to its fleet alone: \`pocketfleet checkpoints RUN --json\` shows it`,
  );
}

const isPublished = (name: string): name is keyof typeof GENOTYPES => Object.hasOwn(GENOTYPES, name);

/** Whether a genotype names a search of a fleet, which only a fleet can look up. */
export const isReference = (genotype: string | Genotype): genotype is string =>
  typeof genotype === 'string' && !isPublished(genotype);

/** The network with published cells where it names those of a search: of equal sizes, to be built and counted. */
export const withStandIn = (network: NetworkSpec): NetworkSpec =>
  network.kind === 'pocketnet' && isReference(network.genotype) ? { ...network, genotype: 'casia' } : network;

/** A cell from one function of the node index. */
export function cellOf(node: (index: number) => [Edge, Edge]): Cell {
  return [node(0), node(1), node(2), node(3)];
}
