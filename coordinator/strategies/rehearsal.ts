// A search rehearsed before it is submitted: its own strategy makes its moves, and results are drawn in place of
// measured ones, where none is there already. What it shows is how many evaluations of which length on networks of which
// size there will be, and how many of them are known. Scores of a screening are drawn. A
// strategy that learns nothing from results makes these very moves later; of one that learns this is an example, whose
// candidates and promotions depend on the results that were drawn.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { cellCosts } from '../../core/nn/cell-costs.ts';
import { codeOfKey } from '../../core/nn/genotype-code.ts';
import type { Costs } from '../../core/nn/space.ts';
import { randomStream } from '../../core/rng.ts';
import type { ScreeningSpec } from '../../core/spec/screening.ts';
import { trialsOf } from '../../core/spec/strategy.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import { amountOf, type Fidelity, fidelityKindOf, spaceAt } from './fidelity.ts';
import type { Prior } from './prior.ts';
import { type Answer, type Cursor, type Move, NONE_SKIPPED, type SearchState } from './search.ts';
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
  /** Its result is there already, and taken. */
  readonly isKnown: boolean;
}

/** A result that is there already. */
export interface KnownResult {
  readonly accuracy: number;
  readonly latency?: number;
}

/** What a rehearsed search did. */
export interface Rehearsal {
  readonly evaluations: readonly Evaluation[];
  /** Keys of the candidates that became trials, in their order. */
  readonly keys: readonly string[];
  readonly trials: number;
  /** Candidates that a screening scores. */
  readonly scored: number;
  /** Key of the best candidate, where every result is known. */
  readonly best?: string;
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
  /** Results of another sweep that the search begins with. */
  readonly prior?: readonly Prior[];
  /** The result of a candidate that a run would take; without a fidelity that of the full evaluation. */
  readonly known?: (key: string, fidelity: Fidelity | undefined) => KnownResult | undefined;
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

function createRehearsal(spec: SweepSpec, options: RehearsalOptions) {
  const { lag, parallelism, accuracyOf, known = () => undefined } = options;
  const search = searchOf(spec);
  const wanted = trialsOf(spec.strategy);
  const epochsFull = spec.evaluation.training.epochs;
  const candidates: { readonly key: string; readonly costs: Costs; epochs: number }[] = [];
  const numbers = new Map<string, number>();
  const evaluations: Evaluation[] = [];
  const open: { readonly move: number; readonly trial: number; readonly fidelity: Fidelity | undefined }[] =
    [];
  const most = Math.max(
    1,
    'order' in spec.strategy && spec.strategy.order === 'as-finished' ? parallelism : lag,
  );
  let state: SearchState<StrategyState> = search.begin(lag, options.prior);
  let isOver = false;
  const screen = spec.screening && createScreen(spec.screening);
  const keyOf = (trial: number) => candidates[trial - 1]!.key;
  /** By the first objective, and of equal ones the smaller. */
  let best: { readonly key: string; readonly order: readonly [number, number] } | undefined;

  function make({ move, cursor }: Extract<Answer, { kind: 'move' }>): void {
    if (move.kind === 'search') throw new Error('assertion: a search by gradient is not rehearsed');
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
    // Without training it is no step.
    const whole = fidelity?.inherited === undefined ? epochsFull : 0;
    const { epochs = whole, images = 1, width } = fidelity ?? {};
    const costs =
      width === undefined
        ? candidate.costs
        : cellCosts(spaceAt(spec, { width })).of(codeOfKey(candidate.key));
    const isKnown = known(key, fidelity) !== undefined;
    evaluations.push({ trial, before: candidate.epochs, epochs, images, costs, isKnown });
    // With a part of anything but epochs it begins anew.
    if (fidelityKindOf(spec.strategy) === 'epochs') candidate.epochs = epochs;
    open.push({ move: state.moves, trial, fidelity });
  }

  /** The oldest evaluation ends; false where none is open. */
  function finish(): boolean {
    const oldest = open.shift();
    if (oldest === undefined) return false;
    const { trial, fidelity } = oldest;
    const { costs, key } = candidates[trial - 1]!;
    const amount = fidelity === undefined ? epochsFull : amountOf(fidelity);
    const { accuracy, latency = costs.multiplyAdds } = known(key, fidelity) ?? {
      accuracy: accuracyOf(trial, amount),
    };
    const scores = scoresOf(spec, { objectives: { accuracy, latency }, costs }) ?? [accuracy];
    const order = [scores[0]!, -costs.parameters] as const;
    const isBetter = best === undefined || (order[0] - best.order[0] || order[1] - best.order[1]) > 0;
    if (fidelity === undefined && isBetter) best = { key, order };
    state = search.ended(state, { move: oldest.move, kind: 'measured', scores });
    return true;
  }

  /** The next step of a search that screens: a candidate joins the group, or the best of it begin. */
  function goOnScreened(screen: Screen): boolean {
    const [first] = screen.left;
    if (first === undefined) return goOnAsked(true, screen);
    if (search.promotes) {
      const wanted = search.wants(state, { keyOf });
      if (wanted.kind === 'move') make(wanted);
      if (wanted.kind !== 'begin') return wanted.kind === 'move' || finish();
      const { key, costs } = first;
      begin(screen, { key, costs, ...wanted });
    } else if (search.heldBack(state) !== undefined) return finish();
    else begin(screen, { ...first, cursor: state.cursor });
    return true;
  }

  function begin(screen: Screen, chosen: Omit<Drawn, 'cursor'> & { readonly cursor: Cursor }): void {
    const { key, costs, cursor, fidelity } = chosen;
    screen.begun();
    const about = { kind: 'evaluate', reason: '', parents: [], trial: state.trials + 1 } as const;
    const move = { ...about, key, costs, ...(fidelity && { fidelity }) };
    make({ kind: 'move', move, cursor, skipped: NONE_SKIPPED });
  }

  function goOnAsked(mayBegin: boolean, screen: Screen | undefined): boolean {
    const answer = search.ask(state, {
      ...{ draws: DRAWS, mayBegin, keyOf },
      known: (key) => numbers.get(key) ?? screen?.groupOf(key),
    });
    if (answer.kind === 'later') state = { ...state, cursor: answer.cursor };
    else if (answer.kind === 'wait') return finish();
    else if (answer.kind === 'done') {
      if (screen === undefined || !mayBegin || screen.isEmpty) isOver = true;
      else screen.close();
    } else if (screen !== undefined && answer.move.kind === 'evaluate') {
      screen.join(answer.move);
      state = { ...state, cursor: answer.cursor };
    } else make(answer);
    return !isOver;
  }

  return {
    get trials() {
      return candidates.length;
    },
    /** One question, or one result; false at the end. */
    goOn(): boolean {
      if (isOver || candidates.length > TRIALS_MAX) return false;
      if (open.length >= most) return finish();
      const mayBegin = candidates.length < wanted;
      return screen !== undefined && mayBegin ? goOnScreened(screen) : goOnAsked(mayBegin, undefined);
    },
    end(): Rehearsal {
      const share = isOver || candidates.length >= wanted ? 1 : candidates.length / wanted;
      while (finish());
      const isCertain = share === 1 && evaluations.every(({ isKnown }) => isKnown);
      return {
        ...{ evaluations, share, keys: candidates.map(({ key }) => key) },
        ...{ trials: candidates.length, scored: screen?.size ?? 0 },
        ...(isCertain && best !== undefined ? { best: best.key } : {}),
      };
    },
  };
}

type Drawn = Pick<Extract<Move, { kind: 'evaluate' }>, 'key' | 'costs' | 'fidelity'>;
type Screen = ReturnType<typeof createScreen>;

/** The groups of a screening, whose scores are drawn. */
function createScreen({ keep, of }: ScreeningSpec) {
  const known = new Set<string>();
  let group: Drawn[] = [];
  let left: Drawn[] = [];
  const close = () => {
    const scored = group.map((one, place) => ({ place, score: scoreOf(one.key) }));
    const best = scored.sort((a, b) => b.score - a.score).slice(0, Math.ceil(keep * group.length));
    left = best.sort((a, b) => a.place - b.place).map(({ place }) => group[place]!);
    group = [];
  };
  return {
    /** Those of a group that begin, first things first. */
    get left(): readonly Drawn[] {
      return left;
    },
    /** Candidates of all groups. */
    get size() {
      return known.size;
    },
    get isEmpty() {
      return group.length === 0;
    },
    /** For a refusal: a candidate of some group. */
    groupOf: (key: string) => (known.has(key) ? -1 : undefined),
    join(one: Drawn): void {
      known.add(one.key);
      group.push(one);
      if (group.length === of) close();
    },
    close,
    begun(): void {
      left = left.slice(1);
    },
  };
}

const scoreOf = (key: string): number => randomStream({ seed: 1, purpose: `score ${key}` }).uniform();
