// Where the forward pass of a recording is cut into segments when activations are computed again: what a later segment
// reads is kept, everything else of a segment exists only while its own backward pass runs (Chen et al. 2016,
// arXiv:1604.06174). Decides the cuts: of all ways the one whose memory is least at its worst moment, that is what is
// kept of the segments before, and all that the backward pass of one segment reads. Pure, from a recording.

import { DT } from '../ops/kernels.ts';
import { edgeKey, liveNodes } from '../recording/consumers.ts';
import type { Edge, Recording } from '../recording/record.ts';

/** Segments of the forward pass. */
export interface Segments {
  /** The last node of each segment, ascending; the last of all is the last node of the forward pass. */
  readonly ends: readonly number[];
  /** Most bytes of activations that are there at once: those that are kept, and those of one segment. */
  readonly bytes: number;
  /** The same without segments: everything that the backward pass reads. */
  readonly bytesWithout: number;
}

/** A result of the forward pass as far as it decides the cuts. */
interface Activation {
  readonly node: number;
  readonly bytes: number;
  /** The last node of the forward pass that reads it. */
  readonly lastReader: number;
  /** Whether the backward pass reads it. */
  readonly isSaved: boolean;
}

/** Smaller results are kept: they cost nothing, and what is computed from them alone need not be again. */
const SMALL_BYTES = 65_536;

/** Halvings of the interval in which the least memory lies. */
const SEARCHES = 24;

/** A last segment may need so much more than the least memory: it is the one that is not computed again. */
const SLACK = 1.05;

/** Bytes of a result. */
function bytesOf({ nodes }: Pick<Recording, 'nodes'>, { node, output }: Edge): number {
  const { shape, dtype } = nodes[node]!.outputs[output]!;
  const width = dtype === DT.bool || dtype === DT.uint8 ? 1 : 4;
  return shape.reduce((product, size) => product * size, width);
}

/** Whether a result of the forward pass is kept wherever it is read. */
export function isSmall(recording: Pick<Recording, 'nodes'>, edge: Edge): boolean {
  return bytesOf(recording, edge) <= SMALL_BYTES;
}

/** The cuts of a recording with a backward pass; `forward`: the number of its nodes before that. */
export function segmentsOf(recording: Recording, forward: number): Segments {
  const activations = activationsOf(recording, forward);
  // A cut behind a node that makes nothing large would keep the same as the one before it.
  const places = [...new Set(activations.map(({ node }) => node))];
  const costs = costsOf(activations, places);
  const bytesWithout = costs.internal(0, places.length) + costs.kept(0, places.length);
  let [low, high] = [0, bytesWithout];
  for (let search = 0; search < SEARCHES; search++) {
    const middle = (low + high) / 2;
    if (cutsWithin(costs, places.length, middle) === undefined) low = middle;
    else high = middle;
  }
  const cuts = cutsWithin(costs, places.length, high * SLACK) ?? [];
  return { ends: [...cuts.map((count) => places[count - 1]!), forward - 1], bytes: high, bytesWithout };
}

/** Large results of the forward pass that something reads, in the order of nodes. */
function activationsOf(recording: Recording, forward: number): Activation[] {
  const { nodes } = recording;
  const live = liveNodes(recording);
  const readers = new Map<string, { last: number; isSaved: boolean }>();
  for (const [index, node] of nodes.entries()) {
    if (node.kind !== 'operation' || !live.has(index)) continue;
    for (const input of node.inputs) {
      if (input.node >= forward || nodes[input.node]!.kind !== 'operation') continue;
      const known = readers.get(edgeKey(input)) ?? { last: input.node, isSaved: false };
      readers.set(edgeKey(input), {
        last: index < forward ? index : known.last,
        isSaved: known.isSaved || index >= forward,
      });
    }
  }
  const found: Activation[] = [];
  for (let node = 0; node < forward; node++)
    for (let output = 0; output < nodes[node]!.outputs.length; output++) {
      const reading = readers.get(edgeKey({ node, output }));
      if (reading === undefined || isSmall(recording, { node, output })) continue;
      const bytes = bytesOf(recording, { node, output });
      found.push({ node, bytes, lastReader: reading.last, isSaved: reading.isSaved });
    }
  return found;
}

/** What the segment of places [from, to) keeps beyond itself, and what its backward pass reads beside that. */
interface Costs {
  kept(from: number, to: number): number;
  internal(from: number, to: number): number;
}

function costsOf(activations: readonly Activation[], places: readonly number[]): Costs {
  const placeOf = new Map(places.map((node, place) => [node, place]));
  /** By end of the segment: sums over the places before, so that a segment is one difference. */
  const sums = Array.from({ length: places.length + 1 }, (_, to) => {
    const kept = new Float64Array(places.length + 1);
    const internal = new Float64Array(places.length + 1);
    const end = to === 0 ? -1 : places[to - 1]!;
    for (const { node, bytes, lastReader, isSaved } of activations) {
      const place = placeOf.get(node)!;
      if (lastReader > end) kept[place + 1]! += bytes;
      else if (isSaved) internal[place + 1]! += bytes;
    }
    for (let place = 1; place <= places.length; place++) {
      kept[place]! += kept[place - 1]!;
      internal[place]! += internal[place - 1]!;
    }
    return { kept, internal };
  });
  const between = (values: Float64Array, from: number, to: number) => values[to]! - values[from]!;
  return {
    kept: (from, to) => between(sums[to]!.kept, from, to),
    internal: (from, to) => between(sums[to]!.internal, from, to),
  };
}

/**
 * Cuts, as numbers of places before them, with which never more than `limit` bytes are there: of those the ones that
 * keep least, with the longest last segment. Undefined where there are none.
 */
function cutsWithin(costs: Costs, count: number, limit: number): number[] | undefined {
  /** The least that is kept of the first so many places, and the cut before that. */
  const least = new Float64Array(count + 1).fill(Number.POSITIVE_INFINITY);
  const before = new Int32Array(count + 1).fill(-1);
  least[0] = 0;
  for (let to = 1; to < count; to++)
    for (let from = 0; from < to; from++) {
      const kept = least[from]! + costs.kept(from, to);
      if (kept >= least[to]! || least[from]! + costs.internal(from, to) > limit) continue;
      if (kept > limit) continue;
      least[to] = kept;
      before[to] = from;
    }
  for (let from = 0; from < count; from++) {
    if (least[from]! + costs.internal(from, count) + costs.kept(from, count) > limit) continue;
    const cuts: number[] = [];
    for (let cut = from; cut > 0; cut = before[cut]!) cuts.unshift(cut);
    return cuts;
  }
  return undefined;
}
