// One step's sum as one member sees it: sends its partial sums to the owners of the slices, completes its own slices,
// collects the finished slices of the others. Decides when what is sent, held back (window), asked for (stall) and
// repeated; order of additions is reduce.ts', what travels is own-vectors.ts', the layout plan.ts', and bytes travel through the Wire.
//
// Flow: chunk c of an owner is contributed only after chunk c - window of that owner has come back finished, so nobody
// has more than window chunks a peer under way. In chunk order this cannot deadlock; losses are found by the receiver
// after a quiet time and asked for. Everything is idempotent by (source, node, chunk).
//
// One memory serves all steps. It is never written while somebody may need it: a contribution to step s + 1 comes from a member
// that has all of step s, hence everything published here for s; and a chunk of s + 1 is published here only after
// every member has contributed to it, hence has all of s. What is still under way then is a repetition.

import assert from 'node:assert/strict';
import { createDeferred } from '../deferred.ts';
import { FleetError } from '../errors.ts';
import { type ExchangeMemory, encodedBytes, encodingOf, foreignNodes, padded } from './memory.ts';
import { encodeWords, type Header, NO_DIGEST, wordsOf } from './message.ts';
import type { OwnVectors } from './own-vectors.ts';
import type { Chunk, Plan } from './plan.ts';
import { decode, type Leaf, sumRoot } from './reduce.ts';
import type { Place, Wire } from './wire.ts';

/** Serves one step after the other: `open` begins a new life. */
export interface Reduction {
  open(step: number): void;
  /** Gives up what has arrived and was not summed. */
  end(): void;
  /** Resolves when the sum over all shards of this step is complete in memory. */
  sum(): Promise<void>;
  /** Begins to contribute the vectors in memory, which must not change until `sum` is there. */
  start(digest: string): void;
  /** Where the data of a contribution or result goes; 'skip' when it is known already. */
  place(header: Header): Place;
  /** Takes what was placed, or a request for what is missing; early contributions are kept. */
  take(header: Header, data: Uint8Array): void;
  /** Asks silent peers for what is missing. */
  askMissing(): void;
  /** For how long the part of a member has been missing here, and how often it was asked; undefined when it is not. */
  waitedFor(rank: number): { readonly ms: number; readonly asked: number } | undefined;
  /** All contributions are sent and all chunks owned here are published: nothing of the vectors in memory is needed any more. */
  hasGivenAll(): boolean;
  fail(error: FleetError): void;
}

/** What is known of one other member in this step. */
interface Peer {
  readonly rank: number;
  readonly chunks: readonly Chunk[];
  /** Chunks owned by it that came back finished. */
  readonly results: boolean[];
  /** All chunks of its slices below this one are here. */
  resultsBefore: number;
  /** Chunks of its slices to which this member has contributed. */
  sent: number;
  /** Weight digest that its contributions carried. */
  digest: string | undefined;
  /** When something new came from it, or it was last asked. */
  heardAt: number;
  /** When something new came from it, or this member began to wait. */
  newsAt: number;
  /** Requests since then. */
  asked: number;
  /** Quiet time before it is asked again; doubles up to ASK_MS_MAX while nothing comes. */
  patienceMs: number;
}

/** A chunk of this member's slices. */
interface OwnChunk {
  readonly chunk: Chunk;
  /** By slot, of all other members' nodes: where a contribution lies or was to be read to. */
  readonly rooms: (number | undefined)[];
  /** By slot: what is completely here. */
  readonly here: boolean[];
  missing: number;
  published: boolean;
}

const ASK_MS_MAX = 500;
/** In a request word: a result is asked for; otherwise node index << 24 | chunk of a contribution. */
const RESULT_BIT = 0x8000_0000;

export function createReduction(options: {
  readonly plan: Plan;
  readonly wire: Wire;
  readonly memory: ExchangeMemory;
  readonly vectors: OwnVectors;
  /** Free rooms of the memory, shared by all steps. */
  readonly rooms: number[];
}): Reduction {
  const { plan, wire, memory, vectors, rooms } = options;
  const { layout, kernels } = memory;
  const { rank } = wire;
  const nodes = plan.nodes[rank]!;
  const foreign = foreignNodes(plan, rank);
  const own: OwnChunk[] = plan.chunks[rank]!.map((chunk) => ({
    chunk,
    rooms: new Array<number | undefined>(foreign.length).fill(undefined),
    here: new Array<boolean>(foreign.length).fill(false),
    missing: foreign.length,
    published: false,
  }));
  const peers: Peer[] = plan.chunks.map((chunks, peer) => ({
    rank: peer,
    chunks,
    results: new Array<boolean>(chunks.length).fill(false),
    resultsBefore: 0,
    sent: 0,
    digest: undefined,
    heardAt: wire.now(),
    newsAt: wire.now(),
    asked: 0,
    patienceMs: wire.stallMs,
  }));
  /** Starts with the neighbour, so that not everybody talks to rank 0 first. */
  const others = Array.from({ length: wire.ranks - 1 }, (_, i) => peers[(rank + 1 + i) % wire.ranks]!);

  const chunksTotal = plan.chunks.reduce((total, chunks) => total + chunks.length, 0);

  let step = -1;
  let done = createDeferred<void>();
  let phase: 'waiting' | 'open' | 'complete' = 'waiting';
  let digest = NO_DIGEST;
  let chunksOpen = chunksTotal;
  let publishedBefore = 0;

  function open(newStep: number): void {
    step = newStep;
    done = createDeferred<void>();
    phase = 'waiting';
    digest = NO_DIGEST;
    chunksOpen = chunksTotal;
    publishedBefore = 0;
    for (const entry of own) {
      leaveRooms(entry);
      entry.here.fill(false);
      entry.missing = foreign.length;
      entry.published = false;
    }
    for (const peer of peers) {
      peer.results.fill(false);
      peer.resultsBefore = 0;
      peer.sent = 0;
      peer.digest = undefined;
      peer.heardAt = wire.now();
      peer.newsAt = wire.now();
      peer.asked = 0;
      peer.patienceMs = wire.stallMs;
    }
  }

  function start(startDigest: string): void {
    assert(phase === 'waiting', `step ${step} is summed once`);
    digest = startDigest;
    phase = 'open';
    for (const peer of others) {
      checkDigest(peer);
      peer.heardAt = wire.now();
      peer.newsAt = wire.now();
      peer.asked = 0;
    }
    for (let chunk = 0; chunk < plan.window; chunk++) {
      for (const peer of others) contributeUpTo(peer, chunk + 1);
    }
    for (const entry of own) finishOwn(entry);
    finishSum();
  }

  function contributeUpTo(peer: Peer, end: number): void {
    for (; peer.sent < Math.min(end, peer.chunks.length); peer.sent++) {
      for (let index = 0; index < nodes.length; index++) contribute(peer, peer.sent, index);
    }
  }

  function contribute(peer: Peer, chunk: number, index: number): void {
    const part = peer.chunks[chunk]!;
    const node = nodes[index]!;
    const header = wire.header('contribution', step, {
      encoding: encodingOf(node, plan),
      shardFirst: node.first,
      shardCount: node.size,
      chunk,
      offset: part.offset,
      count: part.count,
      digest,
    });
    wire.sendTo(peer.rank, header, vectors.contribution(index, part));
  }

  /** Slot and chunk of a contribution; throws when no plan asks for it. */
  function placeOf(header: Header): {
    readonly slot: number;
    readonly entry: OwnChunk;
  } {
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

  function place(header: Header): Place {
    return header.kind === 'contribution' ? placeContribution(header) : placeResult(header);
  }

  function placeContribution(header: Header): Place {
    const { slot, entry } = placeOf(header);
    if (entry.published || entry.here[slot]) {
      wire.stats.duplicates++;
      return 'skip';
    }
    return roomFor(entry, slot, header);
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

  function takeContribution(header: Header): void {
    const { slot, entry } = placeOf(header);
    if (entry.published || entry.here[slot]) {
      wire.stats.duplicates++;
      return;
    }
    entry.here[slot] = true;
    entry.missing--;
    const peer = peers[header.source]!;
    heard(peer);
    peer.digest = header.digest;
    if (phase !== 'open') return;
    checkDigest(peer);
    finishOwn(entry);
    finishSum();
  }

  /** Publishes a chunk of this member's slices once everything for it is here. */
  function finishOwn(entry: OwnChunk): void {
    if (entry.missing > 0 || entry.published) return;
    const { chunk } = entry;
    const { offset, count } = chunk;
    const received: Leaf[] = foreign.map(({ node }, slot) => ({
      node,
      encoding: encodingOf(node, plan),
      at: entry.rooms[slot]!,
    }));
    sumRoot({
      kernels,
      leaves: [...vectors.leaves(chunk), ...received],
      shards: plan.shards,
      count: padded(count),
      into: layout.sum + offset * 4,
      scratch: layout.scratch,
    });
    const data = vectors.publish(chunk);
    entry.published = true;
    leaveRooms(entry);
    wire.sendAll(resultHeader(own.indexOf(entry), chunk), data);
    chunksOpen--;
    while (own[publishedBefore]?.published) publishedBefore++;
  }

  function leaveRooms(entry: OwnChunk): void {
    for (const at of entry.rooms) if (at !== undefined) rooms.push(at);
    entry.rooms.fill(undefined);
  }

  const resultHeader = (chunk: number, { offset, count }: Chunk): Header =>
    wire.header('result', step, { encoding: plan.compression, chunk, offset, count, digest });

  function placeResult(header: Header): Place {
    const peer = peers[header.source]!;
    const range = peer.chunks[header.chunk];
    if (
      range === undefined ||
      range.offset !== header.offset ||
      range.count !== header.count ||
      header.encoding !== plan.compression
    )
      throw new FleetError('invalidArgument', `${wire.nameOf(peer.rank)} published what no plan asks for`);
    if (phase === 'waiting') {
      // No result can exist without this member's contribution.
      wire.stats.refused++;
      return 'skip';
    }
    if (peer.results[header.chunk]) {
      wire.stats.duplicates++;
      return 'skip';
    }
    const bytes = encodedBytes(plan.compression, range.count);
    return memory.bytes(plan.compression === 'none' ? layout.sum + range.offset * 4 : layout.arriving, bytes);
  }

  function takeResult(header: Header): void {
    const peer = peers[header.source]!;
    const range = peer.chunks[header.chunk];
    if (range === undefined || phase !== 'open' || peer.results[header.chunk]) {
      wire.stats.duplicates++;
      return;
    }
    if (plan.compression !== 'none')
      decode(
        kernels,
        layout.sum + range.offset * 4,
        { encoding: plan.compression, at: layout.arriving },
        padded(range.count),
      );
    peer.results[header.chunk] = true;
    heard(peer);
    while (peer.results[peer.resultsBefore]) peer.resultsBefore++;
    contributeUpTo(peer, peer.resultsBefore + plan.window);
    chunksOpen--;
    finishSum();
  }

  function finishSum(): void {
    if (chunksOpen > 0 || phase !== 'open') return;
    // Everybody's contributions have arrived, or these chunks would not be finished: only own results may be asked for.
    phase = 'complete';
    done.resolve();
  }

  function checkDigest(peer: Peer): void {
    if (peer.digest === undefined || peer.digest === digest) return;
    wire.stop(
      new FleetError(
        'dataLoss',
        `replicas differ at the start of step ${step}: ${wire.nameOf(rank)} has weights ${digest}, ${wire.nameOf(peer.rank)} has ${peer.digest}`,
        { details: { step, ranks: [rank, peer.rank], digests: [digest, peer.digest] } },
      ),
    );
  }

  function takeMissing(header: Header, data: Uint8Array): void {
    const peer = peers[header.source]!;
    const { resends } = wire.stats;
    for (const word of wordsOf(data)) {
      if ((word & RESULT_BIT) !== 0) {
        const chunk = word & ~RESULT_BIT;
        const entry = own[chunk];
        if (!entry?.published) continue;
        wire.stats.resends++;
        wire.sendTo(peer.rank, resultHeader(chunk, entry.chunk), vectors.published(entry.chunk));
      } else {
        const chunk = word & 0xff_ffff;
        const index = word >>> 24;
        if (phase !== 'open' || index >= nodes.length || chunk >= peer.sent) continue;
        wire.stats.resends++;
        contribute(peer, chunk, index);
      }
    }
    if (wire.stats.resends === resends) wire.sendTo(peer.rank, wire.header('here', step));
  }

  function askMissing(): void {
    if (phase !== 'open') return;
    const now = wire.now();
    for (const peer of others) {
      if (now - peer.heardAt < peer.patienceMs) continue;
      const words = [...missingContributions(peer), ...missingResults(peer)];
      if (words.length === 0) continue;
      peer.heardAt = now;
      peer.patienceMs = Math.max(wire.stallMs, Math.min(ASK_MS_MAX, peer.patienceMs * 2));
      wire.stats.nacks++;
      wire.asked(peer.rank);
      peer.asked++;
      wire.sendTo(peer.rank, wire.header('missing', step), encodeWords(words));
    }
  }

  function waitedFor(other: number): { ms: number; asked: number } | undefined {
    const { newsAt, asked } = peers[other]!;
    const isMissing = phase === 'open' && missingContributions(peers[other]!).length > 0;
    return isMissing ? { ms: wire.now() - newsAt, asked } : undefined;
  }

  /** Only what the peer's window lets it have sent, at most a window of chunks. */
  function missingContributions(peer: Peer): number[] {
    const words: number[] = [];
    const end = Math.min(own.length, publishedBefore + plan.window);
    for (let chunk = publishedBefore; chunk < end; chunk++) {
      foreign.forEach(({ source, index }, slot) => {
        const entry = own[chunk]!;
        if (source === peer.rank && !entry.published && !entry.here[slot])
          words.push(index * 0x100_0000 + chunk);
      });
    }
    return words;
  }

  function missingResults(peer: Peer): number[] {
    const words: number[] = [];
    for (let chunk = peer.resultsBefore; chunk < peer.sent && words.length < plan.window; chunk++) {
      if (!peer.results[chunk]) words.push(RESULT_BIT + chunk);
    }
    return words;
  }

  function heard(peer: Peer): void {
    peer.heardAt = wire.now();
    peer.newsAt = wire.now();
    peer.asked = 0;
    peer.patienceMs = wire.stallMs;
  }

  return {
    open,
    end: () => own.forEach(leaveRooms),
    sum: () => done.promise,
    start,
    place,
    take(header, data) {
      if (header.kind === 'contribution') takeContribution(header);
      else if (header.kind === 'result') takeResult(header);
      else takeMissing(header, data);
    },
    askMissing,
    waitedFor,
    hasGivenAll: () =>
      publishedBefore === own.length && others.every(({ sent, chunks }) => sent === chunks.length),
    fail: (error) => done.reject(error),
  };
}
