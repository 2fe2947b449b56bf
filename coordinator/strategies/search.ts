// A search: the one way from a strategy's raw proposals to moves. A proposal that is a twin of an earlier
// candidate or breaks a constraint is refused at no cost, and the strategy is asked again. Once that brings
// nothing new, a space that is small within its constraints is walked, each candidate once and in a random
// order; at the end of the walk the search is over. A large space is searched for as long as the caller wants.
//
// Moves are numbered, and move k sees the results of moves up to k - lag, in the order of moves. So a search
// makes the same moves whoever evaluates them and in any order of finishing; a result that comes early is kept
// until its turn, and one that is late holds the search back. `as-finished` gives this up: a result is told as
// soon as it is there.
//
// The state is a fold over the moves that were made and their results. `ask` only looks ahead.

import type { Costs } from '../../core/nn/space.ts';
import { permutationAt } from '../../core/rng.ts';
import type { Fidelity } from './fidelity.ts';
import { type Prior, priorNumber } from './prior.ts';
import type { Genes, ListedSpace, SearchSpace } from './search-space.ts';
import type { News, Result, Strategy } from './strategy.ts';

/** Proposals that were refused in a row after which a small space is walked. */
const MISSES_MAX = 500;

/** What a search has done: plain JSON. */
export interface SearchState<S> {
  /** What the strategy remembers. */
  readonly strategy: S;
  readonly cursor: Cursor;
  /** Moves that were made. */
  readonly moves: number;
  /** Trials among them. */
  readonly trials: number;
  /** Move k sees the results of moves up to k - lag; at least 1. */
  readonly lag: number;
  /** Those that the strategy has not been told yet, and the trials they belong to. */
  readonly early: readonly (Result & { readonly trial: number })[];
  /** Moves that have no result yet, ascending; empty for a strategy that learns nothing. */
  readonly open: readonly { readonly move: number; readonly trial: number }[];
}

/** How far a search has looked. */
export interface Cursor {
  /** Proposals of the strategy so far, refused ones included; the number of the next. */
  readonly draws: number;
  /** Candidates of a small space that were walked over; absent before the walk. */
  readonly walked?: number;
  /** The move sees the results of moves up to this one, where they are more than its lag shows it. */
  readonly seen?: number;
  /** What was refused since the last move. */
  readonly skipped: Skipped;
}

/** Proposals in a row that became no move. */
export interface Skipped {
  readonly count: number;
  /** Why the first of them was refused; empty where there is none. */
  readonly firstReason: string;
}

/** Nothing was refused since the last move. */
export const NONE_SKIPPED: Skipped = { count: 0, firstReason: '' };

/** What a search is made of. */
export interface SearchSetting<S> {
  readonly strategy: Strategy<S>;
  readonly space: SearchSpace;
  readonly seed: number;
  readonly order: 'by-move' | 'as-finished';
}

/** With what was told of some early results last, from which state and up to which move. */
interface Kept<S> extends SearchSetting<S> {
  readonly told: WeakMap<object, { readonly before: S; readonly last: number; readonly after: S }>;
}

/** What an answer follows from, beside the state. */
export interface Question {
  /**
   * The number of the trial that has the candidate with this key, if there is one; below zero the group of screening
   * that it belongs to.
   */
  readonly known: (key: string) => number | undefined;
  /** The key of the candidate of a trial. */
  readonly keyOf: (trial: number) => string;
  /** Proposals that may be looked at, at least 1: the answer's cost is proportional to them. */
  readonly draws: number;
  /** Whether another trial may begin; without it only those that exist may go on. */
  readonly mayBegin: boolean;
}

/** A move that is to be made. */
export type Move = { readonly reason: string; readonly trial: number; readonly key: string } & (
  | {
      readonly kind: 'evaluate';
      readonly costs: Costs;
      readonly parents: readonly number[];
      readonly fidelity?: Fidelity;
    }
  /** The candidate is found by a search from this seed; its key is empty until then. */
  | { readonly kind: 'search'; readonly seed: number }
  | { readonly kind: 'promote'; readonly fidelity?: Fidelity }
  | { readonly kind: 'stop' }
);

export type Answer =
  /** `cursor`: how far the search has looked once the move is made; `skipped`: what it passed over for it. */
  | { readonly kind: 'move'; readonly move: Move; readonly cursor: Cursor; readonly skipped: Skipped }
  /** No move among the proposals that were allowed: the caller asks again with the new cursor. */
  | { readonly kind: 'later'; readonly cursor: Cursor; readonly skipped: Skipped }
  /** No move before another result; `trial`: the one that holds the search back, where it is one. */
  | { readonly kind: 'wait'; readonly reason: string; readonly trial?: number }
  /** No move ever; the reason is the proof. */
  | { readonly kind: 'done'; readonly reason: string };

/** What a strategy wants beside candidates of its own. */
export type Wanted =
  | Extract<Answer, { kind: 'wait' | 'done' }>
  /** A promotion or the end of a trial. */
  | Extract<Answer, { kind: 'move' }>
  /** Another trial, with this fidelity. */
  | {
      readonly kind: 'begin';
      readonly reason: string;
      readonly fidelity?: Fidelity;
      readonly cursor: Cursor;
    };

/** A move without a result that the next move has to see. */
export interface HeldBack {
  readonly move: number;
  readonly trial: number;
  /** The number of the move that waits. */
  readonly next: number;
  /** The last move whose result it sees. */
  readonly sees: number;
  /** Results that came before their turn. */
  readonly results: number;
}

/** The pure functions of one search. */
export interface Search<S> {
  /** Whether trials may go on after all have begun. */
  readonly promotes: boolean;
  /** What a proposal costs, in draws of random search. */
  readonly drawCost: number;
  /** `prior`: results of another sweep, which are told before the first move. */
  begin(lag: number, prior?: readonly Prior[]): SearchState<S>;
  /** What the next move waits for; undefined while it may be made. */
  heldBack(state: SearchState<S>): HeldBack | undefined;
  ask(state: SearchState<S>, question: Question): Answer;
  /** What the strategy wants, where a candidate that was chosen already begins in the place of one that it draws. */
  wants(state: SearchState<S>, question: Pick<Question, 'keyOf'>): Wanted;
  /** The state once a move is made. */
  made(state: SearchState<S>, made: Made): SearchState<S>;
  /** The state once a move has come out; a result of a move that has one changes nothing. */
  ended(state: SearchState<S>, result: Result): SearchState<S>;
}

/** A move as it is journalled. */
export interface Made {
  readonly kind: Move['kind'];
  readonly trial: number;
  readonly key: string;
  readonly fidelity?: Fidelity;
  readonly cursor: Omit<Cursor, 'skipped'>;
}

/** The search of a strategy over a space. */
export function createSearch<S>(given: SearchSetting<S>): Search<S> {
  const { strategy } = given;
  const setting: Kept<S> = { ...given, told: new WeakMap() };
  return {
    promotes: strategy.promotes,
    drawCost: strategy.drawCost,
    begin: (lag, prior = []) => ({
      ...{ strategy: begunWith(strategy, prior), cursor: { draws: 0, skipped: NONE_SKIPPED } },
      ...{ moves: 0, trials: 0, lag, early: [], open: [] },
    }),
    heldBack: (state) => (isInOrder(setting) ? heldBackAt(state, state.moves + 1 - state.lag) : undefined),
    ask: (state, question) => ask(setting, state, question),
    wants: (state, question) => wants(setting, state, question),
    made: (state, move) => made(setting, state, move),
    ended: (state, result) => ended(setting, state, result),
  };
}

function begunWith<S>(strategy: Strategy<S>, prior: readonly Prior[]): S {
  return prior.reduce((state, { trial: number, key, scores }) => {
    const about = { move: 0, trial: priorNumber(number) };
    const begun = strategy.tell(state, { kind: 'moved', ...about, made: 'evaluate', key });
    return strategy.tell(begun, { kind: 'measured', ...about, scores });
  }, strategy.begin());
}

function ask<S>(setting: Kept<S>, before: SearchState<S>, question: Question): Answer {
  const { strategy } = setting;
  if (!question.mayBegin && !strategy.promotes)
    return { kind: 'done', reason: 'all trials that were asked for are begun' };
  return inOrder(setting, before, (state) => lookedOn(setting, state, question));
}

/** The answer of a state that has been told as much as the next move sees. */
function inOrder<S, A extends Answer | Wanted>(
  setting: Kept<S>,
  before: SearchState<S>,
  answerOf: (state: SearchState<S>) => A,
): A | Extract<Answer, { kind: 'wait' }> {
  if (!isInOrder(setting)) return answerOf(before);
  const next = before.moves + 1;
  let seen = next - before.lag;
  /** What the strategy waits for with the results so far. */
  let wait: string | undefined;
  for (;;) {
    const late = heldBackAt(before, seen);
    if (late !== undefined)
      return {
        kind: 'wait',
        trial: late.trial,
        reason:
          wait === undefined
            ? `move ${next} waits for the result of trial ${late.trial} (move ${late.move}), because it sees the results of moves up to ${seen}`
            : `${wait}; the next result in order is that of trial ${late.trial} (move ${late.move})`,
      };
    const answer = answerOf(caughtUp(setting, before, seen));
    if ((answer.kind === 'move' || answer.kind === 'begin') && seen > next - before.lag)
      return { ...answer, cursor: { ...answer.cursor, seen } };
    // A strategy that waits is told one more result after the other, still in order, or it would wait for ever.
    if (answer.kind !== 'wait' || seen >= before.moves) return answer;
    wait = answer.reason;
    seen = Math.max(seen, 0) + 1;
  }
}

function wants<S>(setting: Kept<S>, before: SearchState<S>, { keyOf }: Pick<Question, 'keyOf'>): Wanted {
  return inOrder(setting, before, ({ strategy, cursor }): Wanted => {
    const proposal = setting.strategy.ask(strategy, { draw: cursor.draws, misses: 0, mayBegin: true });
    if (proposal.kind === 'wait' || proposal.kind === 'done') return proposal;
    if (proposal.kind === 'evaluate') {
      const { reason, fidelity } = proposal;
      return { kind: 'begin', reason, cursor, ...(fidelity === undefined ? {} : { fidelity }) };
    }
    if (proposal.kind === 'search') throw new Error('assertion: a search is asked for where trials go on');
    const move = { ...proposal, key: keyOf(proposal.trial) };
    const after = { ...cursor, draws: cursor.draws + 1, skipped: NONE_SKIPPED };
    return { kind: 'move', move, cursor: after, skipped: cursor.skipped };
  });
}

/** The first move without a result among those up to `sees`. */
function heldBackAt(state: SearchState<unknown>, sees: number): HeldBack | undefined {
  const [late] = state.open;
  if (late === undefined || late.move > sees) return undefined;
  return { ...late, next: state.moves + 1, sees, results: state.early.length };
}

/** Asks the strategy, or walks, until something is new or the draws are used up. */
function lookedOn<S>(setting: Kept<S>, state: SearchState<S>, question: Question): Answer {
  const { strategy, space, seed } = setting;
  let { draws, walked, skipped } = state.cursor;
  const cursor = (passed: Skipped): Cursor => ({
    draws,
    ...(walked === undefined ? {} : { walked }),
    skipped: passed,
  });
  for (let left = Math.max(1, question.draws); left > 0; left--) {
    const isDry = strategy.isWhole && (walked !== undefined || skipped.count >= MISSES_MAX);
    const small = isDry ? space.listed() : undefined;
    const isWalked = small !== undefined && (walked ?? 0) >= small.size;
    if (isWalked && !strategy.promotes) return { kind: 'done', reason: proof(small, state.trials) };
    const mayBegin = question.mayBegin && !isWalked;
    let proposal = strategy.ask(state.strategy, { draw: draws, misses: skipped.count, mayBegin });
    if (proposal.kind === 'wait' || proposal.kind === 'done') return proposal;
    if (proposal.kind === 'evaluate' && !mayBegin)
      throw new Error('assertion: a trial is proposed where none may begin');
    if (proposal.kind === 'evaluate' && small !== undefined) {
      walked ??= 0;
      proposal = { ...proposal, ...stepOfWalk(small, seed, walked) };
      walked += 1;
    } else draws += 1;
    if (proposal.kind === 'search') {
      const move = { ...proposal, trial: state.trials + 1, key: '' };
      return { kind: 'move', move, cursor: cursor(NONE_SKIPPED), skipped };
    }
    if (proposal.kind !== 'evaluate') {
      const { trial } = proposal;
      const move = { ...proposal, key: question.keyOf(trial) };
      return { kind: 'move', move, cursor: cursor(NONE_SKIPPED), skipped };
    }
    const { genes, ...rest } = proposal;
    const candidate = judged(space, genes, question);
    if ('costs' in candidate) {
      const move = { ...rest, ...candidate, trial: state.trials + 1 };
      return { kind: 'move', move, cursor: cursor(NONE_SKIPPED), skipped };
    }
    skipped = { count: skipped.count + 1, firstReason: skipped.firstReason || candidate.refused };
  }
  return { kind: 'later', cursor: cursor(skipped), skipped };
}

/** The next candidate of the walk takes the place of a proposal. */
function stepOfWalk(small: ListedSpace, seed: number, walked: number) {
  return {
    reason: `one of the ${small.size} candidates of a small space, which are tried one by one`,
    genes: small.at(permutationAt({ seed, epoch: 0, size: small.size, index: walked })),
    parents: [],
  };
}

/** A candidate that may be tried, or why not. */
function judged(
  space: SearchSpace,
  genes: Genes,
  { known }: Question,
): { readonly key: string; readonly costs: Costs } | { readonly refused: string } {
  const costs = space.costsOf(genes);
  const broken = space.violation(costs);
  if (broken !== undefined) return { refused: broken };
  const key = space.keyOf(genes);
  const twin = known(key);
  if (twin === undefined) return { key, costs };
  return {
    refused: twin > 0 ? `isomorphic to trial ${twin}` : `isomorphic to a candidate of group ${-twin}`,
  };
}

/** Why no further candidate exists. */
function proof(small: ListedSpace, trials: number): string {
  return small.size > 0
    ? `each of the ${small.size} networks of the space that could meet the constraints was looked at: ${trials} became trials, no other one is new and within the constraints`
    : small.emptiness();
}

const isInOrder = <S>({ strategy, order }: SearchSetting<S>): boolean =>
  strategy.learns && order === 'by-move';

/** With the results told of moves up to `last`, which all have one. */
function caughtUp<S>(setting: Kept<S>, state: SearchState<S>, last: number): SearchState<S> {
  if (!isInOrder(setting) || state.early.length === 0) return state;
  const isDue = ({ move }: Result) => move <= last;
  if (!state.early.some(isDue)) return state;
  const known = setting.told.get(state.early);
  const strategy =
    known?.before === state.strategy && known.last === last
      ? known.after
      : state.early
          .filter(isDue)
          .sort((a, b) => a.move - b.move)
          .reduce((before: S, news: News) => setting.strategy.tell(before, news), state.strategy);
  // What is told to look ahead is told again when the move is made.
  setting.told.set(state.early, { before: state.strategy, last, after: strategy });
  return { ...state, strategy, early: state.early.filter((one) => !isDue(one)) };
}

function made<S>(setting: Kept<S>, before: SearchState<S>, move: Made): SearchState<S> {
  const { strategy } = setting;
  const { kind, trial, key, fidelity, cursor } = move;
  const number = before.moves + 1;
  const { seen = number - before.lag, draws, walked } = cursor;
  const state = caughtUp(setting, before, seen);
  const about = {
    kind: 'moved',
    move: number,
    trial,
    made: kind === 'search' ? 'evaluate' : kind,
    key,
  } as const;
  const news: News = fidelity === undefined ? about : { ...about, fidelity };
  // Field by field: a fold makes a hundred thousand of them.
  return {
    strategy: strategy.tell(state.strategy, news),
    cursor:
      walked === undefined ? { draws, skipped: NONE_SKIPPED } : { draws, walked, skipped: NONE_SKIPPED },
    moves: number,
    trials: state.trials + (kind === 'evaluate' || kind === 'search' ? 1 : 0),
    lag: state.lag,
    early: state.early,
    open: kind === 'stop' || !strategy.learns ? state.open : [...state.open, { move: number, trial }],
  };
}

function ended<S>(setting: SearchSetting<S>, state: SearchState<S>, result: Result): SearchState<S> {
  const entry = state.open.find(({ move }) => move === result.move);
  if (entry === undefined) return state;
  const open = state.open.filter((one) => one !== entry);
  const news = { ...result, trial: entry.trial };
  if (isInOrder(setting)) return { ...state, open, early: [...state.early, news] };
  return { ...state, open, strategy: setting.strategy.tell(state.strategy, news) };
}
