// Alphas that stand for something other than a mixture: for a single genotype, and for the mixture without one op
// or one edge. A genotype is an alpha vector, so that sub-networks of a search network run in its one compiled
// graph, with the weights that they inherit. Decides those vectors.

import type { Alphas } from '../nn/decode.ts';
import { alphasOf, flatAlphas } from '../nn/supernet.ts';
import { type Genotype, OPS, type Op } from '../spec/network.ts';

/** So far below the others that its share is exactly 0 in float32: exp(-1e4) is no number above zero. */
const OUT = -1e4;

const NONE = OPS.indexOf('none');

/** The two kinds of cell. */
export type CellKind = 'normal' | 'reduce';

/** One op on one edge of one kind of cell; without an op the edge as a whole. */
export interface Removal {
  readonly cell: CellKind;
  readonly node: number;
  readonly input: number;
  readonly op?: Exclude<Op, 'none'>;
}

/** [A] alphas of a genotype: its edges have their op alone, all other edges have `none`. */
export function alphasOfGenotype(genotype: Genotype): Float32Array {
  const cell = (kind: CellKind) =>
    genotype[kind].map((pair, node) =>
      Array.from({ length: node + 2 }, (_, input) =>
        alone(OPS.indexOf(pair.find((edge) => edge[1] === input)?.[0] ?? 'none')),
      ),
    );
  return flatAlphas({ normal: cell('normal'), reduce: cell('reduce') });
}

/**
 * [A] alphas without an op or an edge. The share of what is removed goes to `none`, which adds nothing, so that
 * all other ops keep theirs.
 */
export function alphasWithout(flat: Float32Array, removal: Removal): Float32Array {
  const alphas = alphasOf(flat);
  const changed: Alphas = {
    ...alphas,
    [removal.cell]: alphas[removal.cell].map((rows, node) =>
      rows.map((row, input) =>
        node === removal.node && input === removal.input ? without(row, removal) : row,
      ),
    ),
  };
  return flatAlphas(changed);
}

function without(row: readonly number[], { op }: Removal): readonly number[] {
  if (op === undefined) return alone(NONE);
  const removed = OPS.indexOf(op);
  const [a, b] = [row[NONE]!, row[removed]!];
  // log(exp(a) + exp(b)), about the larger one.
  const both = Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)));
  return row.map((value, column) => (column === NONE ? both : column === removed ? OUT : value));
}

const alone = (column: number): number[] => OPS.map((_, at) => (at === column ? 0 : OUT));
