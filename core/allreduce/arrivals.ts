// What other members contribute to this member's slices in one step: where it is read to, and which chunks have everything. Decides
// what belongs here at all, what is a repetition and which room a contribution gets; when a complete chunk is added and
// published is reduction.ts', the layout of the rooms memory.ts'.

import { FleetError } from '../errors.ts';
import { type ExchangeMemory, encodedBytes, encodingOf, foreignNodes, padded } from './memory.ts';
import type { Header } from './message.ts';
import type { Chunk, Plan } from './plan.ts';
import type { Leaf } from './reduce.ts';
import type { Place, Wire } from './wire.ts';

/** A chunk of this member's slices. */
export interface OwnChunk {
  readonly index: number;
  readonly chunk: Chunk;
  /** By slot, of all other members' nodes: where a contribution lies or was to be read to. */
  readonly rooms: (number | undefined)[];
  /** By slot: what is completely here. */
  readonly here: boolean[];
  missing: number;
  published: boolean;
}

export interface Arrivals {
  readonly own: readonly OwnChunk[];
  /** Forgets the step before. */
  open(): void;
  /** Gives back the rooms of what was not summed. */
  leave(): void;
  /** 'skip' for a repetition; throws when no plan asks for it. */
  place(header: Header): Place;
  /** What was placed has arrived; undefined for a repetition. */
  take(header: Header): OwnChunk | undefined;
  /** The received nodes of a chunk that misses nothing. */
  leaves(entry: OwnChunk): Leaf[];
  /** A chunk is added up: what was received for it is not needed any more. */
  publish(entry: OwnChunk): void;
  /** Request words for what a member has not contributed; only what its window lets it have sent, at most a window of chunks. */
  missingFrom(rank: number): number[];
  isPublished(): boolean;
}

/** A contribution in a request: node index << 24 | chunk. */
const contributionWord = (index: number, chunk: number): number => index * 0x100_0000 + chunk;

export function createArrivals(options: {
  readonly plan: Plan;
  readonly wire: Wire;
  readonly memory: ExchangeMemory;
  /** Free rooms of the memory, shared by all steps. */
  readonly rooms: number[];
}): Arrivals {
  const { plan, wire, memory, rooms } = options;
  const foreign = foreignNodes(plan, wire.rank);
  const own: OwnChunk[] = plan.chunks[wire.rank]!.map((chunk, index) => ({
    index,
    chunk,
    rooms: new Array<number | undefined>(foreign.length).fill(undefined),
    here: new Array<boolean>(foreign.length).fill(false),
    missing: foreign.length,
    published: false,
  }));
  /** All chunks below this one are published. */
  let publishedBefore = 0;

  /** Slot and chunk of a contribution. */
  function placeOf(header: Header): { readonly slot: number; readonly entry: OwnChunk } {
    const slot = foreign.findIndex(
      ({ source, node }) =>
        source === header.source && node.first === header.shardFirst && node.size === header.shardCount,
    );
    const entry = own[header.chunk];
    const fits =
      slot >= 0 &&
      entry !== undefined &&
      entry.chunk.offset === header.offset &&
      entry.chunk.count === header.count &&
      header.encoding === encodingOf(foreign[slot]!.node, plan);
    if (!fits)
      throw new FleetError(
        'invalidArgument',
        `${wire.nameOf(header.source)} contributed what no plan asks for`,
      );
    return { slot, entry };
  }

  /** As `placeOf`; counts a repetition and gives nothing for it. */
  function newPlaceOf(header: Header): ReturnType<typeof placeOf> | undefined {
    const place = placeOf(header);
    if (!place.entry.published && !place.entry.here[place.slot]) return place;
    wire.stats.duplicates++;
    return undefined;
  }

  /** The room used last first, because it is still in the processor's cache; one that was read to in vain, again. */
  function roomFor(entry: OwnChunk, slot: number, { encoding, count }: Header): Place {
    const at = entry.rooms[slot] ?? rooms.pop();
    if (at === undefined)
      throw new FleetError('resourceExhausted', 'more contributions came than the window lets members send');
    entry.rooms[slot] = at;
    const bytes = encodedBytes(encoding, count);
    // Of a ragged end float32 alone travels without its padding, which the kernels read.
    if (encoding === 'none') memory.bytes(at + bytes, padded(count) * 4 - bytes).fill(0);
    return memory.bytes(at, bytes);
  }

  function leaveRooms(entry: OwnChunk): void {
    for (const at of entry.rooms) if (at !== undefined) rooms.push(at);
    entry.rooms.fill(undefined);
  }

  return {
    own,
    open() {
      publishedBefore = 0;
      for (const entry of own) {
        leaveRooms(entry);
        entry.here.fill(false);
        entry.missing = foreign.length;
        entry.published = false;
      }
    },
    leave: () => own.forEach(leaveRooms),
    place(header) {
      const place = newPlaceOf(header);
      return place === undefined ? 'skip' : roomFor(place.entry, place.slot, header);
    },
    take(header) {
      const place = newPlaceOf(header);
      if (place === undefined) return undefined;
      place.entry.here[place.slot] = true;
      place.entry.missing--;
      return place.entry;
    },
    leaves: (entry) =>
      foreign.map(({ node }, slot) => ({
        node,
        encoding: encodingOf(node, plan),
        at: entry.rooms[slot]!,
      })),
    publish(entry) {
      entry.published = true;
      leaveRooms(entry);
      while (own[publishedBefore]?.published) publishedBefore++;
    },
    missingFrom(rank) {
      const words: number[] = [];
      for (const { index: chunk, published, here } of own.slice(
        publishedBefore,
        publishedBefore + plan.window,
      )) {
        foreign.forEach(({ source, index }, slot) => {
          if (source === rank && !published && !here[slot]) words.push(contributionWord(index, chunk));
        });
      }
      return words;
    },
    isPublished: () => publishedBefore === own.length,
  };
}
