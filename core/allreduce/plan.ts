// Who adds what, and who owns which slice: arithmetic on (members, shards, elements) alone, so that all members agree
// without a message. Decides the canonical tree, each member's partial sums, the slices and their chunks; the additions
// are reduce.ts', the wire is exchange.ts'.
//
// The canonical tree over V shards: a node covers [first, first + size) with size a power of two that divides first, and
// is the sum of its two halves; a half that lies beyond V does not exist. The sum of all shards is the root. A
// member computes alone exactly the largest nodes that lie inside its shards.

import { FleetError } from '../errors.ts';

/** Shards [shardFirst, shardFirst + shardCount) of one member; members cover 0..V-1 in rank order without a gap. */
export interface Member {
  readonly workerId: string;
  readonly shardFirst: number;
  readonly shardCount: number;
}

/** A node of the canonical tree: `size` is a power of two that divides `first`. */
export interface Node {
  readonly first: number;
  readonly size: number;
}

/** A contiguous part of the vector, in elements. */
export interface Range {
  readonly offset: number;
  readonly count: number;
}

export interface Plan {
  readonly shards: number;
  readonly elements: number;
  /** Nodes that each rank adds up alone, by rank, in shard order. */
  readonly nodes: readonly (readonly Node[])[];
  /** Chunks of the slice that each rank owns, by rank; a rank may own none when the vector is short. */
  readonly chunks: readonly (readonly Range[])[];
  /** Chunks that may be under way to one owner before it has published the first of them. */
  readonly window: number;
}

/** Slices and chunks start at multiples of this, in elements: 1 KiB, so that no vector kernel meets a ragged inside edge. */
export const ALIGNMENT = 256;
/** With the 64-byte header a message stays within 256 KiB. */
export const CHUNK_ELEMENTS_MAX = 255 * ALIGNMENT;
/** Smaller messages cost more in handling than they gain in overlap (reference measurements: flat from 64 KiB). */
const CHUNK_ELEMENTS_MIN = 64 * ALIGNMENT;
/** What may be pending at the broker for one member. */
const PENDING_BYTES_MAX = 24 * 1024 * 1024;
const WINDOW_MAX = 8;

export function planOf(options: { members: readonly Member[]; shards: number; elements: number }): Plan {
  const { members, shards, elements } = options;
  checkMembers(members, shards);
  if (!Number.isInteger(elements) || elements < 0)
    throw new FleetError('invalidArgument', `a vector of ${elements} elements cannot be reduced`);
  const chunks = slicesOf(elements, members.length).map(chunksOf);
  const largest = Math.max(ALIGNMENT, ...chunks.map((slice) => slice[0]?.count ?? 0)) * 4;
  const perChunk = 2 * Math.max(1, members.length - 1) * largest;
  return {
    shards,
    elements,
    nodes: members.map((member) => nodesInside(member.shardFirst, member.shardFirst + member.shardCount)),
    chunks,
    window: Math.max(1, Math.min(WINDOW_MAX, Math.floor(PENDING_BYTES_MAX / perChunk))),
  };
}

/** The largest nodes inside [first, end), in order. */
export function nodesInside(first: number, end: number): Node[] {
  const nodes: Node[] = [];
  for (let at = first; at < end; ) {
    let size = 1;
    while (at % (size * 2) === 0 && at + size * 2 <= end) size *= 2;
    nodes.push({ first: at, size });
    at += size;
  }
  return nodes;
}

/** The root of the canonical tree over `shards` leaves. */
export function rootOf(shards: number): Node {
  let size = 1;
  while (size < shards) size *= 2;
  return { first: 0, size };
}

/** One contiguous slice a rank, all but the last of the same aligned size. */
export function slicesOf(elements: number, ranks: number): Range[] {
  const size = Math.ceil(Math.ceil(elements / ranks) / ALIGNMENT) * ALIGNMENT;
  return Array.from({ length: ranks }, (_, rank) => {
    const offset = Math.min(rank * size, elements);
    return { offset, count: Math.min(size, elements - offset) };
  });
}

function chunksOf(slice: Range): Range[] {
  // A quarter of the slice: sending, adding and publishing then overlap even when the vector is short.
  const quarter = Math.ceil(slice.count / 4 / ALIGNMENT) * ALIGNMENT;
  const size = Math.max(CHUNK_ELEMENTS_MIN, Math.min(CHUNK_ELEMENTS_MAX, quarter));
  const chunks: Range[] = [];
  for (let done = 0; done < slice.count; done += size)
    chunks.push({ offset: slice.offset + done, count: Math.min(size, slice.count - done) });
  return chunks;
}

function checkMembers(members: readonly Member[], shards: number): void {
  let next = 0;
  members.forEach((member, rank) => {
    if (member.shardFirst !== next || member.shardCount < 1)
      throw new FleetError(
        'invalidArgument',
        `member ${rank} (${member.workerId}) holds shards [${member.shardFirst}, ${member.shardFirst + member.shardCount}), expected at least one from ${next} on`,
      );
    next += member.shardCount;
  });
  if (next !== shards)
    throw new FleetError(
      'invalidArgument',
      `${members.length} members hold shards 0..${next - 1}, expected 0..${shards - 1}`,
    );
}
