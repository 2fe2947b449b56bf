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

/** What a decoded normal cell may have. */
export interface DecodeLimits {
  /**
   * Most skip connections of the normal cell: the weakest ones beyond give way to the next best op of their edge
   * (Chen et al., "Progressive DARTS", 2019, limit them likewise). Absent: any number.
   */
  readonly skipsMax?: number | undefined;
}

/** The genotype that these alphas stand for. */
export function decodeAlphas(alphas: Alphas, rule: RankingRule, limits: DecodeLimits = {}): Genotype {
  const scored = (cell: CellAlphas): CellScores => ({
    ops: rule === 'raw' ? cell : cell.map((rows) => rows.map(softmax)),
  });
  return decodeScores({ normal: scored(alphas.normal), reduce: scored(alphas.reduce) }, limits);
}

/** How good each op on each edge of a cell is; larger is better. */
export interface CellScores {
  readonly ops: CellAlphas;
  /** How good each edge is, by node; absent: as good as the op that it has. */
  readonly edges?: readonly (readonly number[])[];
}

/** The genotype of the best op of each edge and the two best edges of each node. */
export function decodeScores(
  scores: { readonly normal: CellScores; readonly reduce: CellScores },
  { skipsMax = Number.POSITIVE_INFINITY }: DecodeLimits = {},
): Genotype {
  return {
    normal: decodeCell(scores.normal, skipsMax),
    normal_concat: [2, 3, 4, 5],
    reduce: decodeCell(scores.reduce, Number.POSITIVE_INFINITY),
    reduce_concat: [2, 3, 4, 5],
  };
}

/** An edge that may be kept: its op, how good that is, and how good the edge is. */
interface RankedEdge {
  readonly input: number;
  readonly op: Exclude<Op, 'none'>;
  readonly value: number;
  readonly rank: number;
}

function decodeCell({ ops, edges }: CellScores, skipsMax: number): Cell {
  if (ops.length !== NODES)
    throw new FleetError('invalidArgument', `alphas of a cell have ${ops.length} nodes, ${NODES} expected`);
  const ranked = (node: number, input: number, barred?: Op): RankedEdge => {
    const best = bestOp(ops[node]![input]!, barred);
    return { input, ...best, rank: edges?.[node]?.[input] ?? best.value };
  };
  const kept = ops.map((rows, node) => {
    if (rows.length !== node + 2)
      throw new FleetError(
        'invalidArgument',
        `alphas of node ${node} have ${rows.length} edges, ${node + 2} expected`,
      );
    return bestFirst(rows.map((_, input) => ranked(node, input))).slice(0, 2);
  });
  for (;;) {
    const skips = kept.flatMap((pair, node) =>
      pair.filter(({ op }) => op === 'skip_connect').map((edge) => ({ node, edge })),
    );
    if (skips.length <= skipsMax) break;
    // Of equally weak ones the last, whose node feeds the fewest others.
    const { node, edge } = skips.reduce((weakest, next) =>
      next.edge.value <= weakest.edge.value ? next : weakest,
    );
    const others = kept[node]!.filter((other) => other !== edge);
    kept[node] = bestFirst([...others, ranked(node, edge.input, 'skip_connect')]);
  }
  return cellOf((node) => {
    const [first, second] = kept[node]!;
    if (first === undefined || second === undefined)
      throw new FleetError('internal', `node ${node} has no two edges`);
    return [edgeOf(first), edgeOf(second)];
  });
}

/** Ties go to the lower input. The reference leaves them unspecified. */
const bestFirst = (edges: readonly RankedEdge[]): RankedEdge[] =>
  [...edges].sort((a, b) => b.rank - a.rank || a.input - b.input);

const edgeOf = ({ op, input }: RankedEdge): Edge => [op, input];

function bestOp(values: readonly number[], barred?: Op): { op: Exclude<Op, 'none'>; value: number } {
  let best: { op: Exclude<Op, 'none'>; value: number } | undefined;
  OPS.forEach((op, column) => {
    const value = values[column];
    if (value === undefined || Number.isNaN(value))
      throw new FleetError(
        'invalidArgument',
        `alpha of ${op} is ${value === undefined ? 'missing' : 'not a number'}`,
      );
    if (op !== 'none' && op !== barred && (best === undefined || value > best.value)) best = { op, value };
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
