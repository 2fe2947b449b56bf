// What the networks of a search space cost, without building them. Each edge of a cell has layers of its own,
// whose counts depend on the op and on its stride alone; all other layers are the same in every network of a
// space. So a network costs a constant and one number an edge, which are read off one network an op. Whether
// this holds is checked as the table is made; where it does not hold, each network is built and counted.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Memo, memo } from '../memo.ts';
import { type Genotype, OPS, type Op } from '../spec/network.ts';
import type { SweepSpec } from '../spec/sweep.ts';
import { buildNetwork } from './build.ts';
import { type Counts, type Description, describe } from './describe.ts';
import { type Cell, GENOTYPES } from './genotype.ts';
import {
  CELL_EDGES,
  codeOf,
  EDGE_CODES,
  edgeCode,
  GENOTYPE_EDGES,
  type GenotypeCode,
  genotypeOfCode,
} from './genotype-code.ts';
import { isReduction } from './pocketnet.ts';
import { type Costs, candidateNetwork } from './space.ts';

type Space = SweepSpec['space'];

/** The costs of all networks of one space. */
export interface CellCosts {
  /** What the network of this genotype costs, in canonical form or not. */
  of(code: GenotypeCode): Costs;
  /** Undefined where costs are no sums over edges. */
  readonly sums: CostSums | undefined;
}

/** Costs as sums over edges: parameters, FLOPs in the authors' convention and multiply-adds. */
export interface CostSums {
  /** What all networks of the space have in common. */
  readonly base: Sums;
  /** What an edge adds over all cells of its kind, by edge code. */
  readonly normal: readonly Sums[];
  readonly reduce: readonly Sums[];
}

/** Whole numbers; `flops` are not in millions. */
export interface Sums {
  readonly parameters: number;
  readonly flops: number;
  readonly multiplyAdds: number;
}

/** Spaces whose tables are kept: those of all sweeps that a fleet is likely to have open at once. */
const SPACES_MAX = 256;

/**
 * The costs of the networks of a space. A table costs some networks, so those of the newest spaces are kept;
 * where the event loop must not wait for them, `prepareCosts` comes first.
 */
export const cellCosts: Memo<Space, CellCosts> = memo({
  most: SPACES_MAX,
  keyOf: keyOfSpace,
  make: (space) => costsCounted(space, (genotype) => counted({ space, genotype })),
});

/** Networks that were counted for tables in the making. */
const counted = memo({
  most: 8,
  keyOf: ({ space, genotype }: { readonly space: Space; readonly genotype: Genotype }) =>
    `${keyOfSpace(space)} ${JSON.stringify(genotype)}`,
  make: ({ space, genotype }) => describe(buildNetwork(candidateNetwork({ space }, genotype))),
});

/**
 * Makes the table of a space, one network a turn of the event loop: `cellCosts` has it at hand afterwards. A
 * network of 18 layers takes some 10 ms the first time.
 */
export async function prepareCosts(space: Space): Promise<void> {
  if (cellCosts.has(space)) return;
  for (const genotype of READ_GENOTYPES) {
    counted({ space, genotype });
    await nextTurn();
  }
  cellCosts(space);
}

function keyOfSpace({ kind, channels, layers, embedding }: Space): string {
  return `${kind} ${channels} ${layers} ${embedding}`;
}

/** The costs of the networks of a space by a function that counts one of them. */
export function costsCounted(
  space: Pick<Space, 'layers'>,
  count: (genotype: Genotype) => Description,
): CellCosts {
  const sums = sumsOf(space, count);
  if (sums === undefined)
    return { sums, of: (code) => costsOfSums(count(genotypeOfCode(code)).rows.reduce(plus, NOTHING)) };
  return { sums, of: (code) => costsOfSums(summed(sums, code)) };
}

/** Divides once at the end, so that the printed digits are those of the integer. */
function costsOfSums({ parameters, flops, multiplyAdds }: Sums): Costs {
  return { parameters, mflops: flops / 1e6, multiplyAdds };
}

function summed({ base, normal, reduce }: CostSums, code: GenotypeCode): Sums {
  let { parameters, flops, multiplyAdds } = base;
  for (let at = 0; at < GENOTYPE_EDGES; at++) {
    const edge = (at < CELL_EDGES ? normal : reduce)[code[at]!]!;
    parameters += edge.parameters;
    flops += edge.flops;
    multiplyAdds += edge.multiplyAdds;
  }
  return { parameters, flops, multiplyAdds };
}

/** Reads the sums off two networks; undefined where networks do not cost what their edges sum to. */
function sumsOf(
  { layers }: Pick<Space, 'layers'>,
  count: (genotype: Genotype) => Description,
): CostSums | undefined {
  const normal = new Array<Sums>(EDGE_CODES).fill(NOTHING);
  const reduce = new Array<Sums>(EDGE_CODES).fill(NOTHING);
  if (READ_OFF.size !== 2 * OPS.filter((op) => op !== 'none').length) return undefined;
  const bases = PROBES.map((cell, at) => {
    let base = NOTHING;
    for (const row of count(probeOf(cell)).rows) {
      const [, cellIndex, node, edge] = EDGE_LAYER.exec(row.name) ?? [];
      if (cellIndex === undefined) {
        base = plus(base, row);
        continue;
      }
      const [op, input] = cell[Number(node)]![Number(edge)]!;
      if (READ_OFF.get(kindOf(op, input)) !== placeOf(at, Number(node), Number(edge))) continue;
      const table = isReduction(Number(cellIndex), layers) ? reduce : normal;
      for (const twin of input < 2 ? PREVIOUS_CELLS : NODE_INPUTS) {
        const code = edgeCode(twin, OPS.indexOf(op));
        table[code] = plus(table[code]!, row);
      }
    }
    return base;
  });
  const [base = NOTHING] = bases;
  const sums = { base, normal, reduce };
  // A network of other cells, which has nodes of two equal ops.
  const whole = count(CONTROL).rows.reduce(plus, NOTHING);
  const isSum = isSame(summed(sums, codeOf(CONTROL)), whole);
  return isSum && bases.every((other) => isSame(base, other)) ? sums : undefined;
}

/** Inputs of the two strides that an edge of a reduction cell may have. */
const PREVIOUS_CELLS = [0, 1];
const NODE_INPUTS = [2, 3, 4];

const CONCAT: Genotype['normal_concat'] = [2, 3, 4, 5];

const NOTHING: Sums = { parameters: 0, flops: 0, multiplyAdds: 0 };

/** Cell, node and edge of a layer that belongs to an edge, as core/nn/pocketnet.ts names it. */
const EDGE_LAYER = /^cells\.(\d+)\.dag\.(\d)\.(\d)\./;

/** Two cells that together have each op on inputs of both kinds: a previous cell, and a node. */
const PROBES: readonly Cell[] = [
  [
    [
      ['max_pool_3x3', 0],
      ['avg_pool_3x3', 1],
    ],
    [
      ['skip_connect', 0],
      ['max_pool_3x3', 2],
    ],
    [
      ['dw_conv_3x3', 0],
      ['avg_pool_3x3', 2],
    ],
    [
      ['dw_conv_5x5', 0],
      ['skip_connect', 2],
    ],
  ],
  [
    [
      ['dw_conv_7x7', 0],
      ['dw_conv_1x1', 1],
    ],
    [
      ['dw_conv_3x3', 2],
      ['skip_connect', 0],
    ],
    [
      ['dw_conv_5x5', 2],
      ['dw_conv_7x7', 3],
    ],
    [
      ['dw_conv_1x1', 2],
      ['skip_connect', 0],
    ],
  ],
];

function probeOf(cell: Cell): Genotype {
  return { normal: cell, normal_concat: CONCAT, reduce: cell, reduce_concat: CONCAT };
}

/** The network that shows whether costs are sums. */
const CONTROL = GENOTYPES.casia;

/** All networks that a table is made from. */
const READ_GENOTYPES: readonly Genotype[] = [...PROBES.map(probeOf), CONTROL];

/** The edge of the probes that an op on inputs of one kind is read off, the first that has it. */
const READ_OFF: ReadonlyMap<string, string> = new Map(
  PROBES.flatMap((cell, at) =>
    cell.flatMap((edges, node) =>
      edges.map(([op, input], edge) => [kindOf(op, input), placeOf(at, node, edge)] as const),
    ),
  ).reverse(),
);

function kindOf(op: Op, input: number): string {
  return `${op} ${input < 2 ? 'cell' : 'node'}`;
}

function placeOf(probe: number, node: number, edge: number): string {
  return `${probe}.${node}.${edge}`;
}

/** Each row's FLOPs are a whole number; only their text is in millions. */
function plus(sums: Sums, row: Counts): Sums {
  return {
    parameters: sums.parameters + row.parameters,
    flops: sums.flops + Math.round(row.mflops * 1e6),
    multiplyAdds: sums.multiplyAdds + row.multiplyAdds,
  };
}

function isSame(a: Sums, b: Sums): boolean {
  return a.parameters === b.parameters && a.flops === b.flops && a.multiplyAdds === b.multiplyAdds;
}
