// Ranking by inherited weights (Guo et al., "Single Path One-Shot Neural Architecture Search with Uniform Sampling",
// ECCV 2020): candidates are evaluated as parts of a search network that is trained already, proposed by evolution or
// at random, and when all have a result the best of them are trained. Inherited weights are known to rank badly (Yu et
// al., "Evaluating the Search Phase of Neural Architecture Search", ICLR 2020), so a sample over the whole ranking is
// trained too, and how far both agree is a part of the search's end.

import { comparisonRanks, rankAgreement } from '../../core/search/inherited.ts';
import type { OneShotSpec } from '../../core/spec/strategy.ts';
import { type EvolutionState, evolution } from './evolution.ts';
import { randomSearch } from './random-search.ts';
import { trialsText } from './rungs.ts';
import type { SearchSpace } from './search-space.ts';
import { type Scored, type SortedList, sizeOf, withScored } from './sorted-list.ts';
import type { News, NoState, Proposal, Strategy, Turn } from './strategy.ts';

/** What the search remembers: the state of whoever proposes, all inherited results, and the trained ones. */
export interface OneShotState {
  readonly proposing: EvolutionState | NoState;
  /** With inherited weights, best first. */
  readonly inherited: SortedList;
  /** Trials that have no result of that kind yet. */
  readonly pending: readonly number[];
  /** Trials that are trained or were, in the order of their choice. */
  readonly chosen: readonly Chosen[];
}

/** A candidate that is trained. */
interface Chosen {
  readonly trial: number;
  /** With inherited weights. */
  readonly inherited: number;
  /** It is one of those whose ranks are compared. */
  readonly isSample: boolean;
  /** Once it has ended: its accuracy after training, or null where it has none. */
  readonly trained?: number | null;
}

type Proposing = Strategy<EvolutionState | NoState>;

/** The strategy of a sweep. */
export function oneShot(spec: OneShotSpec, space: SearchSpace): Strategy<OneShotState> {
  const proposing: Proposing =
    spec.propose === 'random'
      ? (randomSearch(spec, space) as Proposing)
      : (evolution({ ...spec, kind: 'evolution' }, space) as Proposing);
  return {
    learns: true,
    promotes: true,
    isWhole: true,
    drawCost: proposing.drawCost,
    begin: () => ({ proposing: proposing.begin(), inherited: [], pending: [], chosen: [] }),
    ask: (state, turn) => ask({ spec, proposing }, state, turn),
    tell: (state, news) => tell({ spec, proposing }, state, news),
  };
}

interface Setting {
  readonly spec: OneShotSpec;
  readonly proposing: Proposing;
}

function ask({ spec, proposing }: Setting, state: OneShotState, turn: Turn): Proposal {
  const { inherited, pending, chosen } = state;
  if (turn.mayBegin) {
    const proposal = proposing.ask(state.proposing, turn);
    return proposal.kind === 'evaluate'
      ? { ...proposal, fidelity: { inherited: spec.calibration } }
      : proposal;
  }
  if (pending.length > 0)
    return {
      kind: 'wait',
      reason: `the best are trained when all candidates have an inherited accuracy, which ${trialsText(pending)} ${pending.length === 1 ? 'has' : 'have'} not`,
    };
  const next = choiceOf(spec, inherited)[chosen.length];
  if (next !== undefined)
    return {
      kind: 'promote',
      trial: next.entry[1],
      reason: `rank ${next.rank + 1} of ${sizeOf(inherited)} with inherited weights (${next.entry[0].toFixed(4)}), ${whyText(spec, next)}`,
    };
  const open = chosen.filter(({ trained }) => trained === undefined).map(({ trial }) => trial);
  if (open.length > 0)
    return {
      kind: 'wait',
      reason: `all that were chosen are in training, and ${trialsText(open)} ${open.length === 1 ? 'has' : 'have'} no result yet`,
    };
  return { kind: 'done', reason: agreementText(state) };
}

interface Choice {
  readonly entry: Scored;
  /** From 0. */
  readonly rank: number;
  readonly isBest: boolean;
  readonly isSample: boolean;
}

/** Which candidates are trained, the best first. */
function choiceOf({ train, tauSample }: OneShotSpec, inherited: SortedList): Choice[] {
  const count = sizeOf(inherited);
  const sample = new Set(comparisonRanks(count, tauSample));
  const best = Array.from({ length: Math.min(train, count) }, (_, rank) => rank);
  const ranks = [...new Set([...best, ...sample])].sort((a, b) => a - b);
  const entries = entriesAt(inherited, ranks);
  return ranks.map((rank, i) => ({
    ...{ entry: entries[i]!, rank },
    ...{ isBest: rank < train, isSample: sample.has(rank) },
  }));
}

/** The entries at these places, which ascend. */
function entriesAt(list: SortedList, places: readonly number[]): Scored[] {
  const found: Scored[] = [];
  let first = 0;
  for (const chunk of list) {
    while (found.length < places.length && places[found.length]! < first + chunk.length)
      found.push(chunk[places[found.length]! - first]!);
    first += chunk.length;
  }
  return found;
}

const whyText = ({ train, tauSample }: OneShotSpec, { isBest, isSample }: Choice): string =>
  [
    ...(isBest ? [`one of the best ${train}, which are trained`] : []),
    ...(isSample
      ? [`${isBest ? 'and ' : ''}one of ${tauSample} whose ranks are compared after training`]
      : []),
  ].join(' ');

function tell({ spec, proposing }: Setting, state: OneShotState, news: News): OneShotState {
  const { trial } = news;
  if (news.kind === 'moved') {
    if (news.made === 'evaluate')
      return {
        ...state,
        proposing: proposing.tell(state.proposing, news),
        pending: [...state.pending, trial],
      };
    const choice = choiceOf(spec, state.inherited).find(({ entry }) => entry[1] === trial);
    if (choice === undefined) return state;
    const { entry, isSample } = choice;
    return { ...state, chosen: [...state.chosen, { trial, inherited: entry[0], isSample }] };
  }
  const score = news.kind === 'measured' ? news.scores[0]! : undefined;
  if (state.pending.includes(trial))
    return {
      ...state,
      proposing: proposing.tell(state.proposing, news),
      pending: state.pending.filter((one) => one !== trial),
      inherited: score === undefined ? state.inherited : withScored(state.inherited, [score, trial]),
    };
  const at = state.chosen.findIndex((one) => one.trial === trial);
  if (at < 0) return state;
  const ended = { ...state.chosen[at]!, trained: score ?? null };
  return { ...state, chosen: state.chosen.with(at, ended) };
}

/** How far inherited and trained accuracies of the sample agree, in words. */
function agreementText({ chosen }: OneShotState): string {
  const both = chosen.flatMap(({ isSample, inherited, trained }) =>
    isSample && typeof trained === 'number' ? [{ inherited, trained }] : [],
  );
  const { tau, low, high, candidates } = rankAgreement(
    both.map(({ inherited }) => inherited),
    both.map(({ trained }) => trained),
  );
  const sample = `of the ${candidates} candidates of the sample that were trained`;
  if (!Number.isFinite(tau)) return `Kendall's tau ${sample} is not known, because they have no order`;
  const number = (value: number) => value.toFixed(2);
  const interval = Number.isFinite(low) ? ` (95 % interval ${number(low)} to ${number(high)})` : '';
  return `Kendall's tau between inherited and trained accuracy ${sample} is ${number(tau)}${interval}`;
}
