// Lets the first reader of a batch norm normalise the map. A norm needs the statistics of the whole batch
// before its first value can be computed, so by itself a block ends with a second pass: read z, write y. Here
// the block leaves z as it is and gives the factors and offsets of its norm instead, y = z factor + offset;
// the first block that reads y computes it on the way into its PReLU, adds what the sum behind the norm adds,
// and stores y for all later readers. What that pass waits for is prefetched during the block's matrix
// products, which leave the memory idle: 739 to 725 ms a step of M-128, 511 to 503 of S-128, two processes at
// a time, and 96 to 98 % of the floats that these networks normalise (docs/performance.md).
//
// Pure, from recording to recording, and only between our own blocks. The bits stay: every value of y is
// computed by the same operations from the same values. No operation reads y before the first reader wrote
// it, because all others take it from that one's outputs.
//
// Legend: z is a map before its norm, y after it, [N, H, W, O]; the norm is [2, O], factors and offsets.

import { attr } from '../ops/kernels.ts';
import { numberOf, withNumber } from '../recording/attributes.ts';
import { type Consumer, consumersOf, edgeKey } from '../recording/consumers.ts';
import type { Edge, OperationNode, RecordedNode, Recording } from '../recording/record.ts';

const BLOCK = 'FleetSeparable';
/**
 * Positions among its inputs and outputs: X is the first part of x; Y is the map, or the norm where that is
 * left to a reader.
 */
const X = 5;
const Y = 0;
const Z = 3;

/** A map whose norm is left to its first reader. */
interface PendingNorm {
  /** Node of the block that leaves it. */
  readonly maker: number;
  /** Which part of the reader's x the map is. */
  readonly part: number;
  /** What the maker would have added to y, and whether that map too is left before its norm. */
  readonly term?: { readonly map: Edge; readonly pending: boolean };
}

type Resolve = (edge: Edge) => Edge;

/** The recording in which blocks normalise what they read first. */
export function normaliseWhileReading(recording: Recording): Recording {
  const pending = pendingNorms(recording);
  /** Blocks that give z and a norm in place of y. */
  const leaving = new Set<number>();
  /** Maker -> the output of the first reader that is its y now. */
  const normalised = new Map<number, Edge>();
  for (const [reader, norms] of pending)
    for (const [index, { maker, term }] of norms.entries()) {
      leaving.add(maker);
      // A pending term has no other consumer than this sum, so it needs no place in `normalised`.
      if (term?.pending) leaving.add(term.map.node);
      const before = recording.nodes[reader]!.outputs.length;
      normalised.set(maker, { node: reader, output: before + index });
    }
  const resolve: Resolve = (edge) => (edge.output === Y ? normalised.get(edge.node) : undefined) ?? edge;
  const nodes = recording.nodes.map((node, index): RecordedNode => {
    if (node.kind !== 'operation') return node;
    const block = leaving.has(index) ? leavingItsNorm(node) : node;
    const resolved = { ...block, inputs: block.inputs.map(resolve) };
    const norms = pending.get(index);
    return norms === undefined ? resolved : applyingNorms(recording, resolved, norms, resolve);
  });
  return { ...recording, nodes, outputs: recording.outputs.map(resolve) };
}

/** First reader -> the maps that it normalises. */
function pendingNorms(recording: Recording): Map<number, PendingNorm[]> {
  const { nodes } = recording;
  const consumers = consumersOf(recording);
  const pending = new Map<number, PendingNorm[]>();
  nodes.forEach((node, maker) => {
    // The native kernel adds one term to a pending map; a block with more summands writes y itself.
    if (!isBlock(node) || numberOf(node, 'N') > 1) return;
    const first = firstOf(consumers.get(edgeKey({ node: maker, output: Y })) ?? []);
    const reader = first === undefined ? undefined : nodes[first.node];
    if (first === undefined || !isBlock(reader)) return;
    const part = first.input - X;
    // The map may also be read as a summand or a weight, where it must be complete.
    if (part < 0 || part >= numberOf(reader, 'parts')) return;
    const term = numberOf(node, 'N') === 1 ? termOf(recording, node.inputs.at(-1)!, consumers) : {};
    pending.set(first.node, [...(pending.get(first.node) ?? []), { maker, part, ...term }]);
  });
  return pending;
}

const isBlock = (node: RecordedNode | undefined): node is OperationNode =>
  node?.kind === 'operation' && node.op === BLOCK;

/**
 * The operation that comes before all other consumers in the order of nodes, so that these can take y from it
 * without a cycle. None when it reads the map twice: it would have to normalise one of its inputs and find
 * the other one done. Outputs of the recording come after every operation.
 */
function firstOf(consumers: readonly Consumer[]): Consumer | undefined {
  const [first, second] = consumers.filter(({ input }) => input >= 0).sort((a, b) => a.node - b.node);
  return first?.node === second?.node ? undefined : first;
}

/**
 * The summand of a pending map. It stays before its own norm where a block made it, this sum is all that
 * reads it, and that block adds nothing itself: then the reader computes z1 factor1 + offset1 + (z2 factor2 +
 * offset2) in one go, as for a node of a cell.
 */
function termOf({ nodes }: Recording, map: Edge, consumers: ReadonlyMap<string, readonly Consumer[]>) {
  const maker = nodes[map.node];
  const alone = consumers.get(edgeKey(map))?.length === 1;
  return {
    term: { map, pending: isBlock(maker) && map.output === Y && alone && numberOf(maker, 'N') === 0 },
  };
}

/** The block with its norm [2, O] as output Y and without summands, which its reader adds. */
function leavingItsNorm(node: OperationNode): OperationNode {
  const { shape, dtype } = node.outputs[Y]!;
  return {
    ...node,
    attributes: [...withNumber(node, 'N', 0).attributes, attr.int('raw', 1)],
    inputs: node.inputs.slice(0, X + numberOf(node, 'parts')),
    outputs: [{ shape: [2, shape.at(-1)!], dtype }, ...node.outputs.slice(1)],
  };
}

/**
 * The block that normalises these parts of its x. It reads z in place of y; behind its inputs follow for each
 * part the norm, the term and the term's norm, as far as there are any, and behind its outputs the parts' y.
 * Attribute `unfinished` lists the parts and `terms` what is added to each: 0 nothing, 1 a map, 2 a map
 * before its norm.
 */
function applyingNorms(
  recording: Recording,
  node: OperationNode,
  norms: readonly PendingNorm[],
  resolve: Resolve,
): OperationNode {
  const inputs = [...node.inputs];
  const behind: Edge[] = [];
  for (const { maker, part, term } of norms) {
    inputs[X + part] = { node: maker, output: Z };
    behind.push({ node: maker, output: Y });
    if (term?.pending) behind.push({ node: term.map.node, output: Z }, { node: term.map.node, output: Y });
    else if (term !== undefined) behind.push(resolve(term.map));
  }
  return {
    ...node,
    attributes: [
      ...node.attributes,
      attr.int('F', norms.length),
      attr.int('T', behind.length),
      attr.int(
        'unfinished',
        norms.map(({ part }) => part),
      ),
      attr.int(
        'terms',
        norms.map(({ term }) => (term === undefined ? 0 : term.pending ? 2 : 1)),
      ),
    ],
    inputs: [...inputs, ...behind],
    outputs: [...node.outputs, ...norms.map(({ maker }) => recording.nodes[maker]!.outputs[Y]!)],
  };
}
