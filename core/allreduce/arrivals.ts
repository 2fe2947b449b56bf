// What other members contribute to this member's slices in one step. Decides what belongs here at all, what
// is a repetition, which room of the memory a contribution is read into, and which contributions are missing.
//
// Each chunk of this member's slices has a slot for every node that another member gives for it:
//
//            slot:   node of rank 0   node of rank 0   node of rank 2
//   chunk 0          here             here             here            complete: can be added
//   chunk 1          here             missing          here            waits for one
//   chunk 2          missing          missing          missing
//
// A contribution is placed when its header has been read, and counts as here when its data has: a connection
// that breaks in between leaves a room that was written in part, and the repetition is read into the same
// room.

import { FleetError } from '../errors.ts';
import { type ExchangeMemory, encodedBytes, encodingOf, padded } from './memory.ts';
import type { Header } from './message.ts';
import type { Neighbours } from './neighbours.ts';
import type { Notes } from './notes.ts';
import type { Chunk, Plan } from './plan.ts';
import type { Leaf } from './reduce.ts';
import { contributionWord } from './request-words.ts';
import type { ForeignNode, Routes } from './routes.ts';
import type { Place, Wire } from './wire.ts';

/** A chunk of this member's slices. */
export interface OwnChunk {
  readonly index: number;
  readonly chunk: Chunk;
  /** By slot: address of the room that a contribution lies in or is being read into. */
  readonly rooms: (number | undefined)[];
  /** By slot: address of a contribution that is read where it lies, in a neighbour's memory. */
  readonly windows: (number | undefined)[];
  /** By slot: whether the contribution is completely here. */
  readonly here: boolean[];
  /** Slots whose contribution is not here. */
  missing: number;
  published: boolean;
}

/** Everything for the chunk is here, and it has not been added yet. */
export const isReadyToAdd = ({ missing, published }: Pick<OwnChunk, 'missing' | 'published'>): boolean =>
  missing === 0 && !published;

/** The slot of a contribution to `chunk`; -1 when the plan has no such contribution. */
export function slotOf(
  header: Header,
  chunk: Chunk | undefined,
  foreign: readonly ForeignNode[],
  plan: Pick<Plan, 'compression'>,
): number {
  if (chunk === undefined || chunk.offset !== header.offset || chunk.count !== header.count) return -1;
  const slot = foreign.findIndex(
    ({ source, node }) =>
      source === header.source && node.first === header.shardFirst && node.size === header.shardCount,
  );
  return slot >= 0 && header.encoding === encodingOf(foreign[slot]!.node, plan) ? slot : -1;
}

/**
 * Request words for what `rank` has not contributed. Only the first `window` chunks that are not published
 * are looked at: the window lets no member have sent anything for a later one.
 */
export function missingContributions(
  own: readonly Pick<OwnChunk, 'index' | 'published' | 'here'>[],
  foreign: readonly ForeignNode[],
  from: { readonly rank: number; readonly publishedBefore: number; readonly window: number },
): number[] {
  const words: number[] = [];
  for (const { index: chunk, published, here } of own.slice(
    from.publishedBefore,
    from.publishedBefore + from.window,
  )) {
    foreign.forEach(({ source, index }, slot) => {
      if (source === from.rank && !published && !here[slot]) words.push(contributionWord(index, chunk));
    });
  }
  return words;
}

export interface Arrivals {
  readonly own: readonly OwnChunk[];
  /** A step begins: nothing is here. */
  expectAll(): void;
  /** Gives back the rooms of what was not added. */
  returnRooms(): void;
  /** Where a contribution is read into: 'skip' for a repetition; throws when no plan asks for it. */
  placeContribution(header: Header): Place;
  /** A contribution has been read; undefined for a repetition. */
  recordContribution(header: Header): OwnChunk | undefined;
  /**
   * A note about a contribution has come; undefined for a repetition, and for data that is not what the note is
   * about.
   */
  recordNote(header: Header, note: Uint8Array): OwnChunk | undefined;
  /** The contributions to a chunk that misses nothing. */
  arrivedLeaves(entry: OwnChunk): Leaf[];
  /** The chunk is added up, and its contributions are not needed any more. */
  markPublished(entry: OwnChunk): void;
  /** Request words for what a member has not contributed. */
  missingFrom(rank: number): number[];
  isAllPublished(): boolean;
}

export function createArrivals(options: {
  readonly plan: Plan;
  readonly routes: Routes;
  readonly wire: Wire;
  readonly memory: ExchangeMemory;
  /** Addresses of the free rooms of the memory, shared by all steps. */
  readonly rooms: number[];
  readonly neighbours: Pick<Neighbours, 'contributionAt'>;
  readonly notes: Pick<Notes, 'isAbout'>;
}): Arrivals {
  const { plan, routes, wire, memory, rooms, neighbours, notes } = options;
  const foreign = routes.received(wire.rank);
  const own = ownChunks(plan, wire.rank, foreign.length);
  /** All chunks before this one are published. */
  let publishedBefore = 0;

  /** Chunk and slot of a contribution; undefined, and counted, when it is here already. */
  function newPlaceOf(header: Header): { readonly slot: number; readonly entry: OwnChunk } | undefined {
    const entry = own[header.chunk];
    const slot = slotOf(header, entry?.chunk, foreign, plan);
    if (entry === undefined || slot < 0)
      throw new FleetError(
        'invalidArgument',
        `${wire.nameOf(header.source)} contributed what no plan asks for`,
      );
    if (!entry.published && !entry.here[slot]) return { slot, entry };
    wire.stats.duplicates++;
    return undefined;
  }

  /**
   * The room that was used last goes first, because it is still in the processor's cache; a room that was
   * read into in vain, again.
   */
  function roomFor(entry: OwnChunk, slot: number, { encoding, count }: Header): Place {
    const at = entry.rooms[slot] ?? rooms.pop();
    if (at === undefined)
      throw new FleetError('resourceExhausted', 'more contributions came than the window lets members send');
    entry.rooms[slot] = at;
    const bytes = encodedBytes(encoding, count);
    // A ragged end travels without its padding as float32 alone; the kernels read the padding.
    if (encoding === 'none') memory.bytes(at + bytes, padded(count) * 4 - bytes).fill(0);
    return memory.bytes(at, bytes);
  }

  function leaveRooms(entry: OwnChunk): void {
    for (const at of entry.rooms) if (at !== undefined) rooms.push(at);
    entry.rooms.fill(undefined);
    entry.windows.fill(undefined);
  }

  function record({ slot, entry }: { readonly slot: number; readonly entry: OwnChunk }): OwnChunk {
    entry.here[slot] = true;
    entry.missing--;
    return entry;
  }

  return {
    own,
    expectAll() {
      publishedBefore = 0;
      for (const entry of own) {
        leaveRooms(entry);
        entry.here.fill(false);
        entry.missing = foreign.length;
        entry.published = false;
      }
    },
    returnRooms: () => own.forEach(leaveRooms),
    placeContribution(header) {
      const place = newPlaceOf(header);
      return place === undefined ? 'skip' : roomFor(place.entry, place.slot, header);
    },
    recordContribution(header) {
      const place = newPlaceOf(header);
      return place === undefined ? undefined : record(place);
    },
    recordNote(header, note) {
      const place = newPlaceOf(header);
      if (place === undefined) return undefined;
      const { slot, entry } = place;
      const at = neighbours.contributionAt(header.source, foreign[slot]!.index, entry.chunk);
      if (at === undefined || !notes.isAbout(note, at, encodedBytes(header.encoding, header.count))) {
        wire.stats.refused++;
        return undefined;
      }
      entry.windows[slot] = at;
      return record(place);
    },
    arrivedLeaves: (entry) =>
      foreign.map(({ node }, slot) => ({
        node,
        encoding: encodingOf(node, plan),
        at: entry.windows[slot] ?? entry.rooms[slot]!,
      })),
    markPublished(entry) {
      entry.published = true;
      leaveRooms(entry);
      while (own[publishedBefore]?.published) publishedBefore++;
    },
    missingFrom: (rank) => missingContributions(own, foreign, { rank, publishedBefore, window: plan.window }),
    isAllPublished: () => publishedBefore === own.length,
  };
}

function ownChunks(plan: Plan, rank: number, slots: number): OwnChunk[] {
  return plan.chunks[rank]!.map((chunk, index) => ({
    index,
    chunk,
    rooms: new Array<number | undefined>(slots).fill(undefined),
    windows: new Array<number | undefined>(slots).fill(undefined),
    here: new Array<boolean>(slots).fill(false),
    missing: slots,
    published: false,
  }));
}
