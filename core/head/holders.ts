// Which member holds which class shards, and how they get there when the gang changes. A class shard is
// computed with by the member that has the logical shard of the same number, and kept up to date by one more
// member, so that no single death loses any. Everything here is pure: all members derive the same moves from
// the same standings.
//
// The second holder is the member before the owner in the order of ranks. With n members every member then
// holds two parts of n, the least with which one death is survived; a death of two neighbours at once loses
// the part of the second one.

import type { Member } from '../allreduce/plan.ts';

/** What a member has when a generation begins. */
export interface Standing {
  /** Committed steps of its replica of the backbone; -1 without one. */
  readonly replica: number;
  /** Committed steps of its class shards; -1 without any. */
  readonly step: number;
  /**
   * Whether the next step's update of them is computed, so that it can be applied once that step is known to
   * be committed.
   */
  readonly pending: boolean;
  readonly shards: readonly number[];
}

export interface Move {
  readonly shard: number;
  /** Rank of the member that gives it to all that need it. */
  readonly giver: number;
}

/** Shards of a member: its own, and those of the next member in reserve. */
export function heldShards(members: readonly Member[], rank: number): number[] {
  const own = shardsOf(members[rank]!);
  return members.length === 1 ? own : [...own, ...shardsOf(members[(rank + 1) % members.length]!)];
}

export function shardsOf({ shardFirst, shardCount }: Member): number[] {
  return Array.from({ length: shardCount }, (_, i) => shardFirst + i);
}

/**
 * Whether a member has a shard as it is after `step` steps, or can bring it there by applying a pending
 * update.
 */
export function canGive({ step: own, pending, shards }: Standing, shard: number, step: number): boolean {
  return shards.includes(shard) && (own === step || (pending && own + 1 === step));
}

/** What has to move so that all can go on at `step`. `lost`: shards that no member has at that step. */
export function planMoves(options: {
  readonly members: readonly Member[];
  readonly standings: readonly Standing[];
  readonly shards: number;
  readonly step: number;
}): { readonly moves: readonly Move[]; readonly lost: readonly number[] } {
  const { members, standings, shards, step } = options;
  const moves: Move[] = [];
  const lost: number[] = [];
  for (let shard = 0; shard < shards; shard++) {
    const has = (rank: number) => canGive(standings[rank]!, shard, step);
    const giver = members.findIndex((_, rank) => has(rank));
    if (giver < 0) lost.push(shard);
    else if (members.some((_, rank) => heldShards(members, rank).includes(shard) && !has(rank)))
      moves.push({ shard, giver });
  }
  return { moves, lost };
}

/** Number of values of a standing on the wire, for V shards. */
export const standingLength = (shards: number): number => FLAGS_AT + shards;

const HALF = 2 ** 16;
const FLAGS_AT = 5;

/**
 * Writes a standing as numbers that float32 holds exactly: steps in two halves of 16 bits, raised by one so
 * that -1 is 0.
 */
export function encodeStanding({ replica, step, pending, shards }: Standing, into: Float32Array): void {
  into.set([...halves(replica + 1), ...halves(step + 1), pending ? 1 : 0]);
  for (const shard of shards) into[FLAGS_AT + shard] = 1;
}

const halves = (count: number): number[] => [Math.floor(count / HALF), count % HALF];

export function decodeStanding(from: Float32Array): Standing {
  const [replicaHigh = 0, replicaLow = 0, high = 0, low = 0, pending = 0, ...flags] = from;
  return {
    replica: replicaHigh * HALF + replicaLow - 1,
    step: high * HALF + low - 1,
    pending: pending === 1,
    shards: flags.flatMap((flag, shard) => (flag === 1 ? [shard] : [])),
  };
}
