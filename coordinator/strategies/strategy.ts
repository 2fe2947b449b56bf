// What a search strategy is: a state that is plain data, and pure functions of it. A strategy proposes raw
// candidates and learns from what became of its moves. It knows no clock, no worker and no journal, and its
// chance follows from the seed and the number of the proposal. Whether a candidate is new and within the
// constraints is none of its business.

import type { Fidelity } from './fidelity.ts';
import type { Genes } from './search-space.ts';

/** One kind of strategy; S is its state: plain JSON of bounded size. */
export interface Strategy<S> {
  /** Whether it depends on results. One that does not is never held back by them. */
  readonly learns: boolean;
  /** Whether it has trials go on after a result at a lower fidelity. */
  readonly promotes: boolean;
  /**
   * Whether every candidate of the space is worth a try: once its proposals bring nothing new, the candidates of
   * a small space are tried one by one.
   */
  readonly isWhole: boolean;
  /**
   * What a proposal costs with all that the strategy learns for it, in draws of random search: slices of proposals
   * are sized by it.
   */
  readonly drawCost: number;
  /** The state of a search that begins. */
  begin(): S;
  /**
   * The next proposal, a function of its arguments alone: the state changes once the move is made, so that a
   * proposal that is refused leaves nothing behind.
   */
  ask(state: S, turn: Turn): Proposal;
  /** The state once something has happened. */
  tell(state: S, news: News): S;
}

/** The state of a strategy that remembers nothing, because the number of a proposal decides it. */
export type NoState = Readonly<Record<string, never>>;

/** What strategies have in common that remember nothing. */
export const REMEMBERS_NOTHING = {
  ...{ learns: false, promotes: false, drawCost: 1 },
  begin: () => ({}),
  tell: (state) => state,
} satisfies Partial<Strategy<NoState>>;

/** What a proposal may depend on beside the state. */
export interface Turn {
  /** The number of the proposal from 0, refused ones included: chance is drawn by it. */
  readonly draw: number;
  /** Proposals that were refused since the last move. */
  readonly misses: number;
  /** Whether another trial may begin; false for a strategy that promotes alone. */
  readonly mayBegin: boolean;
}

/** What a strategy wants next; `reason` is a phrase for a person. */
export type Proposal =
  | {
      readonly kind: 'evaluate';
      readonly reason: string;
      readonly genes: Genes;
      /** Numbers of the trials that it descends from. */
      readonly parents: readonly number[];
      /** Absent: the full evaluation. */
      readonly fidelity?: Fidelity;
    }
  /** Another trial, whose candidate a search by gradient from this seed finds. */
  | { readonly kind: 'search'; readonly reason: string; readonly seed: number }
  /** The evaluation of a trial that has a result goes on to a higher fidelity. */
  | {
      readonly kind: 'promote';
      readonly reason: string;
      readonly trial: number;
      /** Absent: the full evaluation. */
      readonly fidelity?: Fidelity;
    }
  /** A trial that has a result gets no other. */
  | { readonly kind: 'stop'; readonly reason: string; readonly trial: number }
  /** Nothing before another result has come. */
  | { readonly kind: 'wait'; readonly reason: string }
  /** Nothing any more, whatever comes. */
  | { readonly kind: 'done'; readonly reason: string };

/**
 * What a strategy is told. Trials and moves are numbered from 1 within the search; trials of another sweep that it
 * begins with are below zero (coordinator/strategies/prior.ts), and their move is 0.
 */
export type News =
  /** A move was made. */
  | {
      readonly kind: 'moved';
      readonly move: number;
      readonly trial: number;
      readonly made: 'evaluate' | 'promote' | 'stop';
      /** Of the trial's candidate. */
      readonly key: string;
      readonly fidelity?: Fidelity;
    }
  /** How a move came out. */
  | (Result & { readonly trial: number });

/** How an evaluation or a promotion came out. */
export type Result = { readonly move: number } & (
  | {
      readonly kind: 'measured';
      /** In the order of the search's objectives, each so that more is better. */
      readonly scores: readonly number[];
    }
  | { readonly kind: 'failed' | 'cancelled'; readonly reason: string }
);
