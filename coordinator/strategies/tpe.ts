// A tree-structured Parzen estimator over categorical genes (Bergstra et al., "Algorithms for Hyper-Parameter
// Optimization", NeurIPS 2011, section 4): the best share of the results is told from the others, a density l is
// fitted to the ones and g to the others, candidates are drawn from l, and the one with the largest l / g is
// proposed. Candidates that are being evaluated count among the others (the constant liar), so that proposals at
// the same time differ.
//
// Each gene has densities of its own: of the counts of its values, smoothed by the uniform one. The best are kept
// one by one, of all others only the counts, so that the state does not grow with the results. The densities follow
// from the state alone and are computed once for each, because refused proposals come back to the same one. (Densities that keep
// together what is good together needed 1.6 times the evaluations on tables of measured networks:
// `npm run bench:search`.)

import { type RandomStream, randomStream } from '../../core/rng.ts';
import type { TpeSpec } from '../../core/spec/strategy.ts';
import { type GenesOf, rememberedGenes } from './remembered-genes.ts';
import { type Genes, type SearchSpace, widthsOf } from './search-space.ts';
import type { News, Proposal, Strategy, Turn } from './strategy.ts';
import { firstDraw } from './variation.ts';

/** A network with its result. */
interface Member {
  readonly trial: number;
  readonly key: string;
  readonly score: number;
}

/** What the search remembers: some of the best, counts by value, and the moves that have no result. */
export interface TpeState {
  /** Candidates that were begun. */
  readonly begun: number;
  /** The best first, at most `bestMax` of the spec. */
  readonly best: readonly Member[];
  /** Results that were measured. */
  readonly measured: number;
  /** By gene and value: candidates that were begun. */
  readonly counts: readonly (readonly number[])[];
  readonly pending: readonly { readonly trial: number; readonly key: string }[];
}

/** Refused proposals in a row after which the uniform density weighs twice as much in l. */
const MISSES_DOUBLING = 16;

/** The strategy of a sweep. */
export function tpe(spec: TpeSpec, space: SearchSpace): Strategy<TpeState> {
  const widths = widthsOf(space);
  const densitiesOf = densities(spec, widths, rememberedGenes(space));
  return {
    learns: true,
    promotes: false,
    isWhole: true,
    drawCost: 2,
    begin: () => ({
      ...{ begun: 0, best: [], measured: 0, pending: [] },
      counts: widths.map((width) => new Array<number>(width).fill(0)),
    }),
    ask: (state, turn) => ask({ spec, space, densitiesOf }, state, turn),
    tell: (state, news) => tell({ spec, space }, state, news),
  };
}

function ask(
  search: { spec: TpeSpec; space: SearchSpace; densitiesOf: ReturnType<typeof densities> },
  state: TpeState,
  turn: Turn,
): Proposal {
  const { spec, space, densitiesOf } = search;
  const { seed, startup: first } = spec;
  const isNothingKnown = state.best.length === 0;
  const start = firstDraw(space, { seed, draw: turn.draw, begun: state.begun, first, isNothingKnown });
  if (start !== undefined) return start;
  const random = randomStream({ seed: spec.seed, purpose: 'tpe', at: [turn.draw, 0] });
  const { goodCount, ofGenes } = densitiesOf(state, turn.misses);
  const genes = ofGenes.map((densities) => drawn(densities, spec.candidates, random));
  const ratio = genes.reduce((sum, value, gene) => sum + Math.log(ratioOf(ofGenes[gene]!, value)), 0);
  return {
    kind: 'evaluate',
    reason: `exp(${ratio.toFixed(2)}) times as likely among the best ${goodCount} of ${state.measured} results as among the others`,
    genes,
    parents: [],
  };
}

/** l and g of one gene: the share of each value. */
export interface Densities {
  readonly good: readonly number[];
  readonly others: readonly number[];
}

/** What the densities follow from, by gene: counts of the good and g. */
interface Counted {
  readonly goodCount: number;
  readonly good: readonly (readonly number[])[];
  readonly others: readonly (readonly number[])[];
}

/** The densities of a state after so many refused proposals in a row. */
function densities(
  spec: TpeSpec,
  widths: readonly number[],
  genesOf: GenesOf,
): (state: TpeState, misses: number) => { readonly goodCount: number; readonly ofGenes: Densities[] } {
  const known = new WeakMap<TpeState, Counted>();
  const countedIn = (state: TpeState): Counted => {
    const goodCount = Math.min(
      spec.bestMax,
      Math.max(1, Math.ceil(spec.gamma * state.measured)),
      state.best.length,
    );
    const best = state.best.slice(0, goodCount).map(genesOf);
    const good = widths.map((width, gene) => countsOf(best, gene, width));
    const others = state.counts.map((counts, gene) =>
      smoothed(
        counts.map((count, value) => count - good[gene]![value]!),
        spec.priorWeight,
      ),
    );
    return { goodCount, good, others };
  };
  return (state, misses) => {
    const counted = known.get(state) ?? countedIn(state);
    known.set(state, counted);
    const { goodCount, good, others } = counted;
    // What is proposed again and again is known: then the uniform density gets more to say.
    const uniform = spec.priorWeight * (1 + misses / MISSES_DOUBLING);
    const ofGenes = good.map((counts, gene) => ({ good: smoothed(counts, uniform), others: others[gene]! }));
    return { goodCount, ofGenes };
  };
}

function countsOf(candidates: readonly Genes[], gene: number, width: number): number[] {
  const counts = new Array<number>(width).fill(0);
  for (const genes of candidates) counts[genes[gene]!]! += 1;
  return counts;
}

/** Shares of values with the uniform density added, which weighs as much as `weight` candidates; their sum is 1. */
export function smoothed(counts: readonly number[], weight: number): number[] {
  const sum = counts.reduce((total, count) => total + count, weight);
  return counts.map((count) => (count + weight / counts.length) / sum);
}

/** The value of the largest l / g among some that are drawn from l; the first of equal ones. */
function drawn(densities: Densities, candidates: number, random: RandomStream): number {
  let chosen = drawnFrom(densities.good, random);
  for (let count = 1; count < candidates; count++) {
    const value = drawnFrom(densities.good, random);
    if (ratioOf(densities, value) > ratioOf(densities, chosen)) chosen = value;
  }
  return chosen;
}

function drawnFrom(shares: readonly number[], random: RandomStream): number {
  let left = random.uniform();
  const value = shares.findIndex((share) => {
    left -= share;
    return left < 0;
  });
  return value < 0 ? shares.length - 1 : value;
}

const ratioOf = ({ good, others }: Densities, value: number): number => good[value]! / others[value]!;

function tell({ spec, space }: { spec: TpeSpec; space: SearchSpace }, state: TpeState, news: News): TpeState {
  const { begun, pending } = state;
  if (news.kind === 'moved') {
    const { trial, key } = news;
    const genes = space.genesOf(key);
    const counts = state.counts.map((of, gene) => of.with(genes[gene]!, of[genes[gene]!]! + 1));
    return { ...state, begun: begun + 1, counts, pending: [...pending, { trial, key }] };
  }
  const entry = pending.find(({ trial }) => trial === news.trial);
  if (entry === undefined) return state;
  const told = { ...state, pending: pending.filter((one) => one !== entry) };
  if (news.kind !== 'measured') return told;
  const member = { ...entry, score: news.scores[0]! };
  // Of equal ones the earlier stands first.
  const place = state.best.findIndex(({ score }) => score < member.score);
  const best = place < 0 ? [...state.best, member] : state.best.toSpliced(place, 0, member);
  return { ...told, measured: state.measured + 1, best: best.slice(0, spec.bestMax) };
}
