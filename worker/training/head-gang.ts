// What the members of a generation exchange for a class-sharded head beside the backbone's gradients:
// embeddings and labels, statistics, gradients of the embeddings, and class shards that move. Decides which
// exchange carries what.
//
// There is an exchange for each of the four, because each has vectors of another length. Three of them gather
// (gather.ts). Only the gradients of the embeddings are real sums, over the V shards in the canonical tree.

import type { Exchange, ExchangeStats, Member, Suspect } from '../../core/allreduce/exchange.ts';
import { NO_DIGEST } from '../../core/allreduce/message.ts';
import type { DataPlane } from '../../core/allreduce/plane.ts';
import { STATISTICS } from '../../core/head/classes.ts';
import { heldShards, shardsOf } from '../../core/head/holders.ts';
import type { Compute } from '../compute/client.ts';
import { type ClassShardMoves, createClassShardMoves, pieceLength } from './class-shard-moves.ts';
import { createGather } from './gather.ts';
import type { Head } from './head.ts';

export interface HeadGang extends ClassShardMoves {
  /**
   * [B E] unit embeddings, then [B] labels; valid until the next call. `fill` writes the part of the own
   * shards.
   */
  gatherEmbeddings(fill: (own: Float32Array) => void, digest: string): Promise<Float32Array>;
  /** [V, 3 B]; valid until the next call. `fill` writes the part of the own class shards. */
  gatherStatistics(fill: (own: Float32Array) => void, digest: string): Promise<Float32Array>;
  /** Memory for the gradient of the embeddings that comes from a class shard, [B E]. */
  slopesVector(shard: number): Float32Array;
  /** The sum of those over all class shards, [B E], in the canonical tree. */
  sumSlopes(digest: string): Promise<Float32Array>;
  /** Counters of each of the exchanges. */
  stats(): readonly Readonly<ExchangeStats>[];
  leave(): void;
}

const EXCHANGES = ['embeddings', 'statistics', 'slopes', 'classes'] as const;

const exchangeName = (runId: string, name: (typeof EXCHANGES)[number]): string => `${runId}-head-${name}`;

export const headExchangeNames = (runId: string): string[] =>
  EXCHANGES.map((name) => exchangeName(runId, name));

export interface HeadGangOptions {
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
}

export async function joinHeadGang(options: HeadGangOptions): Promise<HeadGang> {
  const { head, rank, members } = options;
  const { shards, batch, embedding } = head;
  head.wanted = heldShards(members, rank);
  /** In a gather every member has one vector, whatever its shards. */
  const gatherers = {
    members: members.map(({ workerId }, place) => ({ workerId, shardFirst: place, shardCount: 1 })),
    shards: members.length,
  };
  const embeddings = openExchange(options, 'embeddings', batch * (embedding + 1), gatherers);
  const statistics = openExchange(options, 'statistics', shards * STATISTICS * batch, gatherers);
  const slopes = openExchange(options, 'slopes', batch * embedding, { members, shards });
  const classes = openExchange(options, 'classes', pieceLength(head, members.length), gatherers);
  const exchanges = [embeddings, statistics, slopes, classes];
  const leave = () => {
    for (const exchange of exchanges) exchange.close();
  };
  try {
    await Promise.all(exchanges.map((exchange) => exchange.sync({ step: 0, digest: NO_DIGEST })));
  } catch (caught) {
    leave();
    throw caught;
  }
  const ownShards = shardsOf(members[rank]!);
  let slopesRound = 0;
  return {
    ...createClassShardMoves(options, createGather(classes, rank)),
    gatherEmbeddings: createGather(embeddings, rank),
    gatherStatistics: createGather(statistics, rank),
    slopesVector: (shard) => slopes.vector(shard),
    sumSlopes: (digest) => {
      const vectors = new Map(ownShards.map((shard) => [shard, slopes.vector(shard)]));
      return slopes.reduce(slopesRound++, vectors, { digest });
    },
    stats: () => exchanges.map((exchange) => exchange.stats()),
    leave,
  };
}

function openExchange(
  { plane, runId, generation, rank, onSuspects, signal }: HeadGangOptions,
  kind: (typeof EXCHANGES)[number],
  elements: number,
  own: { readonly members: readonly Member[]; readonly shards: number },
): Exchange {
  const name = exchangeName(runId, kind);
  return plane.createExchange({
    runId: name,
    generation,
    rank,
    elements,
    ...own,
    // All members begin at round 0 in each generation, so none is ever behind and needs a state.
    provideState: () => {
      throw new Error('assertion: an exchange of the head has no state');
    },
    onSuspects: (suspects) => onSuspects(name, suspects),
    signal,
  });
}
