// Genotypes drawn at random. Draws are numbered: each is a function of the ops, a seed and its number, so that
// a search proposes the same candidates wherever and whenever it runs.

import { uniforms } from '../rng.ts';
import { type Genotype, OPS, type Op } from '../spec/network.ts';
import { NODES } from './genotype.ts';
import {
  canonicalCode,
  edgeCode,
  GENOTYPE_EDGES,
  type GenotypeCode,
  genotypeOfCode,
} from './genotype-code.ts';

/** Candidate `number` of a random search, in canonical form. */
export function randomGenotype(ops: readonly Exclude<Op, 'none'>[], seed: number, number: number): Genotype {
  return genotypeOfCode(canonicalCode(randomCode(ops, seed, number)));
}

/**
 * The code of draw `number`, as drawn and in no canonical form: uniform over edges and over `ops`, a function
 * of its arguments alone.
 */
export function randomCode(ops: readonly Exclude<Op, 'none'>[], seed: number, number: number): GenotypeCode {
  // Four draws a node, two for the pair of inputs and two for the ops, and two cells.
  const draws = uniforms(seed, `genotype/${number}`, 2 * NODES * 4);
  const below = (at: number, bound: number): number => Math.floor((draws[at] ?? 0) * bound);
  const code = new Uint8Array(GENOTYPE_EDGES);
  for (let pair = 0; pair < 2 * NODES; pair++) {
    const node = pair % NODES;
    const first = below(4 * pair, node + 2);
    const other = below(4 * pair + 1, node + 1);
    const second = other < first ? other : other + 1;
    [first, second].forEach((input, edge) => {
      const op = ops[below(4 * pair + 2 + edge, ops.length)] ?? 'skip_connect';
      code[2 * pair + edge] = edgeCode(input, OPS.indexOf(op));
    });
  }
  return code;
}
