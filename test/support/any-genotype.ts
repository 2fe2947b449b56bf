// Any genotype that a spec may have, for properties.

import fc from 'fast-check';
import type { Cell, Edge } from '../../core/nn/genotype.ts';
import { type Genotype, OPS, type Op } from '../../core/spec/network.ts';

type Choice = Exclude<Op, 'none'>;

/** The ops that a genotype may have. */
export const CHOICES = OPS.filter((op): op is Choice => op !== 'none');

const edges = (node: number): fc.Arbitrary<[Edge, Edge]> =>
  fc
    .tuple(
      fc.uniqueArray(fc.integer({ min: 0, max: node + 1 }), { minLength: 2, maxLength: 2 }),
      fc.constantFrom(...CHOICES),
      fc.constantFrom(...CHOICES),
    )
    .map(([[a = 0, b = 1], first, second]) => [
      [first, a],
      [second, b],
    ]);
const cells: fc.Arbitrary<Cell> = fc.tuple(edges(0), edges(1), edges(2), edges(3));

/** Genotypes in no canonical form. */
export const genotypes: fc.Arbitrary<Genotype> = fc
  .tuple(cells, cells)
  .map(([normal, reduce]) => ({ normal, normal_concat: [2, 3, 4, 5], reduce, reduce_concat: [2, 3, 4, 5] }));
