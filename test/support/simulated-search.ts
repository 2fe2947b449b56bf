// A search whose candidates are evaluated by a function: what the tests of strategies and the bench on tables of
// measured networks share. Evaluations begin at once while fewer than `workers` run, take the time that
// `duration` says, and end in the order of their times.

import { createSearch, type Move, type SearchState } from '../../coordinator/strategies/search.ts';
import type { SearchSpace } from '../../coordinator/strategies/search-space.ts';
import type { Result, Strategy } from '../../coordinator/strategies/strategy.ts';

/** An evaluation that has ended. */
export interface Evaluated {
  readonly move: number;
  readonly trial: number;
  readonly key: string;
  readonly reason: string;
  readonly parents: readonly number[];
  /** Undefined: the full evaluation. */
  readonly epochs: number | undefined;
  /** In the order of the objectives, each so that more is better; undefined where it failed. */
  readonly scores: readonly number[] | undefined;
}

/** What becomes of a candidate: its scores, or why it has none. */
export type Evaluation =
  | readonly number[]
  | { readonly kind: 'failed' | 'cancelled'; readonly reason: string };

export interface Simulated<S> {
  readonly strategy: Strategy<S>;
  readonly space: SearchSpace;
  readonly seed: number;
  /** Trials that are begun at most. */
  readonly trials: number;
  readonly lag: number;
  readonly order?: 'by-move' | 'as-finished';
  /** Evaluations at once; the lag by default. */
  readonly workers?: number;
  /** Proposals a question may look at. */
  readonly draws?: number;
  /** `epochs` is undefined for the full evaluation. */
  readonly evaluate: (key: string, epochs: number | undefined) => Evaluation;
  /** No move is made any more once the candidate of this key has its result. */
  readonly until?: (key: string) => boolean;
  /** How long an evaluation takes, in any unit; all take 1 by default. */
  readonly duration?: (move: number) => number;
  /** Sees, and may replace, each state before it is used: for instance one that went through JSON. */
  readonly stored?: (state: SearchState<S>) => SearchState<S>;
}

/** The evaluations of a whole search in the order of moves, and how it ended. */
export function simulated<S>(options: Simulated<S>) {
  const { strategy, space, seed, trials, lag, order = 'by-move', workers = lag, draws = 1_000 } = options;
  const { evaluate, until = () => false, duration = () => 1, stored = (state) => state } = options;
  const search = createSearch({ strategy, space, seed, order });
  const trialOf = new Map<string, number>();
  const keys: string[] = [];
  const moves: { move: Move; number: number }[] = [];
  const done = new Map<number, Evaluation>();
  /** Open evaluations by the time at which they end. */
  let running: { readonly number: number; readonly endsAt: number }[] = [];
  let now = 0;
  let state = stored(search.begin(lag));
  let end = 'all trials are begun';
  let isOver = false;

  /** Makes moves until the workers are busy or there is none to make. */
  function makeMoves(): void {
    while (!isOver && running.length < workers) {
      const question = {
        ...{ draws, known: (key: string) => trialOf.get(key), keyOf: (trial: number) => keys[trial - 1]! },
        mayBegin: keys.length < trials,
      };
      const answer = search.ask(state, question);
      if (answer.kind === 'wait') return;
      if (answer.kind === 'done') {
        end = answer.reason;
        isOver = true;
        return;
      }
      if (answer.kind === 'later') {
        state = stored({ ...state, cursor: answer.cursor });
        continue;
      }
      const { move, cursor } = answer;
      const number = state.moves + 1;
      moves.push({ move, number });
      if (move.kind === 'evaluate') {
        trialOf.set(move.key, move.trial);
        keys.push(move.key);
      }
      state = stored(search.made(state, { ...move, cursor }));
      if (move.kind !== 'stop') running.push({ number, endsAt: now + duration(number) });
    }
  }

  for (;;) {
    makeMoves();
    if (running.length === 0) break;
    const first = running.reduce((a, b) => (b.endsAt < a.endsAt ? b : a));
    running = running.filter((one) => one !== first);
    now = first.endsAt;
    const { move } = moves[first.number - 1]!;
    const evaluation = evaluate(move.key, epochsOf(move));
    isOver ||= until(move.key);
    done.set(first.number, evaluation);
    const result: Result =
      'kind' in evaluation
        ? { move: first.number, ...evaluation }
        : { move: first.number, kind: 'measured', scores: evaluation };
    state = stored(search.ended(state, result));
  }
  const evaluated = moves.flatMap(({ move, number }): Evaluated[] => {
    const evaluation = done.get(number);
    if (evaluation === undefined) return [];
    const { trial, key, reason } = move;
    return [
      {
        ...{ move: number, trial, key, reason, epochs: epochsOf(move) },
        parents: move.kind === 'evaluate' ? move.parents : [],
        scores: 'kind' in evaluation ? undefined : evaluation,
      },
    ];
  });
  return { evaluated, moves: moves.map(({ move }) => move), state, end, time: now };
}

function epochsOf(move: Move): number | undefined {
  return move.kind === 'stop' || move.kind === 'search' ? undefined : move.fidelity?.epochs;
}
