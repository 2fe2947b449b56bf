// One step's sum as one member sees it: sends its partial sums to the owners of the slices, completes its own slices,
// collects the finished slices of the others. Decides when what is sent, held back (window), added and repeated; what has arrived is
// arrivals.ts', when to ask asking.ts', order of additions reduce.ts', what travels own-vectors.ts', the layout plan.ts', and bytes travel
// through the Wire.
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
import { createArrivals, type OwnChunk } from './arrivals.ts';
import { createAsking } from './asking.ts';
import { type ExchangeMemory, encodedBytes, encodingOf, padded } from './memory.ts';
import { encodeWords, type Header, NO_DIGEST, wordsOf } from './message.ts';
import type { OwnVectors } from './own-vectors.ts';
import type { Chunk, Plan } from './plan.ts';
import { decode, sumRoot } from './reduce.ts';
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
}

/** In a request word: a result is asked for; otherwise it is arrivals.ts' contributionWord. */
const RESULT_BIT = 0x8000_0000;

export function createReduction(options: {
  readonly plan: Plan;
  readonly wire: Wire;
  readonly memory: ExchangeMemory;
  readonly vectors: OwnVectors;
  /** Free rooms of the memory, shared by all steps. */
  readonly rooms: number[];
}): Reduction {
  const { plan, wire, memory, vectors } = options;
  const { layout, kernels } = memory;
  const { rank } = wire;
  const nodes = plan.nodes[rank]!;
  const arrivals = createArrivals(options);
  const asking = createAsking(wire);
  const peers: Peer[] = plan.chunks.map((chunks, peer) => ({
    rank: peer,
    chunks,
    results: new Array<boolean>(chunks.length).fill(false),
    resultsBefore: 0,
    sent: 0,
    digest: undefined,
  }));
  /** Starts with the neighbour, so that not everybody talks to rank 0 first. */
  const others = Array.from({ length: wire.ranks - 1 }, (_, i) => peers[(rank + 1 + i) % wire.ranks]!);

  const chunksTotal = plan.chunks.reduce((total, chunks) => total + chunks.length, 0);

  let step = -1;
  let done = createDeferred<void>();
  let phase: 'waiting' | 'open' | 'complete' = 'waiting';
  let digest = NO_DIGEST;
  let chunksOpen = chunksTotal;

  function open(newStep: number): void {
    step = newStep;
    done = createDeferred<void>();
    phase = 'waiting';
    digest = NO_DIGEST;
    chunksOpen = chunksTotal;
    arrivals.open();
    for (const peer of peers) {
      peer.results.fill(false);
      peer.resultsBefore = 0;
      peer.sent = 0;
      peer.digest = undefined;
      asking.heard(peer.rank);
    }
  }

  function start(startDigest: string): void {
    assert(phase === 'waiting', `step ${step} is summed once`);
    digest = startDigest;
    phase = 'open';
    for (const peer of others) {
      checkDigest(peer);
      asking.begin(peer.rank);
    }
    for (let chunk = 0; chunk < plan.window; chunk++) {
      for (const peer of others) contributeUpTo(peer, chunk + 1);
    }
    for (const entry of arrivals.own) finishOwn(entry);
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

  function takeContribution(header: Header): void {
    const entry = arrivals.take(header);
    if (entry === undefined) return;
    const peer = peers[header.source]!;
    asking.heard(peer.rank);
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
    sumRoot({
      kernels,
      leaves: [...vectors.leaves(chunk), ...arrivals.leaves(entry)],
      shards: plan.shards,
      count: padded(count),
      into: layout.sum + offset * 4,
      scratch: layout.scratch,
    });
    const data = vectors.publish(chunk);
    arrivals.publish(entry);
    wire.sendAll(resultHeader(entry.index, chunk), data);
    chunksOpen--;
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
    asking.heard(peer.rank);
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
        const entry = arrivals.own[chunk];
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
    for (const peer of others) {
      if (!asking.isDue(peer.rank)) continue;
      const words = [...arrivals.missingFrom(peer.rank), ...missingResults(peer)];
      if (words.length === 0) continue;
      asking.asked(peer.rank);
      wire.stats.nacks++;
      wire.asked(peer.rank);
      wire.sendTo(peer.rank, wire.header('missing', step), encodeWords(words));
    }
  }

  function waitedFor(other: number): { ms: number; asked: number } | undefined {
    const isMissing = phase === 'open' && arrivals.missingFrom(other).length > 0;
    return isMissing ? asking.waited(other) : undefined;
  }

  function missingResults(peer: Peer): number[] {
    const words: number[] = [];
    for (let chunk = peer.resultsBefore; chunk < peer.sent && words.length < plan.window; chunk++) {
      if (!peer.results[chunk]) words.push(RESULT_BIT + chunk);
    }
    return words;
  }

  return {
    open,
    end: arrivals.leave,
    sum: () => done.promise,
    start,
    place: (header) => (header.kind === 'contribution' ? arrivals.place(header) : placeResult(header)),
    take(header, data) {
      if (header.kind === 'contribution') takeContribution(header);
      else if (header.kind === 'result') takeResult(header);
      else takeMissing(header, data);
    },
    askMissing,
    waitedFor,
    hasGivenAll: () => arrivals.isPublished() && others.every(({ sent, chunks }) => sent === chunks.length),
    fail: (error) => done.reject(error),
  };
}
