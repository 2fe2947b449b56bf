// The random path that each step of a single-path one-shot search trains (Guo et al., "Single Path One-Shot Neural
// Architecture Search with Uniform Sampling", 2020): the weights of one sub-network move, so that all operations are
// trained alike and none is preferred for having been good early on. Decides which path a step has: a function of seed
// and step alone, the same at every member.

import { genotypeOfCode } from '../nn/genotype-code.ts';
import { randomCode } from '../nn/random-genotype.ts';
import { type Genotype, OPS, type Op } from '../spec/network.ts';
import { alphasOfGenotype } from './one-hot.ts';

const DRAWN = OPS.filter((op): op is Exclude<Op, 'none'> => op !== 'none');

/** The cells that a step trains: each node has two inputs, and on each an operation, all drawn uniformly. */
export const pathOf = (seed: number, step: number): Genotype => genotypeOfCode(randomCode(DRAWN, seed, step));

/** Its alphas, [A]: operations beside the path have no share, and so no gradient. */
export const pathAlphas = (seed: number, step: number): Float32Array => alphasOfGenotype(pathOf(seed, step));
