// The networks of a search space one by one, where there are few within the constraints: what a search needs
// to try each of them once, and to know that none is left. Nothing is built. Cells are listed with the costs
// of their edges, and a cell is given up as soon as no cell of the other kind could meet the constraints with
// it.

import { memo } from '../memo.ts';
import { OPS } from '../spec/network.ts';
import type { SweepSpec } from '../spec/sweep.ts';
import { cellCosts, type Sums } from './cell-costs.ts';
import { NODES } from './genotype.ts';
import { CELL_EDGES, canonicalCell, edgeCode, GENOTYPE_EDGES, type GenotypeCode } from './genotype-code.ts';
import type { Costs } from './space.ts';

/** Cells, finished or not, that are looked at for each kind before a space counts as large: some milliseconds. */
const CELLS_MAX = 5_000;
/** Pairs of a normal and a reduction cell that a space may have and still count as small. */
const GENOTYPES_MAX = 200_000;

/**
 * Every canonical genotype that may be within the constraints, and perhaps some that are not: a constraint may
 * allow each of two cells and not both.
 */
export interface SmallSpace {
  readonly size: number;
  /** What each network of the space has at least, parameters and FLOPs each by itself. */
  readonly least: Pick<Costs, 'parameters' | 'mflops'>;
  /** Genotype `index`, from 0 to `size` - 1. */
  at(index: number): GenotypeCode;
}

type Bounds = Pick<SweepSpec, 'space' | 'constraints'>;

/**
 * The space of a sweep, or undefined where it is too large to be listed. A list costs some milliseconds, so
 * those of the newest sweeps are kept.
 */
export const smallSpace: (bounds: Bounds) => SmallSpace | undefined = memo({
  most: 32,
  keyOf: ({ space, constraints }: Bounds) => JSON.stringify([space, constraints]),
  make: listed,
});

function listed({ space, constraints }: Bounds): SmallSpace | undefined {
  const { sums } = cellCosts(space);
  if (sums === undefined) return undefined;
  const ops = [...new Set(space.ops)].map((op) => OPS.indexOf(op));
  const pairs = Array.from({ length: NODES }, (_, node) => pairsOf(node, ops));
  const leastNormal = leastRest(sums.normal, pairs);
  const leastReduce = leastRest(sums.reduce, pairs);
  // One operation of slack, because a product of a decimal is not exact.
  const parametersMax = (constraints.parametersMax ?? Number.POSITIVE_INFINITY) - sums.base.parameters;
  const flopsMax = (constraints.mflopsMax ?? Number.POSITIVE_INFINITY) * 1e6 + 1 - sums.base.flops;
  const cells = (edges: readonly Sums[], least: readonly Size[], other: Size) =>
    cellsWithin({
      edges,
      pairs,
      least,
      room: { parameters: parametersMax - other.parameters, flops: flopsMax - other.flops },
    });
  const normal = cells(sums.normal, leastNormal, leastReduce[0]!);
  const reduce = cells(sums.reduce, leastReduce, leastNormal[0]!);
  // Where one kind has no cell, no genotype meets the constraints, however many cells the other kind has.
  const lowest = (of: (size: Size) => number) => of(sums.base) + of(leastNormal[0]!) + of(leastReduce[0]!);
  const least = { parameters: lowest((size) => size.parameters), mflops: lowest((size) => size.flops) / 1e6 };
  if (normal?.length === 0 || reduce?.length === 0) return { size: 0, least, at: () => new Uint8Array(0) };
  if (normal === undefined || reduce === undefined) return undefined;
  const size = normal.length * reduce.length;
  if (size > GENOTYPES_MAX) return undefined;
  return {
    size,
    least,
    at(index) {
      const code = new Uint8Array(GENOTYPE_EDGES);
      code.set(normal[Math.floor(index / reduce.length)]!);
      code.set(reduce[index % reduce.length]!, CELL_EDGES);
      return code;
    },
  };
}

/** The part of a network's costs that constraints bound. */
type Size = Pick<Sums, 'parameters' | 'flops'>;

/** The canonical cells of at most this size; undefined where too many cells would have to be looked at. */
function cellsWithin(options: {
  /** By edge code. */
  edges: readonly Sums[];
  pairs: Pairs;
  /** What the nodes from one on have at least, by node. */
  least: readonly Size[];
  room: Size;
}): Uint8Array[] | undefined {
  const { edges, pairs, least, room } = options;
  const found: Uint8Array[] = [];
  const cell = new Uint8Array(CELL_EDGES);
  let looked = 0;
  /** Whether the count of cells that were looked at stays within its bound. */
  const extend = (node: number, parameters: number, flops: number): boolean => {
    const rest = least[node]!;
    if (parameters + rest.parameters > room.parameters || flops + rest.flops > room.flops) return true;
    if (++looked > CELLS_MAX) return false;
    if (node === NODES) {
      if (canonicalCell(cell).every((edge, at) => edge === cell[at])) found.push(cell.slice());
      return true;
    }
    for (const [first, second] of pairs[node]!) {
      cell[2 * node] = first;
      cell[2 * node + 1] = second;
      const [a, b] = [edges[first]!, edges[second]!];
      if (!extend(node + 1, parameters + a.parameters + b.parameters, flops + a.flops + b.flops))
        return false;
    }
    return true;
  };
  return extend(0, 0, 0) ? found : undefined;
}

/** By node: the pairs of edge codes that it can have, the smaller input first. */
type Pairs = readonly (readonly (readonly [number, number])[])[];

function pairsOf(node: number, ops: readonly number[]): Pairs[number] {
  const inputs = Array.from({ length: node + 2 }, (_, input) => input);
  return inputs.flatMap((second) =>
    inputs
      .slice(0, second)
      .flatMap((first) =>
        ops.flatMap((a) => ops.map((b) => [edgeCode(first, a), edgeCode(second, b)] as const)),
      ),
  );
}

/** What the nodes from `node` on have at least, parameters and FLOPs each by itself; for 0 the whole cell. */
function leastRest(edges: readonly Sums[], pairs: Pairs): readonly Size[] {
  const least: Size[] = [{ parameters: 0, flops: 0 }];
  for (let node = NODES - 1; node >= 0; node--) {
    const lowest = (of: (edge: Sums) => number): number =>
      pairs[node]!.reduce(
        (low, [a, b]) => Math.min(low, of(edges[a]!) + of(edges[b]!)),
        Number.POSITIVE_INFINITY,
      );
    const rest = least[0]!;
    least.unshift({
      parameters: rest.parameters + lowest((edge) => edge.parameters),
      flops: rest.flops + lowest((edge) => edge.flops),
    });
  }
  return least;
}
