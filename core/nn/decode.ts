// Reads a genotype from the alphas of a search network: on each incoming edge of a node the best op except `none`, then the
// two edges whose best op ranks highest, best first. Pure; making alphas is the search's.

import { FleetError } from '../errors.ts';
import { type Genotype, OPS, type Op } from '../spec/network.ts';
import { type Cell, cellOf, type Edge, NODES } from './genotype.ts';

/** One row of eight values (columns as in OPS) for each edge of each node: node i has i + 2 edges. */
export type CellAlphas = readonly (readonly (readonly number[])[])[];

export interface Alphas {
  readonly normal: CellAlphas;
  readonly reduce: CellAlphas;
}

/**
 * raw: PocketNet's rule, edges ranked by the alpha itself. softmax: DARTS' rule, by the op's weight on its edge; an edge
 * dominated by `none` then ranks low. The best op of an edge is the same either way, the edges kept often differ.
 */
export type RankingRule = 'raw' | 'softmax';

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
    // Ties go to the lower input: the sort is stable. The reference leaves them unspecified.
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

/** Over all eight ops, `none` included: that is what makes the two rules differ. */
function softmax(row: readonly number[]): number[] {
  const max = Math.max(...row);
  const exponentials = row.map((value) => Math.exp(value - max));
  const sum = exponentials.reduce((a, b) => a + b, 0);
  return exponentials.map((value) => value / sum);
}
