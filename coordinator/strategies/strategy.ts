// What a search strategy is: a state that is plain data, and pure functions of it. The caller numbers the
// trials, evaluates them and keeps the state; a strategy knows no clock, no worker and no journal, and its
// chance follows from the seed of its sweep.

import type { Costs } from '../../core/nn/space.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';

/** One kind of strategy; S is its state: plain JSON of bounded size. */
export interface Strategy<S> {
  /** The state of a sweep that begins. */
  begin(spec: SweepSpec): S;
  /** The next move, or why there is none. */
  ask(question: Question<S>): Answer<S>;
  /** The state once a trial has ended. */
  tell(state: S, result: Result): S;
  /** How many of its draws became candidates. */
  acceptance(state: S): Acceptance;
  /** Negative when `a` stands before `b` on the leaderboard; zero for the same trial alone. */
  compare(a: Standing, b: Standing): number;
}

/** What a strategy decides from. */
export interface Question<S> {
  readonly spec: SweepSpec;
  readonly state: S;
  /** The number of the trial that has the canonical genotype of this key, if there is one. */
  readonly known: (key: string) => number | undefined;
  /** Draws that this answer may take, at least 1: its cost is proportional to them. */
  readonly draws: number;
}

export type Answer<S> =
  /** A candidate that is new and within the constraints. */
  | {
      readonly kind: 'move';
      readonly state: S;
      readonly candidate: Candidate;
      readonly skipped: Skipped;
    }
  /** No candidate within the draws that were allowed: the caller asks again with the new state. */
  | {
      readonly kind: 'later';
      readonly state: S;
      readonly skipped: Skipped;
    }
  /** It is proven that no further candidate exists; `reason` is the proof. */
  | { readonly kind: 'exhausted'; readonly reason: string };

export interface Candidate {
  /** Of its canonical genotype: core/nn/genotype-code.ts. */
  readonly key: string;
  readonly costs: Costs;
}

/** How rare candidates are. */
export interface Acceptance {
  /** All draws of the sweep so far. */
  readonly draws: number;
  /** How many of them became candidates. */
  readonly accepted: number;
  /** The draws since the last candidate. */
  readonly skipped: Skipped;
}

/** The draws since the last candidate that became none. */
export interface Skipped {
  readonly count: number;
  /** Why the first of them was passed over; empty where there is none. */
  readonly firstReason: string;
}

/** How a trial ended. */
export type Result = { readonly trial: number; readonly costs: Costs } & (
  | { readonly kind: 'measured'; readonly objectives: Readonly<Record<string, number>> }
  | { readonly kind: 'failed' | 'cancelled'; readonly reason: string }
);

/** A trial as a leaderboard sees it. */
export interface Standing {
  /** By name; empty where there is no result. */
  readonly objectives: Readonly<Record<string, number>>;
  readonly costs: Pick<Costs, 'parameters'>;
  /** Its number in the sweep, from 1. */
  readonly number: number;
}
