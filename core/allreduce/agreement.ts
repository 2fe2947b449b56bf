// What follows from where the members of a generation stand. Pure: the step at which all go on, who gives the
// state of that step, who gives what compression left of a shard, and what a hello is answered with.
//
// The rule: all go on at T, the largest step that any member has. A member at T has the sum of every step
// before T, so its state is the one that the members behind would compute; T is therefore right whoever is
// lost. Members at the same step must have the same weights; if two differ, no choice is right and the run
// stops.
//
// Rounds number the calls of `sync` of one member in one generation. When nobody has a state (T = -1), every
// member loads the same one from storage and calls again, so round r + 1 exists only after a round r that
// ended with -1. A member that sees a hello of a later round than its own has therefore missed the end of its
// round, and knows how that round ended.

import { FleetError } from '../errors.ts';
import type { Residual } from './residuals.ts';

/** Where one member stands. */
export interface Standing {
  /** Counts its calls of sync in this generation, from 1. */
  readonly round: number;
  /** The step that it would sum next; -1: without state. */
  readonly step: number;
  /** What its replica is compared by (`comparedDigest`), 16 hex digits. */
  readonly digest: string;
  /** The residuals of shards that it can give. */
  readonly inventory: readonly Omit<Residual, 'values'>[];
}

/** By rank. */
export type Standings = ReadonlyMap<number, Standing>;

export type Agreement =
  /** Some member has not been heard in this round. */
  | { readonly kind: 'incomplete' }
  /** Another member is a round further: this round ended without a state at any member. */
  | { readonly kind: 'overtaken' }
  | { readonly kind: 'differ'; readonly first: number; readonly second: number }
  /** -1: nobody has a state. */
  | { readonly kind: 'agreed'; readonly step: number };

/** `others`: the last standing that was heard of each other member; `ranks`: members in all. */
export function agreementOf(
  own: { readonly rank: number; readonly standing: Standing },
  others: Standings,
  ranks: number,
): Agreement {
  const { round } = own.standing;
  if (others.size < ranks - 1) return { kind: 'incomplete' };
  const heard = [...others.values()];
  if (heard.some((other) => other.round < round)) return { kind: 'incomplete' };
  if (heard.some((other) => other.round > round)) return { kind: 'overtaken' };
  const all = byRank([...others, [own.rank, own.standing]]);
  for (const [first, { step, digest }] of all) {
    const second = all.find(
      ([, other]) => other.step === step && other.step >= 0 && other.digest !== digest,
    )?.[0];
    if (second !== undefined) return { kind: 'differ', first, second };
  }
  return { kind: 'agreed', step: Math.max(...all.map(([, { step }]) => step)) };
}

/** The lowest rank at `step`, so that all who are behind ask the same member; throws when there is none. */
export function giverOfState(others: Standings, step: number): readonly [number, Standing] {
  const giver = byRank([...others]).find(([, other]) => other.step === step);
  if (giver === undefined) throw new FleetError('internal', `no other member stands at step ${step}`);
  return giver;
}

/** Where what compression left of a shard comes from: a rank, this member itself, or nobody. */
export function sourceOfResidual(
  wanted: { readonly shard: number; readonly step: number },
  own: readonly Omit<Residual, 'values'>[],
  others: Standings,
): number | 'own' | 'nobody' {
  const matches = (item: Omit<Residual, 'values'>): boolean =>
    item.shard === wanted.shard && item.step === wanted.step;
  if (own.some(matches)) return 'own';
  return [...others].find(([, { inventory }]) => inventory.some(matches))?.[0] ?? 'nobody';
}

/** Members whose standing in `round`, or in a later one, is known. */
export const heardIn = (others: Standings, round: number): number[] =>
  [...others].filter(([, other]) => other.round >= round).map(([rank]) => rank);

/** What goes back to the sender of a hello. */
export interface HelloAnswer {
  /**
   * This member is there and has not come so far: its own hello of that round follows once it has a state.
   */
  readonly here: boolean;
  /** This member's own hello, because the sender has not heard it. */
  readonly hello: boolean;
}

export function answerToHello(
  own: { readonly rank: number; readonly round: number } | undefined,
  hello: { readonly round: number; readonly heard: readonly number[] },
): HelloAnswer {
  if (own === undefined || hello.round > own.round) return { here: true, hello: false };
  // Also long after this member's own sync has ended: a hello of it that was lost is found in no other way.
  return { here: false, hello: !hello.heard.includes(own.rank) };
}

/** The data of a hello: how many members were heard, their ranks, then the sender's inventory. */
export function wordsOfHello(heard: readonly number[], inventory: readonly number[]): number[] {
  return [heard.length, ...heard, ...inventory];
}

export function partsOfHello(words: readonly number[]): {
  readonly heard: readonly number[];
  /** Words of the inventory. */
  readonly inventory: readonly number[];
} {
  const [count = 0, ...rest] = words;
  return { heard: rest.slice(0, count), inventory: rest.slice(count) };
}

const HELLO_MS_MIN = 50;
const HELLO_MS_MAX = 500;

/**
 * Time to the next repetition of a hello, milliseconds of listening; `lastMs`: the time to the last one,
 * undefined at first.
 */
export const helloPauseMs = (lastMs: number | undefined): number =>
  lastMs === undefined ? HELLO_MS_MIN : Math.min(HELLO_MS_MAX, lastMs * 2);

const byRank = (standings: readonly (readonly [number, Standing])[]) =>
  [...standings].sort(([a], [b]) => a - b);
