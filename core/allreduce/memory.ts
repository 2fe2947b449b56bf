// Where everything of one exchange lies in its shared memory. Decides sizes and addresses. Every range is
// padded to whole blocks whose padding is zero and stays zero, so that kernels have no ragged end.
//
//   vectors     one for each shard of this member: computed here, then overwritten by partial sums
//   encoded     own shards as they travel                 with compression
//   published   own slices as they were published         with compression
//   sum         own slices are added into it, the slices of others are read into it
//   rooms       contributions of others that wait for the rest of their chunk
//   arriving    one encoded result while it is decoded    with compression
//   fetched     one encoded node of a neighbour           with compression
//   residuals   two for each shard: open step and next    with int8
//   zeros, scratch
//   windows     room for what is mapped of the files of neighbours (segment.ts)
//
// What others read of this member, vectors as far as they travel, encoded, published and its own slices of an
// exact sum, are the parts that may be a file. They are whole pages.
//
// One memory for all steps and no allocation in any of them: a step of a large network moves tens of
// megabytes, and garbage of that size costs more than the additions. The memory is shared, so that the main
// thread computes into the vectors and reads the sum where the data thread works on them.

import {
  createKernels,
  createSharedMemory,
  MEMORY_BYTES_MAX,
  type SharedMemory,
} from './kernels/create-kernels.ts';
import type { Kernels } from './kernels/kernels.ts';
import { ALIGNMENT, CHUNK_ELEMENTS_MAX, type Node, ownedRange, type Plan, type Range } from './plan.ts';
import type { Encoding } from './reduce.ts';
import type { ForeignNode } from './routes.ts';

/** Addresses are in bytes from the start of the memory. */
export interface Layout {
  /** Size of the whole. */
  readonly bytes: number;
  /** The float32 vector of a shard of this member, by its place among them; overwritten by partial sums. */
  vector(index: number): number;
  /** The result, float32. */
  readonly sum: number;
  /**
   * Rooms for one contribution of another member each, as many as may wait here for the rest of their chunks.
   */
  readonly rooms: readonly number[];
  /** Own slices as they were published, by element of the vector. Only with compression. */
  published(offset: number): number;
  /** An encoded result of another while it is decoded. */
  readonly arriving: number;
  /** An encoded node of a neighbour while it is decoded. Only with compression. */
  readonly fetched: number;
  /** A shard of this member as it travels, by its place and by element. Only with compression. */
  encoded(index: number, offset: number): number;
  /**
   * What compression left of a shard, by its place: two copies that are the open step's and the next one's by
   * turns. Only with int8.
   */
  residual(index: number, copy: 0 | 1): number;
  /** One block of zeros. */
  readonly zeros: number;
  /** A temporary as long as the largest chunk, by depth of the tree. */
  scratch(depth: number): number;
  /** What is a file where neighbours read it; empty when there are no addresses left for their windows. */
  readonly fileParts: readonly FilePart[];
  /** Room to map what a neighbour contributes of a node to this member's slices, by rank and place of the node. */
  contributionWindow(source: number, index: number): number;
  /** Room to map the slices that a neighbour has published. Only with compression. */
  publishedWindow(source: number): number;
}

/** Whole pages of the memory that are whole pages of the member's file. */
export interface FilePart {
  readonly at: number;
  readonly bytes: number;
  /** Where they begin in the file. */
  readonly fileAt: number;
}

/** What is mapped begins at multiples of this, in bytes. */
export const PAGE_BYTES = 4096;
const wholePages = (bytes: number): number => Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;

/** Elements with the padding to whole blocks. */
export const padded = (count: number): number => Math.ceil(count / ALIGNMENT) * ALIGNMENT;

/** Bytes that `count` elements take. Float32 travels without its padding, encoded blocks travel whole. */
export function encodedBytes(encoding: Encoding, count: number): number {
  if (encoding === 'none') return count * 4;
  return encoding === 'bf16' ? padded(count) * 2 : (padded(count) / ALIGNMENT) * (ALIGNMENT + 4);
}

/**
 * A sum of several shards travels as float32: rounding it again would make the bits depend on who holds what.
 */
export const encodingOf = (node: Node, plan: Pick<Plan, 'compression'>): Encoding =>
  node.size === 1 ? plan.compression : 'none';

/** Nodes of all other members in rank order, as each adds them up alone. */
export function foreignNodes(plan: Plan, rank: number): readonly ForeignNode[] {
  return plan.nodes.flatMap((nodes, source) =>
    source === rank ? [] : nodes.map((node, index) => ({ source, index, node })),
  );
}

/** Windows take addresses; a memory that has no room for them is not shared. */
export function layoutOf(plan: Plan, rank: number): Layout {
  const layout = placedAreas(plan, rank, true);
  return layout.bytes <= MEMORY_BYTES_MAX ? layout : placedAreas(plan, rank, false);
}

function placedAreas(plan: Plan, rank: number, isShared: boolean): Layout {
  const { compression } = plan;
  const { shardCount } = plan.members[rank]!;
  const own: Range = ownedRange(plan.chunks[rank]!);
  const whole = padded(plan.elements) * 4;
  const chunk = padded(Math.max(0, ...plan.chunks.flat().map(({ count }) => count)));
  let bytes = 0;
  const area = (size: number): number => {
    const at = bytes;
    // A cache line between areas: two threads that write to neighbouring areas do not write to one line.
    bytes += Math.ceil(size / 64) * 64 + 64;
    return at;
  };
  const pages = (size: number): number => {
    const at = wholePages(bytes);
    bytes = at + wholePages(size);
    return at;
  };
  const areas = (count: number, size: number, place = area): number[] =>
    Array.from({ length: count }, () => place(size));

  const vectors = areas(shardCount, whole, pages);
  const encodedArea = encodedBytes(compression, padded(plan.elements));
  const encoded = areas(compression === 'none' ? 0 : shardCount, encodedArea, pages);
  const published = pages(compression === 'none' ? 0 : encodedBytes(compression, padded(own.count)));
  const sum = pages(whole);
  const rooms = areas(roomsOf(plan, rank), roomBytes(compression, chunk));
  const encodedChunk = compression === 'none' ? 0 : encodedBytes(compression, chunk);
  const arriving = area(encodedChunk);
  const fetched = area(encodedChunk);
  const residuals = areas(compression === 'int8' ? shardCount * 2 : 0, whole);
  const zeros = area(ALIGNMENT * 4);
  const scratch = areas(Math.ceil(Math.log2(Math.max(2, plan.shards))) + 1, chunk * 4);
  const windows = isShared ? windowsOf(plan, rank, pages) : NO_WINDOWS;
  const travels = plan.nodes[rank]!.some((node) => encodingOf(node, plan) === 'none');
  return {
    ...{ bytes, sum, zeros, arriving, fetched, rooms, ...windows },
    vector: (index) => vectors[index]!,
    published: (offset) => published + encodedBytes(compression, offset - own.offset),
    encoded: (index, offset) => encoded[index]! + encodedBytes(compression, offset),
    residual: (index, copy) => residuals[index * 2 + copy]!,
    scratch: (depth) => scratch[depth]!,
    fileParts: isShared
      ? filePartsOf(
          { at: travels ? vectors[0]! : encoded[0]!, end: sum },
          {
            at: sum + own.offset * 4,
            end: sum + own.offset * 4 + (compression === 'none' ? wholePages(own.count * 4) : 0),
          },
        )
      : [],
  };
}

/**
 * Rooms that members ever need together, whatever groups they form: a group gives no more nodes than its members. A sum
 * of several shards may make the chunks of a compressed run half as long.
 */
function roomsOf(plan: Plan, rank: number): number {
  const chunks = plan.chunks[rank]!.length * (plan.compression === 'none' ? 1 : 2);
  return foreignNodes(plan, rank).length * Math.min(plan.window, chunks);
}

/** A node of a group may be a sum where those of its members are single shards. */
const roomBytes = (compression: Encoding, chunk: number): number =>
  Math.max(encodedBytes(compression, chunk), encodedBytes('none', Math.min(chunk, CHUNK_ELEMENTS_MAX)));

/** The first page of a file is its token. */
function filePartsOf(...parts: readonly { readonly at: number; readonly end: number }[]): FilePart[] {
  let fileAt = PAGE_BYTES;
  return parts
    .map(({ at, end }) => {
      const part = { at, bytes: end - at, fileAt };
      fileAt += part.bytes;
      return part;
    })
    .filter(({ bytes }) => bytes > 0);
}

type Windows = Pick<Layout, 'contributionWindow' | 'publishedWindow'>;

const NO_WINDOWS: Windows = { contributionWindow: () => 0, publishedWindow: () => 0 };

/** A range of bytes that begins anywhere lies in one page more than its length takes. */
function windowsOf(plan: Plan, rank: number, pages: (size: number) => number): Windows {
  const own = padded(ownedRange(plan.chunks[rank]!).count);
  const contributions = new Map(
    foreignNodes(plan, rank).map(({ source, index, node }) => [
      `${source} ${index}`,
      pages(encodedBytes(encodingOf(node, plan), own) + PAGE_BYTES),
    ]),
  );
  const published = plan.chunks.map((chunks, source) =>
    plan.compression === 'none' || source === rank
      ? 0
      : pages(encodedBytes(plan.compression, padded(ownedRange(chunks).count)) + PAGE_BYTES),
  );
  return {
    contributionWindow: (source, index) => contributions.get(`${source} ${index}`)!,
    publishedWindow: (source) => published[source]!,
  };
}

export interface ExchangeMemory {
  readonly layout: Layout;
  readonly shared: SharedMemory;
  readonly kernels: Kernels;
  /** A view of `length` bytes from an address on. */
  bytes(at: number, length: number): Uint8Array<SharedArrayBuffer>;
  /** A view of `length` elements from an address on. */
  floats(at: number, length: number): Float32Array<SharedArrayBuffer>;
}

/** `shared`: memory that another thread has created for the same plan; else it is created here. */
export function createExchangeMemory(
  plan: Plan,
  rank: number,
  shared: SharedMemory = createSharedMemory(layoutOf(plan, rank).bytes),
): ExchangeMemory {
  const { buffer } = shared;
  return {
    layout: layoutOf(plan, rank),
    shared,
    kernels: createKernels(shared),
    bytes: (at, length) => new Uint8Array(buffer, at, length),
    floats: (at, length) => new Float32Array(buffer, at, length),
  };
}
