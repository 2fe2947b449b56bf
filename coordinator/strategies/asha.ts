// Asynchronous successive halving (Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020,
// algorithm 2): every candidate, drawn at random, begins at the lowest rung. A trial whose result is among the
// best 1/eta of its rung, and the best of those that have not gone on, goes on to the next; where there is none,
// another candidate begins. With `mode: stop` a result decides about its own trial alone, as it is told: it goes
// on where it is among the best 1/eta of what its rung has so far, and is stopped where it is not.
//
// The state grows with the results, by a score and a number each.

import type { AshaSpec } from '../../core/spec/strategy.ts';
import { fidelityOf, type Rungs, rungOf, rungsOf } from './rungs.ts';
import type { SearchSpace } from './search-space.ts';
import {
  countBefore,
  type Scored,
  type SortedList,
  sizeOf,
  withoutScored,
  withScored,
} from './sorted-list.ts';
import type { News, Proposal, Strategy, Turn } from './strategy.ts';

interface Rung {
  /** Results of trials that have not gone on. */
  readonly waiting: SortedList;
  /** Results of those that have. */
  readonly promoted: SortedList;
}

/** What the search remembers. */
export interface AshaState {
  readonly rungs: readonly Rung[];
  readonly pending: readonly { readonly trial: number; readonly rung: number }[];
  /** With `mode: stop`: trials about which a move is to be made, the earliest first. */
  readonly decided: readonly Verdict[];
}

interface Verdict {
  readonly trial: number;
  readonly rung: number;
  readonly kind: 'promote' | 'stop';
  readonly reason: string;
}

/** The strategy of a sweep whose full evaluation has so many epochs. */
export function asha(spec: AshaSpec, space: SearchSpace, epochs: number): Strategy<AshaState> {
  const rungs = rungsOf({ first: spec.epochsMin, eta: spec.eta, epochs });
  return {
    learns: true,
    promotes: true,
    isWhole: true,
    begin: () => ({
      rungs: rungs.slice(0, -1).map(() => ({ waiting: [], promoted: [] })),
      ...{ pending: [], decided: [] },
    }),
    ask: (state, turn) => ask({ spec, space, rungs }, state, turn),
    tell: (state, news) => tell({ spec, rungs }, state, news),
  };
}

function ask(
  search: { spec: AshaSpec; space: SearchSpace; rungs: Rungs },
  state: AshaState,
  turn: Turn,
): Proposal {
  const { spec, space, rungs } = search;
  const [verdict] = state.decided;
  if (verdict !== undefined) {
    const { kind, reason, trial, rung } = verdict;
    return kind === 'stop'
      ? { kind, reason, trial }
      : { kind, reason, trial, ...fidelityOf(rungs, rung + 1) };
  }
  if (spec.mode === 'promote')
    for (let rung = rungs.length - 2; rung >= 0; rung--) {
      const found = promotable(spec, state.rungs[rung]!);
      if (found === undefined) continue;
      const { entry, text } = found;
      const reason = `${text} at ${rungs[rung]} epochs, goes on to ${rungs[rung + 1]}`;
      return { kind: 'promote', reason, trial: entry[1], ...fidelityOf(rungs, rung + 1) };
    }
  if (turn.mayBegin)
    return {
      kind: 'evaluate',
      reason: `drawn at random, begins with ${rungs[0]} of ${rungs.at(-1)} epochs`,
      genes: space.draw(spec.seed, turn.draw),
      parents: [],
      ...fidelityOf(rungs, 0),
    };
  if (state.pending.length > 0)
    return { kind: 'wait', reason: `results of ${state.pending.length} evaluations may let a trial go on` };
  return {
    kind: 'done',
    reason: `no trial is among the best 1/${spec.eta} of its rung that has not gone on`,
  };
}

/** The best trial of a rung that has not gone on, if it is among the best 1/eta of all there. */
function promotable({ eta }: AshaSpec, { waiting, promoted }: Rung) {
  const entry = waiting[0]?.[0];
  if (entry === undefined) return undefined;
  const size = sizeOf(waiting) + sizeOf(promoted);
  const cut = Math.floor(size / eta);
  const rank = countBefore(promoted, entry) + 1;
  if (rank > cut) return undefined;
  return { entry, text: `rank ${rank} of ${size} (${entry[0].toFixed(4)}), among the best ${cut}` };
}

function tell(search: { spec: AshaSpec; rungs: Rungs }, state: AshaState, news: News): AshaState {
  const { spec, rungs } = search;
  const { trial } = news;
  if (news.kind === 'moved') {
    const decided = state.decided.filter((verdict) => verdict.trial !== trial);
    if (news.made === 'stop') return { ...state, decided };
    const rung = rungOf(rungs, news.fidelity);
    const left = news.made === 'promote' ? goneOn(state.rungs, rung - 1, trial) : state.rungs;
    return { rungs: left, decided, pending: [...state.pending, { trial, rung }] };
  }
  const entry = state.pending.find((one) => one.trial === trial);
  if (entry === undefined) return state;
  const pending = state.pending.filter((one) => one !== entry);
  const rung = state.rungs[entry.rung];
  if (news.kind !== 'measured' || rung === undefined) return { ...state, pending };
  const scored: Scored = [news.scores[0]!, trial];
  const grown = { ...rung, waiting: withScored(rung.waiting, scored) };
  const after = { ...state, pending, rungs: state.rungs.with(entry.rung, grown) };
  if (spec.mode === 'promote') return after;
  return { ...after, decided: [...state.decided, judged(search, entry, grown, scored)] };
}

/** With `mode: stop`: whether a result lets its trial go on. */
function judged(
  { spec, rungs }: { spec: AshaSpec; rungs: Rungs },
  { trial, rung }: { readonly trial: number; readonly rung: number },
  { waiting, promoted }: Rung,
  scored: Scored,
): Verdict {
  const size = sizeOf(waiting) + sizeOf(promoted);
  // The first one goes on, or none ever would.
  const cut = Math.max(1, Math.floor(size / spec.eta));
  const rank = countBefore(waiting, scored) + countBefore(promoted, scored) + 1;
  const place = `rank ${rank} of ${size} (${scored[0].toFixed(4)}) at ${rungs[rung]} epochs`;
  return rank <= cut
    ? {
        trial,
        rung,
        kind: 'promote',
        reason: `${place}, among the best ${cut}, goes on to ${rungs[rung + 1]}`,
      }
    : { trial, rung, kind: 'stop', reason: `${place}, not among the best ${cut}` };
}

/** A trial has gone on from this rung. */
function goneOn(rungs: readonly Rung[], at: number, trial: number): readonly Rung[] {
  const { waiting, promoted } = rungs[at]!;
  const chunk = waiting.find((entries) => entries.some((one) => one[1] === trial));
  const entry = chunk?.find((one) => one[1] === trial);
  if (entry === undefined) return rungs;
  return rungs.with(at, {
    waiting: withoutScored(waiting, entry),
    promoted: withScored(promoted, entry),
  });
}
