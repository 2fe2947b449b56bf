// Genotypes as sixteen small numbers: their canonical form, which makes isomorphic cells one candidate, and
// the short key that names a candidate in journals and caches.
//
// Two cells are isomorphic when one becomes the other by listing a node's two edges in another order (their
// sum is the same) or by numbering the nodes in another topological order. The cell's output concatenates all
// nodes, and what reads it, a PReLU and a 1x1 convolution, has parameters for each channel, so its channels
// are merely permuted. The networks then compute the same family of functions from identically distributed
// initial weights, so one trial stands for both. Inputs 0 and 1 are outputs of different cells and are never
// exchanged.

import { FleetError } from '../errors.ts';
import { type Genotype, OPS, type Op } from '../spec/network.ts';
import { foundText } from '../text/printable.ts';
import { type Cell, cellOf, type Edge, NODES } from './genotype.ts';

/**
 * The edges of a genotype [16]: the two of each node of the normal cell, then those of the reduction cell. An
 * edge is `edgeCode` of its input and op.
 */
export type GenotypeCode = Uint8Array;

/** Edges of one cell. */
export const CELL_EDGES = 2 * NODES;
/** Edges of a genotype. */
export const GENOTYPE_EDGES = 2 * CELL_EDGES;
/** Ops that a code can tell apart; keys stand in journals, so there is room for some more than OPS has. */
const OPS_MAX = 12;
/** Edge codes are below this: an edge has one of five inputs. */
export const EDGE_CODES = 5 * OPS_MAX;

/** The code of an edge; `op` is a place in OPS. Codes have the order of inputs, then that of OPS. */
export function edgeCode(input: number, op: number): number {
  return input * OPS_MAX + op;
}

/** The input of an edge. */
export function inputOf(edge: number): number {
  return Math.trunc(edge / OPS_MAX);
}

/** The op of an edge, as a place in OPS. */
export function opOf(edge: number): number {
  return edge % OPS_MAX;
}

/** The genotype's edges as they stand, in no canonical form. */
export function codeOf(genotype: Genotype): GenotypeCode {
  const code = new Uint8Array(GENOTYPE_EDGES);
  [...genotype.normal, ...genotype.reduce].forEach((edges, node) => {
    edges.forEach(([op, input], edge) => {
      code[2 * node + edge] = edgeCode(input, OPS.indexOf(op));
    });
  });
  return code;
}

/** The genotype of a code. */
export function genotypeOfCode(code: GenotypeCode): Genotype {
  const edge = (at: number): Edge => {
    const value = code[at] ?? 0;
    // A code comes from a genotype, from a draw among the ops that may be chosen, or from a checked key.
    return [OPS[opOf(value)] as Exclude<Op, 'none'>, inputOf(value)];
  };
  const cell = (first: number): Cell =>
    cellOf((node) => [edge(first + 2 * node), edge(first + 2 * node + 1)]);
  return {
    normal: cell(0),
    normal_concat: [2, 3, 4, 5],
    reduce: cell(CELL_EDGES),
    reduce_concat: [2, 3, 4, 5],
  };
}

/**
 * The representative of all isomorphic genotypes, the first in the order of their codes. Two codes have equal
 * ones exactly when both their cells are isomorphic.
 */
export function canonicalCode(code: GenotypeCode): GenotypeCode {
  const canonical = new Uint8Array(GENOTYPE_EDGES);
  canonical.set(canonicalCell(code.subarray(0, CELL_EDGES)));
  canonical.set(canonicalCell(code.subarray(CELL_EDGES)), CELL_EDGES);
  return canonical;
}

/** The first of all isomorphic cells [8] in the order of their codes. */
export function canonicalCell(cell: Uint8Array): Uint8Array {
  const best = new Uint8Array(CELL_EDGES).fill(0xff);
  const order: Order = {
    cell,
    best,
    current: new Uint8Array(CELL_EDGES),
    places: [0, 1, UNPLACED, UNPLACED, UNPLACED, UNPLACED],
  };
  placeFrom(order, 0);
  return best;
}

/** The representative of all isomorphic genotypes, as a genotype. */
export function canonicalGenotype(genotype: Genotype): Genotype {
  return genotypeOfCode(canonicalCode(codeOf(genotype)));
}

/**
 * Sixteen characters of base64url's alphabet, one an edge: equal exactly for isomorphic genotypes, and the
 * representative of these can be read back from it.
 */
export function genotypeKey(genotype: Genotype): string {
  return keyOfCode(canonicalCode(codeOf(genotype)));
}

/** The characters of a code; of one in canonical form they are its key. */
export function keyOfCode(code: GenotypeCode): string {
  let key = '';
  for (const edge of code) key += ALPHABET[edge];
  return key;
}

/** The canonical genotype of a key; `dataLoss` where a text is not the key of any. */
export function genotypeOfKey(key: string): Genotype {
  return genotypeOfCode(codeOfKey(key));
}

/** The genotype of a text of `keyOfCode`, in canonical form or not; `dataLoss` where it is that of none. */
export function genotypeOfText(text: string): Genotype {
  const code = codeFrom(text);
  if (!isWellFormed(code)) throw notAKey(text, 'a genotype');
  return genotypeOfCode(code);
}

/** The canonical code of a key; `dataLoss` as for `genotypeOfKey`. */
export function codeOfKey(key: string): GenotypeCode {
  const code = codeFrom(key);
  if (!isWellFormed(code) || keyOfCode(canonicalCode(code)) !== key)
    throw notAKey(key, 'a canonical genotype');
  return code;
}

const codeFrom = (text: string): GenotypeCode =>
  Uint8Array.from(text, (character) => ALPHABET.indexOf(character) & 0xff);

const notAKey = (text: string, of: string): FleetError =>
  new FleetError(
    'dataLoss',
    `${foundText(text)} is not the key of a genotype: a key has ${GENOTYPE_EDGES} characters, one for each edge of ${of}`,
  );

/** An edge code is a place in it. */
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

const NONE = OPS.indexOf('none');

/** Whether each node has two edges from different earlier inputs, and no edge has the op `none`. */
function isWellFormed(code: GenotypeCode): boolean {
  if (code.length !== GENOTYPE_EDGES) return false;
  return code.every((edge, at) => {
    const node = (at % CELL_EDGES) >>> 1;
    const twin = code[at ^ 1] ?? 0;
    return (
      inputOf(edge) < node + 2 &&
      inputOf(edge) !== inputOf(twin) &&
      opOf(edge) < OPS.length &&
      opOf(edge) !== NONE
    );
  });
}

const UNPLACED = -1;

/** A search over the topological orders of a cell's nodes. */
interface Order {
  readonly cell: Uint8Array;
  /** The first code of all orders that were completed. */
  readonly best: Uint8Array;
  /** The code of the order that is being built. */
  readonly current: Uint8Array;
  /** For the two previous cells and the four nodes: the number as an input in the order being built. */
  readonly places: number[];
}

/**
 * Completes an order from `node` on. The first code has the smallest possible pair at each node in turn;
 * where several nodes have that pair, each is tried.
 */
function placeFrom(order: Order, node: number): void {
  const { current, best, places } = order;
  if (node === NODES) {
    if (isBefore(current, best)) best.set(current);
    return;
  }
  let least = NOT_NEXT;
  for (let old = 0; old < NODES; old++) least = Math.min(least, pairAt(order, old));
  for (let old = 0; old < NODES; old++) {
    if (pairAt(order, old) !== least) continue;
    current[2 * node] = least >>> 8;
    current[2 * node + 1] = least & 0xff;
    places[2 + old] = 2 + node;
    placeFrom(order, node + 1);
    places[2 + old] = UNPLACED;
  }
}

/** Above the pair of any node. */
const NOT_NEXT = 0x10000;

/** Both edges of a node in one number, the smaller code first; NOT_NEXT while the node cannot come next. */
function pairAt({ cell, places }: Order, old: number): number {
  if (places[2 + old] !== UNPLACED) return NOT_NEXT;
  const [a, b] = [cell[2 * old]!, cell[2 * old + 1]!];
  const [fromA, fromB] = [places[inputOf(a)]!, places[inputOf(b)]!];
  if (fromA === UNPLACED || fromB === UNPLACED) return NOT_NEXT;
  const [first, second] = [edgeCode(fromA, opOf(a)), edgeCode(fromB, opOf(b))];
  return first < second ? (first << 8) | second : (second << 8) | first;
}

function isBefore(a: Uint8Array, b: Uint8Array): boolean {
  for (let at = 0; at < CELL_EDGES; at++) if (a[at] !== b[at]) return a[at]! < b[at]!;
  return false;
}
