// Hyperband (Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", JMLR 18, 2018,
// algorithm 1): brackets of successive halving, from one with many candidates that begin with few epochs to one
// whose few candidates get the full evaluation at once, and then again. Within a bracket the best 1/eta of a rung
// go on once all of the rung have a result; meanwhile the next bracket begins.

import type { HyperbandSpec } from '../../core/spec/strategy.ts';
import { atText, beginsText, fidelityOf, goesOnText, type Rungs, rungsFor, trialsText } from './rungs.ts';
import type { SearchSpace } from './search-space.ts';
import type { Scored } from './sorted-list.ts';
import type { News, Proposal, Strategy, Turn } from './strategy.ts';

/** The trials of a bracket at one rung. */
interface Level {
  /** Best first. */
  readonly results: readonly Scored[];
  readonly pending: readonly number[];
  /** How many of the best have gone on. */
  readonly promoted: number;
}

interface Bracket {
  /** From 1. */
  readonly number: number;
  /** The rung at which its trials begin. */
  readonly first: number;
  /** Trials that were begun. */
  readonly begun: number;
  /** From its first rung on. */
  readonly levels: readonly Level[];
}

/** What the search remembers: the brackets that are open, oldest first, and how many there were. */
export interface HyperbandState {
  readonly begun: number;
  readonly open: readonly Bracket[];
}

const NO_LEVEL: Level = { results: [], pending: [], promoted: 0 };

interface Setting {
  readonly spec: HyperbandSpec;
  readonly space: SearchSpace;
  readonly rungs: Rungs;
}

/** The strategy of a sweep whose full evaluation has so many epochs. */
export function hyperband(spec: HyperbandSpec, space: SearchSpace, epochs: number): Strategy<HyperbandState> {
  const rungs = rungsFor(spec, epochs);
  const setting = { spec, space, rungs };
  return {
    learns: true,
    promotes: true,
    isWhole: true,
    drawCost: 2,
    begin: () => ({ begun: 0, open: [] }),
    ask: (state, turn) => ask(setting, state, turn),
    tell: (state, news) => tell(setting, state, news),
  };
}

/** Candidates of a bracket: as many that all brackets take about as many epochs. */
function trialsOf({ spec, rungs }: Setting, first: number): number {
  const halvings = rungs.length - 1 - first;
  return Math.ceil((rungs.length / (halvings + 1)) * spec.eta ** halvings);
}

/** The first rung of a bracket: the lowest, then one higher each, and from the start again. */
const firstRungOf = ({ rungs }: Setting, number: number): number => (number - 1) % rungs.length;

function ask(setting: Setting, { begun, open }: HyperbandState, turn: Turn): Proposal {
  const { spec, space } = setting;
  for (const bracket of open) {
    const found = promotable(setting, bracket, turn.mayBegin);
    if (found !== undefined) return found;
  }
  const newest = open.at(-1);
  const isFull = newest === undefined || newest.begun >= trialsOf(setting, newest.first);
  const number = isFull ? begun + 1 : newest.number;
  const first = firstRungOf(setting, number);
  if (turn.mayBegin)
    return {
      kind: 'evaluate',
      reason: `drawn at random for bracket ${number}, ${beginsText(setting, first)}`,
      genes: space.draw(spec.seed, turn.draw),
      parents: [],
      ...fidelityOf(setting, first),
    };
  const wait = open.flatMap((bracket) => waitText(setting, bracket) ?? [])[0];
  if (wait !== undefined) return { kind: 'wait', reason: wait };
  return { kind: 'done', reason: 'every bracket is at its end' };
}

/** The trial of a bracket that goes on next; undefined while its rung waits for results. */
function promotable(setting: Setting, bracket: Bracket, mayBegin: boolean): Proposal | undefined {
  const { spec, rungs } = setting;
  const { first, begun, levels, number } = bracket;
  let isComplete = begun >= trialsOf(setting, first) || !mayBegin;
  for (const [at, { results, pending, promoted }] of levels.entries()) {
    isComplete &&= pending.length === 0;
    const rung = first + at;
    if (!isComplete || rung >= rungs.length - 1) return undefined;
    const cut = cutOf(spec, results.length);
    if (promoted < cut) {
      const [score, trial] = results[promoted]!;
      return {
        kind: 'promote',
        trial,
        reason: `rank ${promoted + 1} of ${results.length} (${score.toFixed(4)}) of bracket ${number} ${atText(setting, rung)}, among the best ${cut}, ${goesOnText(setting, rung + 1)}`,
        ...fidelityOf(setting, rung + 1),
      };
    }
  }
  return undefined;
}

/** Which rung of a bracket lacks which results; undefined where none does. */
function waitText(setting: Setting, { number, first, levels }: Bracket): string | undefined {
  const { spec, rungs } = setting;
  const at = levels.findIndex(({ pending }) => pending.length > 0);
  const level = levels[at];
  if (level === undefined) return undefined;
  const { results, pending } = level;
  const size = results.length + pending.length;
  const rung = first + at;
  const after = rung === rungs.length - 1 ? '' : `, of which the best ${cutOf(spec, size)} go on`;
  return `bracket ${number} has ${results.length} of ${size} results ${atText(setting, rung)}${after}: ${trialsText(pending)} ${pending.length === 1 ? 'has' : 'have'} none yet`;
}

/** How many of a rung go on: a share, and at least one where there is a result. */
const cutOf = ({ eta }: HyperbandSpec, results: number): number =>
  results === 0 ? 0 : Math.max(1, Math.floor(results / eta));

function tell(setting: Setting, state: HyperbandState, news: News): HyperbandState {
  const { trial } = news;
  if (news.kind === 'moved') {
    if (news.made === 'evaluate') return withTrial(setting, state, trial);
    return changed(state, (bracket) => goneOn(bracket, trial));
  }
  return closed(
    setting,
    changed(state, (bracket) => {
      const at = bracket.levels.findIndex(({ pending }) => pending.includes(trial));
      if (at < 0) return undefined;
      const level = bracket.levels[at]!;
      const pending = level.pending.filter((one) => one !== trial);
      const results =
        news.kind === 'measured' ? withResult(level.results, [news.scores[0]!, trial]) : level.results;
      return { ...bracket, levels: bracket.levels.with(at, { ...level, pending, results }) };
    }),
  );
}

function withTrial(setting: Setting, { begun, open }: HyperbandState, trial: number): HyperbandState {
  const newest = open.at(-1);
  if (newest !== undefined && newest.begun < trialsOf(setting, newest.first)) {
    const [level = NO_LEVEL, ...others] = newest.levels;
    const levels = [{ ...level, pending: [...level.pending, trial] }, ...others];
    return { begun, open: open.with(-1, { ...newest, begun: newest.begun + 1, levels }) };
  }
  const number = begun + 1;
  const first = firstRungOf(setting, number);
  const levels = [{ ...NO_LEVEL, pending: [trial] }];
  return { begun: number, open: [...open, { number, first, begun: 1, levels }] };
}

/** The trial goes on from the level that has its result and the next in line. */
function goneOn(bracket: Bracket, trial: number): Bracket | undefined {
  const at = bracket.levels.findIndex(({ results, promoted }) => results[promoted]?.[1] === trial);
  if (at < 0) return undefined;
  const level = bracket.levels[at]!;
  const next = bracket.levels[at + 1] ?? NO_LEVEL;
  const levels = bracket.levels.with(at, { ...level, promoted: level.promoted + 1 });
  levels[at + 1] = { ...next, pending: [...next.pending, trial] };
  return { ...bracket, levels };
}

/** With the first bracket changed that the change is about. */
function changed(
  { begun, open }: HyperbandState,
  change: (bracket: Bracket) => Bracket | undefined,
): HyperbandState {
  for (const [at, bracket] of open.entries()) {
    const after = change(bracket);
    if (after !== undefined) return { begun, open: open.with(at, after) };
  }
  return { begun, open };
}

/** Without the brackets that are at their end. */
function closed(setting: Setting, { begun, open }: HyperbandState): HyperbandState {
  const isOpen = (bracket: Bracket): boolean =>
    bracket.begun < trialsOf(setting, bracket.first) ||
    bracket.levels.some(({ pending }) => pending.length > 0) ||
    promotable(setting, bracket, true) !== undefined;
  return { begun, open: open.filter(isOpen) };
}

function withResult(results: readonly Scored[], result: Scored): readonly Scored[] {
  // Of equal ones the earlier trial stands first.
  const place = results.findIndex(
    ([score, trial]) => score < result[0] || (score === result[0] && trial > result[1]),
  );
  return results.toSpliced(place < 0 ? results.length : place, 0, result);
}
