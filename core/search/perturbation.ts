// Decoding by perturbation (Wang et al., "Rethinking Architecture Selection in Differentiable NAS", 2021): an op
// is worth what the search network loses without it, because an alpha is no measure of that. Decides which
// evaluations are needed and which genotype follows from their accuracies; all of them are independent, so they
// can run on as many workers as there are.
//
// The paper chooses edge by edge and trains the network in between. Here all are measured on the network as the
// search left it, which costs no training.

import { type CellScores, type DecodeLimits, decodeScores } from '../nn/decode.ts';
import { NODES } from '../nn/genotype.ts';
import { type Genotype, OPS, type Op } from '../spec/network.ts';
import type { CellKind, Removal } from './one-hot.ts';

const CELLS = ['normal', 'reduce'] as const satisfies readonly CellKind[];
const CHOICES = OPS.filter((op): op is Exclude<Op, 'none'> => op !== 'none');

/**
 * The genotype that accuracies stand for. `accuracies`: of the half of the alphas, for each of `PERTURBATIONS`
 * in its order, [0, 1]. Where two removals cost the same, the op that stands first in OPS and the lower input are
 * kept.
 */
export function decodePerturbed(accuracies: readonly number[], limits: DecodeLimits = {}): Genotype {
  const { length } = PERTURBATIONS;
  if (accuracies.length !== length)
    throw new Error(`assertion: ${accuracies.length} accuracies of ${length} perturbations`);
  const lost = new Map(PERTURBATIONS.map((removal, i) => [keyOf(removal), 1 - accuracies[i]!]));
  const lossOf = (removal: Removal) => lost.get(keyOf(removal)) ?? 0;
  const scores = (cell: CellKind): CellScores => ({
    ops: byNode((node, input) => OPS.map((op) => (op === 'none' ? 0 : lossOf({ cell, node, input, op })))),
    edges: byNode((node, input) => lossOf({ cell, node, input })),
  });
  return decodeScores({ normal: scores('normal'), reduce: scores('reduce') }, limits);
}

const keyOf = ({ cell, node, input, op }: Removal) => `${cell}/${node}/${input}/${op ?? ''}`;

const byNode = <T>(of: (node: number, input: number) => T): T[][] =>
  Array.from({ length: NODES }, (_, node) => Array.from({ length: node + 2 }, (_, input) => of(node, input)));

const nodesAndInputs = (): [number, number][] =>
  byNode((node, input): [number, number] => [node, input]).flat();

/**
 * What is removed in each evaluation, in a fixed order: 14 edges x 7 ops for each kind of cell, and the 12 edges
 * of nodes that have a choice of edges.
 */
export const PERTURBATIONS: readonly Removal[] = CELLS.flatMap((cell) =>
  nodesAndInputs().flatMap(([node, input]): Removal[] => [
    ...CHOICES.map((op) => ({ cell, node, input, op })),
    // The first node keeps both of its edges.
    ...(node === 0 ? [] : [{ cell, node, input }]),
  ]),
);
