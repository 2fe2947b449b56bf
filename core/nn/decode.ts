// Derives a genotype from the alphas of a search network (Liu, Simonyan and Yang, "DARTS", 2019, section
// 2.4): on each incoming edge of a node the best op except `none`, then the two edges whose best op ranks
// highest, best first.

import { FleetError } from '../errors.ts';
import { type Genotype, OPS, type Op } from '../spec/network.ts';
import { type Cell, cellOf, type Edge, NODES } from './genotype.ts';

/** By node, then by edge: a row of eight values, columns as in OPS. Node i has i + 2 edges. */
export type CellAlphas = readonly (readonly (readonly number[])[])[];

/** Alphas of both kinds of cell. */
export interface Alphas {
  readonly normal: CellAlphas;
  readonly reduce: CellAlphas;
}

/**
 * How edges are ranked. raw: PocketNet's rule, by the alpha of the best op. softmax: DARTS' rule, by the op's
 * share of its edge, so that an edge dominated by `none` ranks low. The best op of an edge is the same by
 * both rules; the edges that are kept often differ.
 */
export type RankingRule = 'raw' | 'softmax';

/** The genotype that these alphas stand for. */
export function decodeAlphas(alphas: Alphas, rule: RankingRule): Genotype {
  return {
    normal: decodeCell(alphas.normal, rule),
    normal_concat: [2, 3, 4, 5],
    reduce: decodeCell(alphas.reduce, rule),
    reduce_concat: [2, 3, 4, 5],
  };
}

function decodeCell(cell: CellAlphas, rule: RankingRule): Cell {
  if (cell.length !== NODES)
    throw new FleetError('invalidArgument', `alphas of a cell have ${cell.length} nodes, ${NODES} expected`);
  return cellOf((node) => {
    const rows = cell[node] ?? [];
    if (rows.length !== node + 2)
      throw new FleetError(
        'invalidArgument',
        `alphas of node ${node} have ${rows.length} edges, ${node + 2} expected`,
      );
    const ranked = rows.map((row, input) => ({ input, ...bestOp(rule === 'raw' ? row : softmax(row)) }));
    // The sort is stable, so ties go to the lower input. The reference leaves them unspecified.
    ranked.sort((a, b) => b.value - a.value);
    const [first, second] = ranked;
    if (first === undefined || second === undefined)
      throw new FleetError('internal', `node ${node} has no two edges`);
    return [edgeOf(first), edgeOf(second)];
  });
}

function edgeOf(ranked: { op: Exclude<Op, 'none'>; input: number }): Edge {
  return [ranked.op, ranked.input];
}

function bestOp(values: readonly number[]): { op: Exclude<Op, 'none'>; value: number } {
  let best: { op: Exclude<Op, 'none'>; value: number } | undefined;
  OPS.forEach((op, column) => {
    const value = values[column];
    if (value === undefined || Number.isNaN(value))
      throw new FleetError(
        'invalidArgument',
        `alpha of ${op} is ${value === undefined ? 'missing' : 'not a number'}`,
      );
    if (op !== 'none' && (best === undefined || value > best.value)) best = { op, value };
  });
  if (best === undefined) throw new FleetError('internal', 'no candidate ops');
  return best;
}

/** Over all eight ops; that `none` is among them makes the two rules differ. */
function softmax(row: readonly number[]): number[] {
  const max = Math.max(...row);
  const exponentials = row.map((value) => Math.exp(value - max));
  const sum = exponentials.reduce((a, b) => a + b, 0);
  return exponentials.map((value) => value / sum);
}
