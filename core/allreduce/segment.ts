// The file through which the neighbours of a member read what it contributes and publishes, and the windows
// through which it reads theirs. Decides what lies where in a file and in the windows, who may hold a file of
// which name, and when a name goes.
//
//   file of a member       its memory                  memory of a neighbour
//   page 0  token     ─►   (nowhere)             ─►    read once, as the proof
//   vectors, encoded  ◄►   where they are computed ─►  windows on the part that the neighbour adds up
//   own slices        ◄►   in the sum              ─►  the same place in the neighbour's sum
//   brought slices    ◄─   from the sum            ─►  copied, by the members to whom they are brought
//
// Nothing of a neighbour's own slices is copied: a file is mapped over the memory of the exchange before anything is
// computed there, and a neighbour's over its windows before the first sum. What is added up for owners elsewhere, and
// what comes from them, is read with a copy: for which of the neighbours that is is known only after the first proofs,
// and windows would take address space for all of them. Slices that are brought take memory only as they are
// written. A name lives until every neighbour has opened it. Its
// owner holds the lock of the file, which the system releases when the process ends; whoever comes by removes
// names without a holder.

import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { FleetError, toFleetError } from '../errors.ts';
import { randomHex } from '../rng.ts';
import type { MemoryMap } from '../system/memory-map.ts';
import {
  type ExchangeMemory,
  encodedBytes,
  encodingOf,
  type FilePart,
  foreignNodes,
  type Layout,
  layoutOf,
  PAGE_BYTES,
  padded,
} from './memory.ts';
import { type Chunk, type Node, ownedRange, type Plan } from './plan.ts';

const NAME = /^pocketfleet-sum-[0-9a-f]{32}$/;
const TOKEN_DIGITS = 32;
/** A name can be taken for an orphan's between its making and its lock. */
const ATTEMPTS_MAX = 5;

/** This member's file. */
export interface OwnSegment {
  /** Its name in the folder of the host. */
  readonly name: string;
  /** What only a reader of the file knows. */
  readonly token: string;
  /** Writes a chunk of an owner elsewhere; throws the system's reason where there is no room. */
  bring(chunk: Chunk, data: Uint8Array): void;
  /** Reads it again; false when it is not there. */
  readBrought(chunk: Chunk, into: Uint8Array): boolean;
  /** No neighbour will open it any more. */
  dropName(): void;
  close(): void;
}

/** A neighbour's file, mapped. */
export interface PeerSegment {
  readonly token: string;
  /** Address of what it contributes of its node `index` to a chunk of this member. */
  contributionAt(index: number, chunk: Chunk): number;
  /** Address of a chunk that it has published: in the sum itself, or encoded. */
  publishedAt(chunk: Chunk): number;
  /** Copies what it contributes of its node `index` to a chunk of any owner; false when it is not there. */
  readNode(index: number, chunk: Chunk, into: Uint8Array): boolean;
  /** Copies a chunk that it has brought; false when it is not there. */
  readBrought(chunk: Chunk, into: Uint8Array): boolean;
  /** Before the first sum: nothing of it is read after all. */
  leave(): void;
  /** Its name, in case that its owner has ended before it could remove it. */
  dropName(): void;
  close(): void;
}

export interface SegmentOptions {
  readonly plan: Plan;
  readonly rank: number;
  readonly memory: ExchangeMemory;
  /** Folder of files in memory that the processes of this host share. */
  readonly folder: string;
  readonly mapping: MemoryMap;
}

/** Makes the file and maps it; throws the system's reason where it cannot. */
export function createSegment({ plan, memory, folder, mapping }: SegmentOptions): OwnSegment {
  const { fileParts } = memory.layout;
  const last = fileParts.at(-1);
  if (last === undefined)
    throw new FleetError('resourceExhausted', 'the memory of the exchange has no room for windows');
  removeOrphans(folder, mapping);
  const token = randomHex(TOKEN_DIGITS / 2);
  const { name, path, fd } = lockedFile(folder, mapping);
  try {
    mapping.allocate(fd, last.fileAt + last.bytes);
    writeSync(fd, token, 0, 'latin1');
    for (const { at, bytes, fileAt } of fileParts) mapping.map(memory.bytes(at, bytes), fd, fileAt);
  } catch (caught) {
    for (const { at, bytes } of fileParts) mapping.unmap(memory.bytes(at, bytes));
    dropName(path);
    closeSync(fd);
    throw toFleetError(caught, `shared memory in ${folder}`);
  }
  return {
    name,
    token,
    bring(chunk, data) {
      const at = broughtAt(memory.layout, plan, chunk);
      if (writeSync(fd, data, 0, data.length, at) < data.length)
        throw new FleetError('resourceExhausted', `the file in ${folder} has no room for results`);
    },
    readBrought: (chunk, into) => readWhole(fd, into, broughtAt(memory.layout, plan, chunk)),
    dropName: () => dropName(path),
    close: () => closeSync(fd),
  };
}

/** Behind all that is mapped; what nobody brings takes no memory. */
function broughtAt({ fileParts }: Layout, { compression }: Plan, { offset }: Chunk): number {
  const last = fileParts.at(-1)!;
  return last.fileAt + last.bytes + encodedBytes(compression, offset);
}

const readWhole = (fd: number, into: Uint8Array, at: number): boolean =>
  readSync(fd, into, 0, into.length, at) === into.length;

/** A new file whose lock this process holds, under a name that is still there. */
function lockedFile(folder: string, mapping: MemoryMap): { name: string; path: string; fd: number } {
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    const name = `pocketfleet-sum-${randomHex(16)}`;
    const path = join(folder, name);
    // Read and written by this user alone; a name that is taken, or a link, is an error.
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
    if (mapping.lock(fd) && statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino)
      return { name, path, fd };
    dropName(path);
    closeSync(fd);
  }
  throw new FleetError('unavailable', `a file in ${folder} cannot be locked`);
}

/** Opens the file of the member of rank `source` and maps it; throws the reason where it cannot. */
export function openPeerSegment(options: SegmentOptions, source: number, name: string): PeerSegment {
  const { plan, rank, memory, folder, mapping } = options;
  if (!NAME.test(name)) throw new FleetError('invalidArgument', 'the name of a shared file is no such name');
  const path = join(folder, name);
  const fd = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
  try {
    const token = Buffer.alloc(TOKEN_DIGITS);
    readSync(fd, token, 0, TOKEN_DIGITS, 0);
    const windows = mapWindows(options, source, fd);
    const { compression } = plan;
    const own = ownedRange(plan.chunks[rank]!);
    const theirs = ownedRange(plan.chunks[source]!);
    const theirLayout = layoutOf(plan, source);
    const unmapAll = (views: Windows['outside']): void => {
      for (const { at, bytes } of views) mapping.unmap(memory.bytes(at, bytes));
    };
    return {
      token: token.toString('latin1'),
      contributionAt: (index, chunk) =>
        windows.contributions.get(index)! +
        encodedBytes(encodingOf(plan.nodes[source]![index]!, plan), chunk.offset - own.offset),
      publishedAt: (chunk) => windows.published + encodedBytes(compression, chunk.offset - theirs.offset),
      readNode(index, { offset }, into) {
        const at = nodeAt({ plan, layout: theirLayout, source }, plan.nodes[source]![index]!, offset);
        return readWhole(fd, into, fileAtOf(theirLayout, at));
      },
      readBrought: (chunk, into) => readWhole(fd, into, broughtAt(theirLayout, plan, chunk)),
      leave: () => unmapAll([...windows.outside, ...windows.inSum]),
      dropName: () => dropName(path),
      close() {
        // What lies in the sum stays: the sum may still be read.
        unmapAll(windows.outside);
        closeSync(fd);
      },
    };
  } catch (caught) {
    closeSync(fd);
    throw caught;
  }
}

/** Address of a node of a neighbour in that neighbour's memory, from an element on. */
function nodeAt(
  { plan, layout, source }: { readonly plan: Plan; readonly layout: Layout; readonly source: number },
  node: Node,
  offset: number,
): number {
  const place = node.first - plan.members[source]!.shardFirst;
  return encodingOf(node, plan) === 'none'
    ? layout.vector(place) + offset * 4
    : layout.encoded(place, offset);
}

interface Windows {
  /** Address of the first element of this member's slices in a node, by its place among the neighbour's. */
  readonly contributions: ReadonlyMap<number, number>;
  /** Address of the first element of the neighbour's slices. */
  readonly published: number;
  readonly outside: readonly { readonly at: number; readonly bytes: number }[];
  readonly inSum: readonly { readonly at: number; readonly bytes: number }[];
}

function mapWindows({ plan, rank, memory, mapping }: SegmentOptions, source: number, fd: number): Windows {
  const { compression } = plan;
  const theirLayout = layoutOf(plan, source);
  const own = ownedRange(plan.chunks[rank]!);
  const theirs = ownedRange(plan.chunks[source]!);
  const outside: { readonly at: number; readonly bytes: number }[] = [];
  const inSum: { readonly at: number; readonly bytes: number }[] = [];

  /** Maps to `window` what lies at `from` in the neighbour's memory; returns its address here. */
  function mapTo(window: number, from: number, bytes: number, isInSum = false): number {
    const fileFrom = fileAtOf(theirLayout, from);
    const within = fileFrom % PAGE_BYTES;
    const view = { at: window, bytes: Math.ceil((within + bytes) / PAGE_BYTES) * PAGE_BYTES };
    if (bytes > 0) {
      mapping.map(memory.bytes(view.at, view.bytes), fd, fileFrom - within);
      (isInSum ? inSum : outside).push(view);
    }
    return window + within;
  }

  const contributions = new Map<number, number>();
  try {
    for (const { source: of, index, node } of foreignNodes(plan, rank)) {
      if (of !== source) continue;
      const encoding = encodingOf(node, plan);
      const from = nodeAt({ plan, layout: theirLayout, source }, node, own.offset);
      const window = memory.layout.contributionWindow(source, index);
      contributions.set(index, mapTo(window, from, encodedBytes(encoding, padded(own.count))));
    }
    const isExact = compression === 'none';
    const published = mapTo(
      isExact ? memory.layout.sum + theirs.offset * 4 : memory.layout.publishedWindow(source),
      isExact ? theirLayout.sum + theirs.offset * 4 : theirLayout.published(theirs.offset),
      encodedBytes(compression, padded(theirs.count)),
      isExact,
    );
    return { contributions, published, outside, inSum };
  } catch (caught) {
    for (const { at, bytes } of [...outside, ...inSum]) mapping.unmap(memory.bytes(at, bytes));
    throw caught;
  }
}

/** Where an address of a member's memory lies in its file. */
function fileAtOf({ fileParts }: Layout, at: number): number {
  const isIn = ({ at: first, bytes }: FilePart): boolean => at >= first && at < first + bytes;
  const part = fileParts.find(isIn) ?? fileParts[0]!;
  return part.fileAt + (at - part.at);
}

/** Removes the files of members that ended before they could: nobody holds their locks. */
export function removeOrphans(folder: string, mapping: Pick<MemoryMap, 'lock'>): void {
  for (const name of namesIn(folder)) {
    if (!NAME.test(name)) continue;
    const path = join(folder, name);
    try {
      const fd = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
      try {
        if (mapping.lock(fd)) dropName(path);
      } finally {
        closeSync(fd);
      }
    } catch {
      // Another user's, or gone meanwhile.
    }
  }
}

/** None of a folder that has gone meanwhile, or that this user may not list. */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function dropName(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Somebody else has removed it.
  }
}
