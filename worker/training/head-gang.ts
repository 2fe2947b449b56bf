// What the members of a generation exchange for a class-sharded head beside the backbone's gradients: embeddings and labels, statistics,
// gradients of the embeddings, and class shards that move. Decides which exchange carries what and when class shards have arrived.
//
// There is an exchange for each of the four, because each has vectors of another length. Three of them gather: each member writes its own
// part of a vector and leaves zeros elsewhere, so that the sum is the concatenation of all parts. x + 0 is x in float32 for every x but
// -0, which becomes 0 (core/head/rows.ts keeps it away), hence the order of those sums does not matter. Only the gradients of the
// embeddings are real sums, over the V shards in the canonical tree.

import type { Exchange, ExchangeStats, Member, Suspect } from '../../core/allreduce/exchange.ts';
import { NO_DIGEST } from '../../core/allreduce/message.ts';
import type { DataPlane } from '../../core/allreduce/plane.ts';
import { digest64 } from '../../core/digest.ts';
import { FleetError } from '../../core/errors.ts';
import { STATISTICS } from '../../core/head/classes.ts';
import {
  decodeStanding,
  encodeStanding,
  heldShards,
  type Move,
  type Standing,
  shardsOf,
  standingLength,
} from '../../core/head/holders.ts';
import type { Compute } from '../compute/client.ts';
import {
  type ClassShard,
  commitHead,
  dropShards,
  emptyShard,
  type Head,
  placeRows,
  rangeOf,
  type WholeHead,
} from './head.ts';

export interface HeadGang {
  /** [B E] unit embeddings, then [B] labels; valid until the next call. `fill` writes the part of the own shards. */
  gatherEmbeddings(fill: (own: Float32Array) => void, digest: string): Promise<Float32Array>;
  /** [V, 3 B]; valid until the next call. `fill` writes the part of the own class shards. */
  gatherStatistics(fill: (own: Float32Array) => void, digest: string): Promise<Float32Array>;
  /** Memory for the gradient of the embeddings that comes from a class shard, [B E]. */
  slopesVector(shard: number): Float32Array;
  /** The sum of those over all class shards, [B E], in the canonical tree. */
  sumSlopes(digest: string): Promise<Float32Array>;
  /** What all members hold, by rank. `replica`: committed steps of this member's backbone, -1 without one. */
  standings(replica: number): Promise<readonly Standing[]>;
  /** Moves class shards, after which each member holds what it should at `step`; all members call it with the same arguments. */
  moveShards(moves: readonly Move[], step: number): Promise<void>;
  /** The whole head, at rank 0 and undefined elsewhere; all members call it at the same step. */
  gatherHead(): Promise<WholeHead | undefined>;
  /** Counters of each of the exchanges. */
  stats(): readonly Readonly<ExchangeStats>[];
  leave(): void;
}

/** Class shards move in pieces of so many values at most; as float32, 1 MiB. */
const PIECE_ELEMENTS_MAX = 2 ** 18;
/** A 64-bit digest travels as so many 16-bit numbers, each of which float32 holds exactly. */
const DIGEST_ELEMENTS = 4;

export const headExchangeNames = (runId: string): string[] =>
  ['embeddings', 'statistics', 'slopes', 'classes'].map((name) => `${runId}-head-${name}`);

export async function joinHeadGang(options: {
  readonly head: Head;
  readonly compute: Compute;
  readonly plane: DataPlane;
  readonly runId: string;
  readonly generation: number;
  readonly rank: number;
  readonly members: readonly Member[];
  /** Members that hold up one of the exchanges. */
  readonly onSuspects: (exchange: string, suspects: readonly Suspect[]) => void;
  readonly signal: AbortSignal;
}): Promise<HeadGang> {
  const { head, plane, rank, members, generation, signal } = options;
  const { shards, batch, embedding, classes } = head;
  head.wanted = heldShards(members, rank);
  const inventory = standingLength(shards);
  const largest = Math.ceil(classes / shards) * embedding * 2 + DIGEST_ELEMENTS;
  const pieceElements = Math.max(inventory * members.length, Math.min(largest, PIECE_ELEMENTS_MAX));
  const names = headExchangeNames(options.runId);
  const open = (
    name: string,
    elements: number,
    own: Pick<Parameters<DataPlane['createExchange']>[0], 'members' | 'shards'>,
  ) =>
    plane.createExchange({
      runId: name,
      generation,
      rank,
      elements,
      ...own,
      // All members begin at round 0 in each generation, so none is ever behind and needs a state.
      provideState: () => {
        throw new Error('assertion: an exchange of the head has no state');
      },
      onSuspects: (suspects) => options.onSuspects(name, suspects),
      signal,
    });
  const gatherers = {
    members: members.map(({ workerId }, place) => ({ workerId, shardFirst: place, shardCount: 1 })),
    shards: members.length,
  };
  const embeddings = gather(open(names[0]!, batch * (embedding + 1), gatherers), rank);
  const statistics = gather(open(names[1]!, shards * STATISTICS * batch, gatherers), rank);
  const slopes = open(names[2]!, batch * embedding, { members, shards });
  const pieces = gather(open(names[3]!, pieceElements, gatherers), rank);
  const exchanges = [embeddings.exchange, statistics.exchange, slopes, pieces.exchange];
  const leave = () => {
    for (const exchange of exchanges) exchange.close();
  };
  const ownShards = shardsOf(members[rank]!);
  let slopesRound = 0;

  /** Sends one shard's rows from the member that has it to all; `into` takes them here, if they are needed. */
  async function move(shard: number, giver: number, into: Rows | undefined): Promise<void> {
    const length = rangeOf(head, shard).count * embedding;
    const given = giver === rank ? head.held.get(shard)! : undefined;
    await moveVector(length, given?.weights, into?.weights);
    await moveVector(length, given?.momentum, into?.momentum);
  }

  async function moveVector(length: number, given: Float32Array | undefined, into: Float32Array | undefined) {
    for (let at = 0; at < length; at += pieceElements) {
      const count = Math.min(pieceElements, length - at);
      const piece = await pieces.round((own) => given && own.set(given.subarray(at, at + count)), NO_DIGEST);
      into?.set(piece.subarray(0, count), at);
    }
    const words = await pieces.round((own) => given && own.set(digestNumbers(given)), NO_DIGEST);
    if (into === undefined) return;
    const expected = words.slice(0, DIGEST_ELEMENTS);
    if (digestNumbers(into).some((word, i) => word !== expected[i]))
      throw new FleetError('dataLoss', `a class shard of ${options.runId} arrived with a wrong digest`);
  }

  try {
    await Promise.all(exchanges.map((exchange) => exchange.sync({ step: 0, digest: NO_DIGEST })));
  } catch (caught) {
    leave();
    throw caught;
  }
  return {
    gatherEmbeddings: embeddings.round,
    gatherStatistics: statistics.round,
    slopesVector: (shard) => slopes.vector(shard),
    sumSlopes: (digest) => {
      const vectors = new Map(ownShards.map((shard) => [shard, slopes.vector(shard)]));
      return slopes.reduce(slopesRound++, vectors, { digest });
    },
    async standings(replica) {
      const own = {
        replica,
        step: head.step,
        pending: head.pendingRate !== undefined,
        shards: [...head.held.keys()],
      };
      const all = await pieces.round(
        (vector) => encodeStanding(own, vector.subarray(rank * inventory, (rank + 1) * inventory)),
        NO_DIGEST,
      );
      return members.map((_, other) => decodeStanding(all.slice(other * inventory, (other + 1) * inventory)));
    },
    async moveShards(moves, step) {
      if (head.step + 1 === step && head.pendingRate !== undefined) await commitHead(head, options.compute);
      // What is older was left behind by an earlier generation.
      if (head.step !== step) dropShards(head);
      for (const { shard, giver } of moves) {
        const taken =
          head.wanted.includes(shard) && !head.held.has(shard) ? emptyShard(head, shard) : undefined;
        await move(shard, giver, taken);
        if (taken) head.held.set(shard, taken);
      }
      head.step = step;
      dropShards(head, head.wanted);
    },
    async gatherHead() {
      const length = classes * embedding;
      const whole = { weights: new Float32Array(length), momentum: new Float32Array(length) };
      const atHand = heldShards(members, 0);
      for (const [giver, member] of members.entries())
        for (const shard of shardsOf(member)) {
          const range = rangeOf(head, shard);
          const known = head.held.get(shard);
          const rows = known ?? rowsOf(range.count * embedding);
          if (!atHand.includes(shard))
            await move(shard, giver, known === undefined && rank === 0 ? rows : undefined);
          if (rank === 0) placeRows(head, whole, { ...rows, range });
        }
      return rank === 0 ? whole : undefined;
    },
    stats: () => exchanges.map((exchange) => exchange.stats()),
    leave,
  };
}

type Rows = Pick<ClassShard, 'weights' | 'momentum'>;

const rowsOf = (length: number): Rows => ({
  weights: new Float32Array(length),
  momentum: new Float32Array(length),
});

/** An exchange in which each member has one vector, of which it writes its own part. */
function gather(exchange: Exchange, rank: number) {
  let next = 0;
  return {
    exchange,
    async round(fill: (own: Float32Array) => void, digest: string): Promise<Float32Array> {
      const own = exchange.vector(rank);
      own.fill(0);
      fill(own);
      return exchange.reduce(next++, new Map([[rank, own]]), { digest });
    },
  };
}

function digestNumbers(values: Float32Array): number[] {
  const digest = digest64(values);
  return [0, 4, 8, 12].map((at) => Number.parseInt(digest.slice(at, at + 4), 16));
}
