// One data set of NAS-Bench-Graph: 26,206 graph networks, each trained by the table's authors, with accuracy on
// the validation part and latency. An architecture is a tree of four operations that grows from the input:
// a topology says from which one each operation takes its input. Decides which trees are one network.
//
// An operation that passes its input on (`skip`) adds nothing where something follows it, where it is all that
// follows its operation, or where it stands at the input itself: without these and with the branches in a fixed
// order, equal trees are one network. That gives exactly the networks of the table.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ArrayType, arrayType, elementsOf } from '../../core/data/benchmarks/numpy-array.ts';
import { type Dialect, popToMark, runPickle, textOf, top } from '../../core/pickle-machine.ts';

/** For each of the four operations the one before it, from 1; 0 is the input. */
const TOPOLOGIES = ['0000', '0001', '0011', '0012', '0013', '0111', '0112', '0122', '0123'];
const OPERATIONS = 9;
const SKIP = 8;

/** How many values each gene has: the topology, then the four operations. */
export const GENES: readonly number[] = [TOPOLOGIES.length, ...Array.from({ length: 4 }, () => OPERATIONS)];

/** All combinations of genes, with the first gene as the slowest. */
export function* combinations(): Generator<readonly number[]> {
  const count = GENES.reduce((product, width) => product * width, 1);
  for (let combination = 0; combination < count; combination++) {
    const genes: number[] = [];
    let rest = combination;
    for (const width of [...GENES].reverse()) {
      genes.unshift(rest % width);
      rest = Math.floor(rest / width);
    }
    yield genes;
  }
}

/** What the table says of a network. */
export interface Network {
  /** On the validation part, 0..1: what a search sees. */
  readonly accuracy: number;
  /** Seconds of one pass. */
  readonly latency: number;
}

/** One table. */
export interface GraphTable {
  readonly name: string;
  /** By the key of the network. */
  readonly networks: ReadonlyMap<string, Network>;
}

interface Tree {
  readonly operation: number;
  readonly next: readonly Tree[];
}

/** One key for all genes that are the same network. */
export function networkKey(genes: readonly number[]): string {
  const [topology = 0, ...operations] = genes;
  const before = [...TOPOLOGIES[topology]!].map(Number);
  const after = (place: number): Tree[] =>
    operations.flatMap((operation, i) => (before[i] === place ? [{ operation, next: after(i + 1) }] : []));
  let trees: readonly Tree[] = after(0);
  for (let key = keyOf(trees); ; ) {
    trees = withoutIdle(spliced(trees), true);
    const next = keyOf(trees);
    if (next === key) return key;
    key = next;
  }
}

function spliced(trees: readonly Tree[]): Tree[] {
  return trees.flatMap(({ operation, next }) => {
    const rest = spliced(next);
    return operation === SKIP && rest.length > 0 ? rest : [{ operation, next: rest }];
  });
}

function withoutIdle(trees: readonly Tree[], isAtInput: boolean): Tree[] {
  return trees
    .map(({ operation, next }) => ({ operation, next: withoutIdle(next, false) }))
    .filter(
      ({ operation, next }) => operation !== SKIP || next.length > 0 || !(isAtInput || trees.length === 1),
    );
}

function keyOf(trees: readonly Tree[]): string {
  return trees
    .map(({ operation, next }) => `${operation}(${keyOf(next)})`)
    .sort()
    .join('');
}

/** The table of this name in the folder of the tables. */
export function readGraphTable(folder: string, name: string): GraphTable {
  const file = join(folder, `${name}.bench`);
  const { value } = runPickle(readFileSync(file), { name: file, dialect: TABLE });
  const networks = new Map<string, Network>();
  for (const [code, row] of value as Map<number, Map<string, number>>)
    networks.set(networkKey(genesOf(code)), {
      accuracy: row.get('valid_perf')!,
      latency: row.get('latency')!,
    });
  return { name, networks };
}

/** The table numbers a network in decimal digits: the topology, then the operations. */
function genesOf(code: number): number[] {
  const digits = String(code).padStart(5, '0');
  return [...digits].map(Number);
}

type Global = { readonly kind: 'global'; readonly name: string };
type Dtype = { readonly kind: 'dtype'; readonly type: ArrayType };

/** Dictionaries, and numbers that were computed with numpy. */
const TABLE: Dialect = {
  opcodes: {
    125: (m) => void m.stack.push(new Map()), // EMPTY_DICT
    115: (m) => put(m, m.stack.splice(-2)), // SETITEM
    117: (m) => put(m, popToMark(m)), // SETITEMS
  },
  global: (name) =>
    name === 'numpy dtype' || name === 'numpy.core.multiarray scalar'
      ? ({ kind: 'global', name } satisfies Global)
      : undefined,
  call(machine, callee, args) {
    if ((callee as Global).name === 'numpy dtype')
      return { kind: 'dtype', type: arrayType(machine, textOf(machine, args[0])) } satisfies Dtype;
    const { type } = args[0] as Dtype;
    return elementsOf(machine, { type, data: args[1] as Uint8Array, count: 1 }).values?.[0];
  },
  build: () => true,
};

function put(machine: Parameters<typeof top>[0], items: readonly unknown[]): void {
  const map = top(machine) as Map<unknown, unknown>;
  for (let i = 0; i < items.length; i += 2) map.set(items[i], items[i + 1]);
}
