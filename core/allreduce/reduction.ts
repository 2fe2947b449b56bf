// One step's sum as one member sees it: sends its partial sums to the owners of the slices, completes its own slice,
// collects the finished slices of the others. Decides when what is sent, held back (window), asked for (stall) and
// repeated; order of additions is reduce.ts', the layout plan.ts', and bytes travel through the Wire.
//
// Flow: chunk c of a slice is contributed only after chunk c - window of that slice has come back finished, so nobody
// has more than window chunks a peer under way. In chunk order this cannot deadlock; losses are found by the receiver
// after a quiet time and asked for. Everything is idempotent by (source, node, chunk).

import assert from 'node:assert/strict';
import { createDeferred } from '../deferred.ts';
import { FleetError } from '../errors.ts';
import { floatsAt } from './kernels.ts';
import {
  createMessage,
  encodeWords,
  floatsOf,
  HEADER_BYTES,
  type Message,
  NO_DIGEST,
  wordsOf,
} from './message.ts';
import type { Plan } from './plan.ts';
import { type Partial, type Scratch, sumSubtree, sumTree } from './reduce.ts';
import type { Wire } from './wire.ts';

export interface Reduction {
  readonly step: number;
  /** The sum over all shards; the receiver's own. */
  readonly sum: Promise<Float32Array>;
  /** Begins to contribute; the vectors must not change until `sum` is there. */
  start(vectors: ReadonlyMap<number, Float32Array>, digest: string): void;
  /** Takes a contribution, a result or a request for missing ones; early contributions are kept. */
  take(message: Message): void;
  /** Asks silent peers for what is missing. */
  askMissing(): void;
  fail(error: FleetError): void;
}

/** What is known of one other member in this step. */
interface Peer {
  readonly rank: number;
  /** Chunks of its slice that came back finished. */
  readonly results: boolean[];
  /** All chunks of its slice below this one are here. */
  resultsBefore: number;
  /** Chunks of its slice to which this member has contributed. */
  sent: number;
  /** Weight digest that its contributions carried. */
  digest: string | undefined;
  /** When something new came from it, or it was last asked. */
  heardAt: number;
  /** Quiet time before it is asked again; doubles up to ASK_MS_MAX while nothing comes. */
  patienceMs: number;
}

/** A chunk of this member's slice. */
interface OwnChunk {
  /** By position in the list of all other members' nodes. */
  readonly contributions: (Float32Array | undefined)[];
  missing: number;
  /** The finished chunk as published; kept to answer requests. */
  published: Uint8Array | undefined;
}

const ASK_MS_MAX = 500;
/** In a request word: a result is asked for; otherwise node index << 24 | chunk of a contribution. */
const RESULT_BIT = 0x8000_0000;

/** `scratch` may be shared by all reductions of a thread. */
export function createReduction(options: {
  plan: Plan;
  step: number;
  wire: Wire;
  scratch: Scratch;
}): Reduction {
  const { plan, step, wire, scratch } = options;
  const { rank } = wire;
  const done = createDeferred<Float32Array>();
  const ownNodes = plan.nodes[rank]!;
  const ownLayout = plan.chunks[rank]!;
  /** Nodes of the others, each with who contributes it. */
  const foreign = plan.nodes.flatMap((nodes, source) =>
    source === rank ? [] : nodes.map((node, index) => ({ source, index, node })),
  );
  const own: OwnChunk[] = ownLayout.map(() => ({
    contributions: new Array<Float32Array | undefined>(foreign.length).fill(undefined),
    missing: foreign.length,
    published: undefined,
  }));
  const peers: Peer[] = plan.chunks.map((chunks, peer) => ({
    rank: peer,
    results: new Array<boolean>(chunks.length).fill(false),
    resultsBefore: 0,
    sent: 0,
    digest: undefined,
    heardAt: wire.now(),
    patienceMs: wire.stallMs,
  }));
  /** Starts with the neighbour, so that not everybody talks to rank 0 first. */
  const others = Array.from({ length: wire.ranks - 1 }, (_, i) => peers[(rank + 1 + i) % wire.ranks]!);

  /** Between start and the sum. */
  let vectors: ReadonlyMap<number, Float32Array> | undefined;
  let digest = NO_DIGEST;
  let sum: Float32Array | undefined;
  let chunksOpen = plan.chunks.reduce((total, chunks) => total + chunks.length, 0);
  let publishedBefore = 0;

  function start(ownVectors: ReadonlyMap<number, Float32Array>, startDigest: string): void {
    assert(sum === undefined, `step ${step} is summed once`);
    digest = startDigest;
    vectors = ownVectors;
    sum = new Float32Array(plan.elements);
    for (const peer of others) {
      checkDigest(peer);
      peer.heardAt = wire.now();
    }
    for (let chunk = 0; chunk < plan.window; chunk++) {
      for (const peer of others) contributeUpTo(peer, chunk + 1);
    }
    for (let chunk = 0; chunk < own.length; chunk++) finishOwn(chunk);
    finishSum();
  }

  function contributeUpTo(peer: Peer, end: number): void {
    const chunks = plan.chunks[peer.rank]!;
    for (; peer.sent < Math.min(end, chunks.length); peer.sent++) {
      for (let index = 0; index < ownNodes.length; index++) contribute(peer, peer.sent, index);
    }
  }

  /** Adds up a chunk of an own node straight into the message; doing it again for a request gives the same bits. */
  function contribute(peer: Peer, chunk: number, index: number): void {
    const range = plan.chunks[peer.rank]![chunk]!;
    const { offset, count } = range;
    const node = ownNodes[index]!;
    const fields = { shardFirst: node.first, shardCount: node.size, chunk, offset, count, digest };
    const { payload } = createMessage(wire.header('contribution', step, fields), count * 4);
    const into = floatsAt(payload, HEADER_BYTES, count);
    sumSubtree({ vectors: vectors!, node, range, into, scratch });
    wire.sendTo(peer.rank, 'contribution', step, chunk, payload);
  }

  function takeContribution(message: Message): void {
    const { source, chunk } = message;
    const slot = foreign.findIndex(
      (other) =>
        other.source === source &&
        other.node.first === message.shardFirst &&
        other.node.size === message.shardCount,
    );
    const range = ownLayout[chunk];
    if (slot < 0 || range === undefined || range.offset !== message.offset || range.count !== message.count)
      throw new FleetError('invalidArgument', `${wire.nameOf(source)} contributed what no plan asks for`);
    const entry = own[chunk]!;
    if (entry.published !== undefined || entry.contributions[slot] !== undefined) {
      wire.stats.duplicates++;
      return;
    }
    entry.contributions[slot] = floatsOf(message);
    entry.missing--;
    const peer = peers[source]!;
    heard(peer);
    peer.digest = message.digest;
    if (vectors === undefined) return;
    checkDigest(peer);
    finishOwn(chunk);
    finishSum();
  }

  /** Publishes a chunk of this member's slice once everything for it is here. */
  function finishOwn(chunk: number): void {
    const entry = own[chunk]!;
    if (entry.missing > 0 || entry.published !== undefined) return;
    const { offset, count } = ownLayout[chunk]!;
    const partials: Partial[] = foreign.map(({ node }, i) => ({ node, values: entry.contributions[i]! }));
    for (const [first, vector] of vectors!)
      partials.push({ node: { first, size: 1 }, values: vector.subarray(offset, offset + count) });
    const header = wire.header('result', step, { chunk, offset, count, digest });
    const { payload } = createMessage(header, count * 4);
    const finished = floatsAt(payload, HEADER_BYTES, count);
    sumTree({ partials, shards: plan.shards, into: finished, scratch });
    entry.contributions.fill(undefined);
    entry.published = payload;
    wire.sendAll('result', step, chunk, payload);
    sum!.set(finished, offset);
    chunksOpen--;
    while (publishedBefore < own.length && own[publishedBefore]!.published !== undefined) publishedBefore++;
  }

  function takeResult(message: Message): void {
    const peer = peers[message.source]!;
    const range = plan.chunks[peer.rank]![message.chunk];
    if (range === undefined || range.offset !== message.offset || range.count !== message.count)
      throw new FleetError('invalidArgument', `${wire.nameOf(peer.rank)} published what no plan asks for`);
    if (sum === undefined) {
      // No result can exist without this member's contribution.
      wire.stats.refused++;
      return;
    }
    if (peer.results[message.chunk]) {
      wire.stats.duplicates++;
      return;
    }
    sum.set(floatsOf(message), range.offset);
    peer.results[message.chunk] = true;
    heard(peer);
    while (peer.results[peer.resultsBefore]) peer.resultsBefore++;
    contributeUpTo(peer, peer.resultsBefore + plan.window);
    chunksOpen--;
    finishSum();
  }

  function finishSum(): void {
    if (chunksOpen > 0 || sum === undefined) return;
    done.resolve(sum);
    // Everybody's contributions have arrived, or these chunks would not be finished: only own results may be asked for.
    vectors = undefined;
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

  function takeMissing(message: Message): void {
    const peer = peers[message.source]!;
    for (const word of wordsOf(message)) {
      if ((word & RESULT_BIT) !== 0) {
        const chunk = word & ~RESULT_BIT;
        const payload = own[chunk]?.published;
        if (payload === undefined) continue;
        wire.stats.resends++;
        wire.sendTo(peer.rank, 'result', step, chunk, payload);
      } else {
        const chunk = word & 0xff_ffff;
        const index = word >>> 24;
        if (vectors === undefined || index >= ownNodes.length || chunk >= peer.sent) continue;
        wire.stats.resends++;
        contribute(peer, chunk, index);
      }
    }
  }

  function askMissing(): void {
    if (sum === undefined || chunksOpen === 0) return;
    const now = wire.now();
    for (const peer of others) {
      if (now - peer.heardAt < peer.patienceMs) continue;
      const words = [...missingContributions(peer), ...missingResults(peer)];
      if (words.length === 0) continue;
      peer.heardAt = now;
      peer.patienceMs = Math.max(wire.stallMs, Math.min(ASK_MS_MAX, peer.patienceMs * 2));
      wire.stats.nacks++;
      wire.sendTo(peer.rank, 'missing', step, 0, encodeWords(wire.header('missing', step), words));
    }
  }

  /** Only what the peer's window lets it have sent, at most a window of chunks. */
  function missingContributions(peer: Peer): number[] {
    const words: number[] = [];
    const end = Math.min(own.length, publishedBefore + plan.window);
    for (let chunk = publishedBefore; chunk < end; chunk++) {
      foreign.forEach(({ source, index }, slot) => {
        const entry = own[chunk]!;
        if (source === peer.rank && entry.published === undefined && entry.contributions[slot] === undefined)
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
    peer.patienceMs = wire.stallMs;
  }

  return {
    step,
    sum: done.promise,
    start,
    take(message) {
      if (message.kind === 'contribution') takeContribution(message);
      else if (message.kind === 'result') takeResult(message);
      else takeMissing(message);
    },
    askMissing,
    fail: (error) => done.reject(error),
  };
}
