// Asynchronous successive halving with several objectives. The results of a rung are in the order of their
// non-dominated rank, the first objective within a rank, and of these the best 1/eta go on as with one objective.
//
// With `mode: stop` a trial is stopped only where a trial of its rung's front dominates it by a margin in each
// objective. The margin is the rung's own rank noise (Bohdal et al., "PASHA: Efficient HPO and NAS with Progressive
// Resource Allocation", ICLR 2023, section 4.2): of all pairs of trials with results at this rung and at the next
// one, those whose order by the objective was not the same; nine tenths of them lay at most so far apart at this
// rung. Where fewer than two trials have both results nothing is known of the noise, and nothing is stopped. What
// follows from the network alone has no noise, and no margin.
//
// A rung remembers its newest results, so the state is bounded and a move costs the same however many there were.

import { dominates, ranksWithLast, type Scores } from '../../core/search/pareto.ts';
import type { AshaSpec } from '../../core/spec/strategy.ts';
import {
  atText,
  beginOrWait,
  fidelityOf,
  goesOnText,
  type Ladder,
  type Rungs,
  rungOf,
  rungsFor,
} from './rungs.ts';
import type { SearchSpace } from './search-space.ts';
import type { News, Proposal, Strategy, Turn } from './strategy.ts';

/** Results of a rung that are remembered at most; then the older ones go together, since that ranks all others anew. */
const RESULTS_MAX = 192;
const RESULTS_LEFT = 128;
/** Trials with results at two rungs that are remembered. */
const PAIRED_MAX = 32;
/** Share of the pairs in another order that lie within the margin. */
const WITHIN = 0.9;

interface Entry {
  readonly trial: number;
  readonly scores: Scores;
  /** Fronts of the rung that lie before its own. */
  readonly rank: number;
  readonly isPromoted?: true;
}

interface Rung {
  /** The newest last. */
  readonly results: readonly Entry[];
  /** Scores here and at the next rung of trials that have both, the newest last. */
  readonly paired: readonly (readonly [here: Scores, next: Scores])[];
}

interface Pending {
  readonly trial: number;
  readonly rung: number;
  /** Its scores at the rung before. */
  readonly before?: Scores;
}

/** What the search remembers. */
export interface AshaFrontState {
  readonly rungs: readonly Rung[];
  readonly pending: readonly Pending[];
  /** With `mode: stop`: trials about which a move is to be made, the earliest first. */
  readonly verdicts: readonly {
    readonly trial: number;
    readonly rung: number;
    readonly kind: 'promote' | 'stop';
    readonly reason: string;
  }[];
}

/** The strategy of a sweep with several objectives whose full evaluation has so many epochs. */
export function ashaFront(spec: AshaSpec, space: SearchSpace, epochs: number): Strategy<AshaFrontState> {
  const rungs = rungsFor(spec, epochs);
  return {
    learns: true,
    promotes: true,
    isWhole: true,
    drawCost: 2,
    begin: () => ({
      rungs: rungs.slice(0, -1).map(() => ({ results: [], paired: [] })),
      ...{ pending: [], verdicts: [] },
    }),
    ask: (state, turn) => ask({ spec, space, rungs }, state, turn),
    tell: (state, news) => tell({ spec, rungs }, state, news),
  };
}

function ask(
  search: { readonly spec: AshaSpec; readonly space: SearchSpace; readonly rungs: Rungs },
  state: AshaFrontState,
  turn: Turn,
): Proposal {
  const { spec, rungs } = search;
  const [verdict] = state.verdicts;
  if (verdict !== undefined) {
    const { kind, reason, trial, rung } = verdict;
    return { kind, reason, trial, ...(kind === 'promote' ? fidelityOf(search, rung + 1) : {}) };
  }
  for (let rung = rungs.length - 2; spec.mode === 'promote' && rung >= 0; rung--) {
    const found = promotable(spec, state.rungs[rung]!);
    if (found === undefined) continue;
    const reason = `${found.text} ${atText(search, rung)}, ${goesOnText(search, rung + 1)}`;
    return { kind: 'promote', reason, trial: found.trial, ...fidelityOf(search, rung + 1) };
  }
  return beginOrWait(search, state.pending, turn);
}

/** The best trial of a rung that has not gone on, if it is among the best 1/eta of all there. */
function promotable({ eta }: AshaSpec, { results }: Rung) {
  const cut = Math.floor(results.length / eta);
  let best: Entry | undefined;
  for (const one of results)
    if (one.isPromoted !== true && (best === undefined || isBefore(one, best))) best = one;
  if (best === undefined) return undefined;
  const { trial, scores, rank } = best;
  const place = results.filter((one) => isBefore(one, best)).length + 1;
  if (place > cut) return undefined;
  const text = `place ${place} of ${results.length} (front ${rank + 1}, ${textOf(scores)}), among the best ${cut}`;
  return { trial, text };
}

/** By rank, then by the first objective. */
function isBefore(a: Entry, b: Entry): boolean {
  return (a.rank - b.rank || b.scores[0]! - a.scores[0]! || a.trial - b.trial) < 0;
}

/** With one more result. */
function withResult(results: readonly Entry[], trial: number, scores: Scores): Entry[] {
  const all = [...results, { trial, scores, rank: 0 }];
  if (all.length <= RESULTS_MAX)
    return ranked(
      all,
      ranksOf(
        all,
        results.map(({ rank }) => rank),
      ),
    );
  const left = all.slice(-RESULTS_LEFT);
  let ranks: number[] = [];
  for (let count = 1; count <= left.length; count++) ranks = ranksOf(left.slice(0, count), ranks);
  return ranked(left, ranks);
}

/** Of entries of which the last has none yet. */
const ranksOf = (entries: readonly Entry[], before: readonly number[]): number[] =>
  ranksWithLast(
    entries.map(({ scores }) => scores),
    before,
  );

const ranked = (entries: readonly Entry[], ranks: readonly number[]): Entry[] =>
  entries.map((entry, at) => (entry.rank === ranks[at] ? entry : { ...entry, rank: ranks[at]! }));

const textOf = (scores: Scores): string =>
  scores.map((score) => String(Number(score.toPrecision(4)))).join(', ');

function tell(
  search: { readonly spec: AshaSpec; readonly rungs: Rungs },
  state: AshaFrontState,
  news: News,
): AshaFrontState {
  const { trial } = news;
  if (news.kind === 'moved') return moved(search.rungs, state, news);
  const entry = state.pending.find((one) => one.trial === trial);
  if (entry === undefined) return state;
  const pending = state.pending.filter((one) => one !== entry);
  if (news.kind !== 'measured') return { ...state, pending };
  const { scores } = news;
  const { rung: at, before } = entry;
  let { rungs } = state;
  if (before !== undefined) {
    const below = rungs[at - 1]!;
    const paired = [...below.paired, [before, scores] as const].slice(-PAIRED_MAX);
    rungs = rungs.with(at - 1, { ...below, paired });
  }
  const rung = rungs[at];
  if (rung === undefined) return { ...state, rungs, pending };
  const grown = { ...rung, results: withResult(rung.results, trial, scores) };
  const after = { ...state, pending, rungs: rungs.with(at, grown) };
  if (search.spec.mode === 'promote') return after;
  return { ...after, verdicts: [...state.verdicts, { trial, rung: at, ...judged(search, at, grown) }] };
}

function moved(rungs: Rungs, state: AshaFrontState, news: Extract<News, { kind: 'moved' }>): AshaFrontState {
  const { trial, made, fidelity } = news;
  const verdicts = state.verdicts.filter((one) => one.trial !== trial);
  if (made === 'stop') return { ...state, verdicts };
  const rung = rungOf(rungs, fidelity);
  const pending = { trial, rung };
  if (made !== 'promote') return { ...state, verdicts, pending: [...state.pending, pending] };
  const below = state.rungs[rung - 1]!;
  const before = below.results.find((one) => one.trial === trial)?.scores;
  const results = below.results.map((one) =>
    one.trial === trial ? { ...one, isPromoted: true as const } : one,
  );
  return {
    rungs: state.rungs.with(rung - 1, { ...below, results }),
    pending: [...state.pending, { ...pending, ...(before === undefined ? {} : { before }) }],
    verdicts,
  };
}

/** With `mode: stop`: whether the newest result of a rung lets its trial go on. */
function judged(
  ladder: Ladder,
  at: number,
  { results, paired }: Rung,
): { readonly kind: 'promote' | 'stop'; readonly reason: string } {
  const { scores } = results.at(-1)!;
  const here = `${textOf(scores)} ${atText(ladder, at)}`;
  const goesOn = goesOnText(ladder, at + 1);
  const margins = marginsOf(paired);
  if (margins === undefined)
    return { kind: 'promote', reason: `${here}, nothing is known yet of the noise of its rung, ${goesOn}` };
  const needed = scores.map((score, objective) => score + margins[objective]!);
  const better = results.find((other) => dominates(other.scores, scores) && isAtLeast(other.scores, needed));
  const margin = `the margin of ${textOf(margins)}`;
  return better === undefined
    ? {
        kind: 'promote',
        reason: `${here}, dominated by none of ${results.length - 1} by ${margin}, ${goesOn}`,
      }
    : {
        kind: 'stop',
        reason: `${here}, dominated by trial ${better.trial} (${textOf(better.scores)}) by more than ${margin}`,
      };
}

const isAtLeast = (scores: Scores, needed: Scores): boolean =>
  scores.every((score, objective) => score >= needed[objective]!);

/**
 * By objective, how far two trials of a rung may be apart whose order at the next rung is another; undefined where
 * fewer than two trials have results at both.
 */
export function marginsOf(paired: Rung['paired']): number[] | undefined {
  if (paired.length < 2) return undefined;
  return paired[0]![0].map((_, objective) => {
    const gaps: number[] = [];
    paired.forEach(([hereA, nextA], a) => {
      for (const [hereB, nextB] of paired.slice(a + 1)) {
        const [gap, later] = [hereA[objective]! - hereB[objective]!, nextA[objective]! - nextB[objective]!];
        if (gap * later < 0) gaps.push(Math.abs(gap));
      }
    });
    gaps.sort((a, b) => a - b);
    return gaps[Math.ceil(WITHIN * gaps.length) - 1] ?? 0;
  });
}
