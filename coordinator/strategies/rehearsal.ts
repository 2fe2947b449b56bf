// A search rehearsed before it is submitted: its own strategy makes its moves, and results are drawn in place of
// measured ones. What it shows is how many evaluations of which length on networks of which size there will be. A
// strategy that learns nothing from results makes these very moves later; of one that learns this is an example, whose
// candidates and promotions depend on the results that were drawn.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { cellCosts } from '../../core/nn/cell-costs.ts';
import { codeOfKey } from '../../core/nn/genotype-code.ts';
import type { Costs } from '../../core/nn/space.ts';
import { randomStream } from '../../core/rng.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import { amountOf, fidelityKindOf, spaceAt } from './fidelity.ts';
import type { Answer, SearchState } from './search.ts';
import { scoresOf } from './standing.ts';
import { type StrategyState, searchOf } from './strategies.ts';

/** One evaluation of a candidate. */
export interface Evaluation {
  /** The number of the trial, from 1. */
  readonly trial: number;
  /** Epochs that it has had in evaluations before; 0 for the first. */
  readonly before: number;
  /** Epochs at its end. */
  readonly epochs: number;
  /** Part of the images of the full evaluation. */
  readonly images: number;
  /** With the channels that it has. */
  readonly costs: Costs;
}

/** What a rehearsed search did. */
export interface Rehearsal {
  readonly evaluations: readonly Evaluation[];
  readonly trials: number;
  /** Share of the trials that were rehearsed, (0, 1]: a long search is cut off. */
  readonly share: number;
}

/** Limits of one rehearsal; what is beyond is scaled from it. */
const TRIALS_MAX = 2_000;
const MS_MAX = 1_500;
/** Proposals of one question, and how long the event loop waits for them, milliseconds. */
const DRAWS = 100;
const TURN_MS = 5;

/** How a rehearsal is made. */
export interface RehearsalOptions {
  readonly lag: number;
  /** Trials that are open at once, where results count as they finish. */
  readonly parallelism: number;
  /** Accuracy of a trial with so much of the evaluation; those of two seeds differ. */
  readonly accuracyOf: (trial: number, amount: number) => number;
  /** Milliseconds of any clock. */
  readonly now: () => number;
}

/** Accuracies that are drawn: a trial keeps most of its own through all fidelities. */
export function drawnAccuracies(seed: number): RehearsalOptions['accuracyOf'] {
  const draw = (purpose: string) => randomStream({ seed, purpose }).uniform();
  return (trial, amount) => 0.5 + 0.4 * draw(`trial ${trial}`) + 0.04 * draw(`trial ${trial} ${amount}`);
}

/** Whether a sweep makes the same moves whatever its results are. */
export const isForeseen = ({ strategy }: SweepSpec): boolean =>
  strategy.kind === 'random' || strategy.kind === 'grid';

/** Rehearses a whole search, in turns of the event loop that others do not feel. */
export async function rehearse(spec: SweepSpec, options: RehearsalOptions): Promise<Rehearsal> {
  const rehearsed = createRehearsal(spec, options);
  const beganAt = options.now();
  for (;;) {
    const turnAt = options.now();
    while (options.now() - turnAt < TURN_MS) if (!rehearsed.goOn()) return rehearsed.end();
    if (turnAt - beganAt > MS_MAX && rehearsed.trials > 0) return rehearsed.end();
    await nextTurn();
  }
}

function createRehearsal(spec: SweepSpec, { lag, parallelism, accuracyOf }: RehearsalOptions) {
  const search = searchOf(spec);
  const wanted = spec.strategy.trials;
  const epochsFull = spec.evaluation.training.epochs;
  const candidates: { readonly key: string; readonly costs: Costs; epochs: number }[] = [];
  const numbers = new Map<string, number>();
  const evaluations: Evaluation[] = [];
  const open: { readonly move: number; readonly trial: number; readonly amount: number }[] = [];
  const most = Math.max(
    1,
    'order' in spec.strategy && spec.strategy.order === 'as-finished' ? parallelism : lag,
  );
  let state: SearchState<StrategyState> = search.begin(lag);
  let isOver = false;

  function make({ move, cursor }: Extract<Answer, { kind: 'move' }>): void {
    const { kind, trial, key } = move;
    if (move.kind === 'evaluate') {
      candidates.push({ key, costs: move.costs, epochs: 0 });
      numbers.set(key, trial);
    }
    const fidelity = move.kind === 'stop' ? undefined : move.fidelity;
    const { skipped: _none, ...reached } = cursor;
    state = search.made(state, { kind, trial, key, cursor: reached, ...(fidelity && { fidelity }) });
    if (kind === 'stop') return;
    const candidate = candidates[trial - 1]!;
    const { epochs = epochsFull, images = 1, width } = fidelity ?? {};
    const costs =
      width === undefined
        ? candidate.costs
        : cellCosts(spaceAt(spec, { width })).of(codeOfKey(candidate.key));
    evaluations.push({ trial, before: candidate.epochs, epochs, images, costs });
    // With a part of anything but epochs it begins anew.
    if (fidelityKindOf(spec.strategy) === 'epochs') candidate.epochs = epochs;
    open.push({ move: state.moves, trial, amount: fidelity === undefined ? epochs : amountOf(fidelity) });
  }

  /** The oldest evaluation ends; false where none is open. */
  function finish(): boolean {
    const oldest = open.shift();
    if (oldest === undefined) return false;
    const { costs } = candidates[oldest.trial - 1]!;
    const accuracy = accuracyOf(oldest.trial, oldest.amount);
    const scores = scoresOf(spec, { objectives: { accuracy, latency: costs.multiplyAdds }, costs }) ?? [
      accuracy,
    ];
    state = search.ended(state, { move: oldest.move, kind: 'measured', scores });
    return true;
  }

  return {
    get trials() {
      return candidates.length;
    },
    /** One question, or one result; false at the end. */
    goOn(): boolean {
      if (isOver || candidates.length > TRIALS_MAX) return false;
      if (open.length >= most) return finish();
      const answer = search.ask(state, {
        draws: DRAWS,
        mayBegin: candidates.length < wanted,
        known: (key) => numbers.get(key),
        keyOf: (trial) => candidates[trial - 1]!.key,
      });
      if (answer.kind === 'move') make(answer);
      else if (answer.kind === 'later') state = { ...state, cursor: answer.cursor };
      else if (answer.kind === 'wait') return finish();
      else isOver = true;
      return !isOver;
    },
    end: (): Rehearsal => ({
      evaluations,
      trials: candidates.length,
      share: isOver || candidates.length >= wanted ? 1 : candidates.length / wanted,
    }),
  };
}
