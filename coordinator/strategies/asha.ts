// Asynchronous successive halving (Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020,
// algorithm 2): every candidate, drawn at random, begins at the lowest rung. A trial whose result is among the
// best 1/eta of its rung, and the best of those that have not gone on, goes on to the next; where there is none,
// another candidate begins. With `mode: stop` a result decides about its own trial alone, as it is told: it goes
// on where it is among the best 1/eta of what its rung has so far, and is stopped where it is not.
//
// A rung remembers the results near its cut: the best of those that have not gone on, and the worst of those that
// have. Of the others only the number counts, as the cut moves away from them: among draws at random it wanders by
// about the root of the number of results.

import type { AshaSpec } from '../../core/spec/strategy.ts';
import { atText, beginOrWait, fidelityOf, goesOnText, type Rungs, rungOf, rungsFor } from './rungs.ts';
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
  /** Results of trials that have not gone on, the best of them. */
  readonly waiting: SortedList;
  /** Results of those that have, the worst of them. */
  readonly promoted: SortedList;
  /** How many more results of trials that have not gone on there are, all of them worse. */
  readonly worse: number;
  /** How many more of those that have, all of them better. */
  readonly better: number;
}

/** Results of either kind that a rung remembers at most. */
const KEPT_MAX = 1_000;

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

interface Setting {
  readonly spec: AshaSpec;
  readonly space: SearchSpace;
  readonly rungs: Rungs;
  /** `KEPT_MAX`, or what a test takes. */
  readonly keptMax: number;
}

/** The strategy of a sweep whose full evaluation has so many epochs. */
export function asha(
  spec: AshaSpec,
  space: SearchSpace,
  epochs: number,
  keptMax = KEPT_MAX,
): Strategy<AshaState> {
  const rungs = rungsFor(spec, epochs);
  const setting = { spec, space, rungs, keptMax };
  return {
    learns: true,
    promotes: true,
    isWhole: true,
    drawCost: 2,
    begin: () => ({
      rungs: rungs.slice(0, -1).map(() => ({ waiting: [], promoted: [], worse: 0, better: 0 })),
      ...{ pending: [], decided: [] },
    }),
    ask: (state, turn) => ask(setting, state, turn),
    tell: (state, news) => tell(setting, state, news),
  };
}

function ask(setting: Setting, state: AshaState, turn: Turn): Proposal {
  const { spec, rungs } = setting;
  const [verdict] = state.decided;
  if (verdict !== undefined) {
    const { kind, reason, trial, rung } = verdict;
    return kind === 'stop'
      ? { kind, reason, trial }
      : { kind, reason, trial, ...fidelityOf(setting, rung + 1) };
  }
  if (spec.mode === 'promote')
    for (let rung = rungs.length - 2; rung >= 0; rung--) {
      const found = promotable(spec, state.rungs[rung]!);
      if (found === undefined) continue;
      const { entry, text } = found;
      const reason = `${text} ${atText(setting, rung)}, ${goesOnText(setting, rung + 1)}`;
      return { kind: 'promote', reason, trial: entry[1], ...fidelityOf(setting, rung + 1) };
    }
  return beginOrWait(setting, state.pending, turn);
}

/** Results of a rung. */
const sizeOfRung = ({ waiting, promoted, worse, better }: Rung): number =>
  sizeOf(waiting) + sizeOf(promoted) + worse + better;

/** The best trial of a rung that has not gone on, if it is among the best 1/eta of all there. */
function promotable({ eta }: AshaSpec, rung: Rung) {
  const { waiting, promoted, better } = rung;
  const entry = waiting[0]?.[0];
  if (entry === undefined) return undefined;
  const size = sizeOfRung(rung);
  const cut = Math.floor(size / eta);
  const before = countBefore(promoted, entry);
  const rank = better + before + 1;
  if (rank > cut) return undefined;
  // Above all that are remembered it may be above some that are not.
  const isExact = better === 0 || before > 0;
  const place = `rank ${isExact ? '' : 'at most '}${rank} of ${size}`;
  return { entry, text: `${place} (${entry[0].toFixed(4)}), among the best ${cut}` };
}

function tell(setting: Setting, state: AshaState, news: News): AshaState {
  const { spec, rungs, keptMax } = setting;
  const { trial } = news;
  if (news.kind === 'moved') {
    const decided = state.decided.filter((verdict) => verdict.trial !== trial);
    if (news.made === 'stop') return { ...state, decided };
    const rung = rungOf(rungs, news.fidelity);
    const left =
      news.made === 'promote' ? goneOn(state.rungs, { at: rung - 1, trial, keptMax }) : state.rungs;
    return { rungs: left, decided, pending: [...state.pending, { trial, rung }] };
  }
  const entry = state.pending.find((one) => one.trial === trial);
  if (entry === undefined) return state;
  const pending = state.pending.filter((one) => one !== entry);
  const rung = state.rungs[entry.rung];
  if (news.kind !== 'measured' || rung === undefined) return { ...state, pending };
  const scored: Scored = [news.scores[0]!, trial];
  const grown = { ...rung, ...waitingWith(rung, scored, keptMax) };
  const after = { ...state, pending, rungs: state.rungs.with(entry.rung, grown) };
  if (spec.mode === 'promote') return after;
  return { ...after, decided: [...state.decided, judged(setting, entry, grown, scored)] };
}

/** With `mode: stop`: whether a result lets its trial go on. */
function judged(
  setting: Setting,
  { trial, rung }: { readonly trial: number; readonly rung: number },
  all: Rung,
  scored: Scored,
): Verdict {
  const { spec } = setting;
  const { waiting, promoted, better } = all;
  const size = sizeOfRung(all);
  // The first one goes on, or none ever would.
  const cut = Math.max(1, Math.floor(size / spec.eta));
  const rank = better + countBefore(waiting, scored) + countBefore(promoted, scored) + 1;
  const place = `rank ${rank} of ${size} (${scored[0].toFixed(4)}) ${atText(setting, rung)}`;
  return rank <= cut
    ? {
        trial,
        rung,
        kind: 'promote',
        reason: `${place}, among the best ${cut}, ${goesOnText(setting, rung + 1)}`,
      }
    : { trial, rung, kind: 'stop', reason: `${place}, not among the best ${cut}` };
}

/** With one more result that waits; beyond what is kept the worst is only counted. */
function waitingWith({ waiting, worse }: Rung, scored: Scored, keptMax: number) {
  const grown = withScored(waiting, scored);
  if (sizeOf(grown) <= keptMax) return { waiting: grown };
  return { waiting: withoutScored(grown, grown.at(-1)!.at(-1)!), worse: worse + 1 };
}

/** A trial has gone on from a rung; beyond what is kept the best of such is only counted. */
function goneOn(
  rungs: readonly Rung[],
  { at, trial, keptMax }: { readonly at: number; readonly trial: number; readonly keptMax: number },
): readonly Rung[] {
  const { waiting, promoted, better, ...rung } = rungs[at]!;
  const chunk = waiting.find((entries) => entries.some((one) => one[1] === trial));
  const entry = chunk?.find((one) => one[1] === trial);
  if (entry === undefined) return rungs;
  const grown = withScored(promoted, entry);
  const isFull = sizeOf(grown) > keptMax;
  return rungs.with(at, {
    ...rung,
    waiting: withoutScored(waiting, entry),
    promoted: isFull ? withoutScored(grown, grown[0]![0]!) : grown,
    better: better + (isFull ? 1 : 0),
  });
}
