// Who adds what, and who owns which slice. Pure arithmetic on (members, shards, elements, compression), so
// that all members agree on the plan without a message.
//
// The canonical tree over V shards: a node covers [first, first + size), with size a power of two that
// divides first. It is the sum of its two halves, and a half that lies beyond V does not exist. The sum of
// all shards is the root. With V = 6, of which A holds 0..2 and B holds 3..5:
//
//                 0..8
//            ┌──────┴──────┐
//          0..4           4..8          B's largest nodes: 3 and 4..6, which is all of 4..8 that exists
//        ┌───┴───┐      ┌───┴───┐
//      0..2     2..4   4..6     -       A's largest nodes: 0..2 and 2
//      ┌┴┐      ┌┴┐    ┌┴┐
//      0 1      2 3    4 5
//
// A member adds up alone exactly the largest nodes that lie inside its shards, and sends their sums. Members of a
// group, which read each other's memory, add up the largest nodes that lie inside the shards of all of them before
// anything leaves their host (routes.ts).
// Floating-point addition is not associative, so the tree fixes the order once for all placements: whoever
// adds a node adds the same two halves. A ring, or a sum in the order of arrival, would send no more and give
// other bits for every placement.
//
// The vector is cut into slices that depend on V and its length alone, and each slice belongs to a shard: the
// member that holds the shard adds the slice up. So shards that move take that work with them, a faster
// worker with more shards does more of it, and what int8 leaves of a published slice is part of one shard's
// state, whoever holds it.

import { FleetError } from '../errors.ts';
import { BLOCK } from './kernels/kernels.ts';

/**
 * One member and its shards [shardFirst, shardFirst + shardCount); members cover 0..V-1 in rank order without
 * a gap.
 */
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

/** A part of a slice that travels as one message. */
export interface Chunk extends Range {
  /** Shard that the slice belongs to. */
  readonly shard: number;
}

/**
 * How the numbers of a run travel: as float32, or rounded to bfloat16 or to 8-bit integers with a scale
 * (own-vectors.ts).
 */
export type Compression = 'none' | 'bf16' | 'int8';

/** Ranks of members that read each other's memory; every rank is in one group, in order. */
export type Groups = readonly (readonly number[])[];

export interface Plan {
  /** V. */
  readonly shards: number;
  /** Length of the vector. */
  readonly elements: number;
  readonly compression: Compression;
  readonly members: readonly Member[];
  /** By rank: the nodes that the member adds up alone, in shard order. */
  readonly nodes: readonly (readonly Node[])[];
  readonly groups: Groups;
  /** By group: the nodes whose sums leave the host, in shard order. */
  readonly groupNodes: readonly (readonly Node[])[];
  /**
   * By rank: the chunks of the slices that the member owns, in order. With fewer slices than shards a member
   * may own none.
   */
  readonly chunks: readonly (readonly Chunk[])[];
  /** Chunks that may be under way to one owner before it has published the first of them; at least 1. */
  readonly window: number;
}

/**
 * Slices and chunks start at multiples of this, in elements, so that only the end of the vector is ragged.
 */
export const ALIGNMENT = BLOCK;
/**
 * Slices of exact sums start at multiples of a page of memory, in elements: a neighbour on the same host maps a
 * finished slice to its place in its own sum.
 */
const PAGE_ELEMENTS = 1024;
/** With the 64-byte header a message of float32 stays within 1 MiB, the broker's own default limit. */
export const CHUNK_ELEMENTS_MAX = 1023 * ALIGNMENT;
/** A message holds more of smaller numbers; beyond this a chunk and its sum leave the processor's cache. */
const CHUNK_ELEMENTS_ENCODED_MAX = 2 * CHUNK_ELEMENTS_MAX;
/** Smaller messages cost more in handling than they gain in overlap (measured). 512 KiB as float32. */
const CHUNK_ELEMENTS_MIN = 512 * ALIGNMENT;
/** A smaller slice is not worth a message to each member and back. 64 KiB as float32. */
const SLICE_ELEMENTS_MIN = 64 * ALIGNMENT;
/** How many times smaller numbers are on the wire than float32, without the scales of int8. */
const RATIO: Readonly<Record<Compression, number>> = { none: 1, bf16: 2, int8: 4 };
/**
 * What may be pending at the broker for one member. The broker's own default limit is 64 MB, beyond which it
 * drops the member.
 */
const PENDING_BYTES_MAX = 48 * 1024 * 1024;
const WINDOW_MAX = 8;
/** With a smaller window a member would wait for a result before each contribution. */
const WINDOW_MIN = 2;

export function planOf(options: {
  readonly members: readonly Member[];
  readonly shards: number;
  readonly elements: number;
  readonly compression?: Compression;
  /** Default: nobody reads another's memory. Slices, and what a member owns, are the same for all groups. */
  readonly groups?: Groups;
}): Plan {
  const { members, shards, elements, compression = 'none' } = options;
  const groups = options.groups ?? members.map((_, rank) => [rank]);
  checkMembers(members, shards);
  if (!Number.isInteger(elements) || elements < 0)
    throw new FleetError('invalidArgument', `a vector of ${elements} elements cannot be reduced`);
  const slices = slicesOf(elements, shards, compression);
  const nodes = members.map((member) =>
    travelling(nodesInside(member.shardFirst, member.shardFirst + member.shardCount), compression),
  );
  const groupNodes = groups.map((ranks) => nodesOfGroup(members, ranks, compression));
  // A group has no more nodes than its members, nor more bytes in them.
  const perElement = pendingBytes(nodes, compression);
  const pending = Math.floor(PENDING_BYTES_MAX / WINDOW_MIN / perElement / ALIGNMENT) * ALIGNMENT;
  // A sum of several shards travels as float32 also in a compressed run.
  const wide = compression === 'none' || [...nodes, ...groupNodes].flat().some(({ size }) => size > 1);
  const limits = {
    least: CHUNK_ELEMENTS_MIN * RATIO[compression],
    most: Math.max(ALIGNMENT, Math.min(wide ? CHUNK_ELEMENTS_MAX : CHUNK_ELEMENTS_ENCODED_MAX, pending)),
  };
  const chunks = members.map((member) => chunksOf(slices, member, limits));
  const largest = Math.max(ALIGNMENT, ...chunks.flat().map(({ count }) => count));
  return {
    shards,
    elements,
    compression,
    members,
    nodes,
    groups,
    groupNodes,
    chunks,
    window: Math.max(1, Math.min(WINDOW_MAX, Math.floor(PENDING_BYTES_MAX / (perElement * largest)))),
  };
}

/**
 * Bytes that may be under way to one member, for each element of a chunk and each place in the window: a
 * contribution of each node of the others, and the result of one chunk of each other. The member for which
 * this is most counts.
 */
function pendingBytes(nodes: readonly (readonly Node[])[], compression: Compression): number {
  const encoded = 4 / RATIO[compression];
  const bytes = nodes.map((own) => own.reduce((sum, { size }) => sum + (size === 1 ? encoded : 4), 0));
  const all = bytes.reduce((sum, value) => sum + value, 0);
  return Math.max(encoded, all - Math.min(...bytes)) + Math.max(1, nodes.length - 1) * encoded;
}

/** The largest nodes inside [first, end), in order; unique, since any larger node would reach outside. */
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

/** The largest nodes inside the shards of several members, which need not be neighbours in the order of ranks. */
function nodesOfGroup(
  members: readonly Member[],
  ranks: readonly number[],
  compression: Compression,
): Node[] {
  const runs: { first: number; end: number }[] = [];
  for (const rank of ranks) {
    const { shardFirst, shardCount } = members[rank]!;
    const last = runs.at(-1);
    if (last?.end === shardFirst) last.end += shardCount;
    else runs.push({ first: shardFirst, end: shardFirst + shardCount });
  }
  return runs.flatMap(({ first, end }) => travelling(nodesInside(first, end), compression));
}

/**
 * The nodes as they travel. A sum of several shards travels as float32. Two shards in int8 are half as many
 * bytes as their sum, so they go one by one; two in bf16 are as many, and go as their sum.
 */
function travelling(nodes: readonly Node[], compression: Compression): Node[] {
  return nodes.flatMap((node) =>
    compression === 'int8' && node.size === 2
      ? [
          { first: node.first, size: 1 },
          { first: node.first + 1, size: 1 },
        ]
      : [node],
  );
}

/** The root of the canonical tree over `shards` leaves. */
export function rootOf(shards: number): Node {
  let size = 1;
  while (size < shards) size *= 2;
  return { first: 0, size };
}

/**
 * Contiguous slices, all but the last of one aligned size, each with the shard that it belongs to: one for
 * each shard, or one for every 2, 4, 8, ... shards when slices would become too small to be worth a message
 * each.
 */
export function slicesOf(elements: number, shards: number, compression: Compression): readonly Chunk[] {
  let perSlice = 1;
  const alignment = compression === 'none' ? PAGE_ELEMENTS : ALIGNMENT;
  const sizeFor = (count: number): number => Math.ceil(Math.ceil(elements / count) / alignment) * alignment;
  while (perSlice < shards && sizeFor(Math.ceil(shards / perSlice)) < SLICE_ELEMENTS_MIN) perSlice *= 2;
  const count = Math.ceil(shards / perSlice);
  const size = sizeFor(count);
  return Array.from({ length: count }, (_, i) => {
    const offset = Math.min(i * size, elements);
    return { shard: i * perSlice, offset, count: Math.min(size, elements - offset) };
  });
}

/** The elements that one rank owns, from its first chunk to its last. */
export function ownedRange(chunks: readonly Chunk[]): Range {
  const first = chunks[0];
  const last = chunks.at(-1);
  if (first === undefined || last === undefined) return { offset: 0, count: 0 };
  return { offset: first.offset, count: last.offset + last.count - first.offset };
}

function chunksOf(
  slices: readonly Chunk[],
  member: Member,
  { least, most }: { readonly least: number; readonly most: number },
): Chunk[] {
  const own = slices.filter(
    ({ shard, count }) =>
      count > 0 && shard >= member.shardFirst && shard < member.shardFirst + member.shardCount,
  );
  const total = own.reduce((sum, { count }) => sum + count, 0);
  // A member's part goes in halves, so that one is added and published while the other is under way. More
  // parts cost more than they gain (measured).
  const size = Math.min(most, Math.max(least, Math.ceil(total / 2)));
  return own.flatMap((slice) => {
    // The parts are equal, because a short rest would cost a message like the others.
    const parts = Math.ceil(slice.count / size);
    const part = Math.ceil(slice.count / parts / ALIGNMENT) * ALIGNMENT;
    const chunks: Chunk[] = [];
    for (let done = 0; done < slice.count; done += part)
      chunks.push({
        shard: slice.shard,
        offset: slice.offset + done,
        count: Math.min(part, slice.count - done),
      });
    return chunks;
  });
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
