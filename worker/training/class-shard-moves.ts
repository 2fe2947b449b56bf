// How class shards get from the members that have them to those that need them: after a change of the gang,
// and to rank 0 for a checkpoint. Decides the pieces in which a shard travels and when it has arrived.
//
// A shard is gathered like everything else of the head: the giver writes a piece of its rows, all others
// write zeros, and who needs it keeps the sum. All members take part in every move, in the same order,
// because that is what an exchange offers; moves are rare. A digest follows each vector, since a shard that
// arrives wrong would otherwise show only as a worse network.

import type { Member } from '../../core/allreduce/exchange.ts';
import { NO_DIGEST } from '../../core/allreduce/message.ts';
import { digest64 } from '../../core/digest.ts';
import { FleetError } from '../../core/errors.ts';
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
import type { Gather } from './gather.ts';
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

export interface ClassShardMoves {
  /** What all members hold, by rank. `replica`: committed steps of this member's backbone, -1 without one. */
  standings(replica: number): Promise<readonly Standing[]>;
  /**
   * Moves class shards, after which each member holds what it should at `step`; all members call it with the
   * same arguments.
   */
  moveShards(moves: readonly Move[], step: number): Promise<void>;
  /** The whole head, at rank 0 and undefined elsewhere; all members call it at the same step. */
  gatherHead(): Promise<WholeHead | undefined>;
}

/** Class shards move in pieces of so many values at most; as float32, 1 MiB. */
const PIECE_LENGTH_MAX = 2 ** 18;
/** A 64-bit digest travels as so many 16-bit numbers, each of which float32 holds exactly. */
const DIGEST_LENGTH = 4;

/**
 * Length of a piece, in values: room for the standings of all members, and for a whole shard if it is small.
 */
export function pieceLength(head: Head, members: number): number {
  const { classes, shards, embedding } = head;
  const largestShard = Math.ceil(classes / shards) * embedding * 2 + DIGEST_LENGTH;
  return Math.max(standingLength(shards) * members, Math.min(largestShard, PIECE_LENGTH_MAX));
}

export function createClassShardMoves(
  options: {
    readonly head: Head;
    readonly compute: Compute;
    readonly runId: string;
    readonly rank: number;
    readonly members: readonly Member[];
  },
  gather: Gather,
): ClassShardMoves {
  const { head, runId, rank, members } = options;
  const inventory = standingLength(head.shards);
  const length = pieceLength(head, members.length);

  /**
   * Sends one shard's rows from the member that has it to all; `into` takes them here, if they are needed.
   */
  async function move(shard: number, giver: number, into: Rows | undefined): Promise<void> {
    const size = rangeOf(head, shard).count * head.embedding;
    const given = giver === rank ? head.held.get(shard)! : undefined;
    await moveVector(size, given?.weights, into?.weights);
    await moveVector(size, given?.momentum, into?.momentum);
  }

  async function moveVector(size: number, given: Float32Array | undefined, into: Float32Array | undefined) {
    for (let at = 0; at < size; at += length) {
      const count = Math.min(length, size - at);
      const piece = await gather((own) => given && own.set(given.subarray(at, at + count)), NO_DIGEST);
      into?.set(piece.subarray(0, count), at);
    }
    const words = await gather((own) => given && own.set(digestNumbers(given)), NO_DIGEST);
    if (into === undefined) return;
    const expected = words.slice(0, DIGEST_LENGTH);
    if (digestNumbers(into).some((word, i) => word !== expected[i]))
      throw new FleetError('dataLoss', `a class shard of ${runId} arrived with a wrong digest`);
  }

  return {
    async standings(replica) {
      const own = {
        replica,
        step: head.step,
        pending: head.pendingRate !== undefined,
        shards: [...head.held.keys()],
      };
      const all = await gather(
        (vector) => encodeStanding(own, vector.subarray(rank * inventory, (rank + 1) * inventory)),
        NO_DIGEST,
      );
      return members.map((_, other) => decodeStanding(all.slice(other * inventory, (other + 1) * inventory)));
    },
    async moveShards(moves, step) {
      if (head.step + 1 === step && head.pendingRate !== undefined)
        await commitHead(head, (_shard, own, update) => options.compute.updateRows({ ...own, ...update }));
      // What is older was left behind by an earlier generation.
      if (head.step !== step) dropShards(head);
      for (const { shard, giver } of moves) {
        const isNeeded = head.wanted.includes(shard) && !head.held.has(shard);
        const taken = isNeeded ? emptyShard(head, shard) : undefined;
        await move(shard, giver, taken);
        if (taken) head.held.set(shard, taken);
      }
      head.step = step;
      dropShards(head, head.wanted);
    },
    async gatherHead() {
      const size = head.classes * head.embedding;
      const whole = { weights: new Float32Array(size), momentum: new Float32Array(size) };
      const atRank0 = heldShards(members, 0);
      for (const [giver, member] of members.entries())
        for (const shard of shardsOf(member)) {
          const range = rangeOf(head, shard);
          const known = head.held.get(shard);
          const rows = known ?? rowsOf(range.count * head.embedding);
          if (!atRank0.includes(shard))
            await move(shard, giver, known === undefined && rank === 0 ? rows : undefined);
          if (rank === 0) placeRows(head, whole, { ...rows, range });
        }
      return rank === 0 ? whole : undefined;
    },
  };
}

type Rows = Pick<ClassShard, 'weights' | 'momentum'>;

const rowsOf = (size: number): Rows => ({
  weights: new Float32Array(size),
  momentum: new Float32Array(size),
});

function digestNumbers(values: Float32Array): number[] {
  const digest = digest64(values);
  return [0, 4, 8, 12].map((at) => Number.parseInt(digest.slice(at, at + 4), 16));
}
