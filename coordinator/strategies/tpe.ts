// A tree-structured Parzen estimator over categorical genes (Bergstra et al., "Algorithms for Hyper-Parameter
// Optimization", NeurIPS 2011, section 4): the best share of the results is told from the others, a density l is
// fitted to the ones and g to the others, candidates are drawn from l, and the one with the largest l / g is
// proposed. Candidates that are being evaluated count among the others (the constant liar), so that proposals at
// the same time differ.
//
// Densities are a mixture of the uniform one and one kernel a result. Those of the best are kept one by one, so
// that l has values that are good together; of all others the counts of each value are kept, as if genes were
// independent, so that the state does not grow with the results.

import { type RandomStream, randomStream } from '../../core/rng.ts';
import type { TpeSpec } from '../../core/spec/strategy.ts';
import { type Genes, type SearchSpace, widthsOf } from './search-space.ts';
import type { News, Proposal, Strategy, Turn } from './strategy.ts';

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
  /** Results, failures included. */
  readonly told: number;
  /** Results that were measured. */
  readonly measured: number;
  /** By gene and value: candidates among those that were told. */
  readonly counts: readonly (readonly number[])[];
  readonly pending: readonly { readonly trial: number; readonly key: string }[];
}

/** Refused proposals in a row after which kernels are half as narrow; fewer candidates are compared, too. */
const MISSES_HALVING = 16;

/** The strategy of a sweep. */
export function tpe(spec: TpeSpec, space: SearchSpace): Strategy<TpeState> {
  const widths = widthsOf(space);
  return {
    learns: true,
    promotes: false,
    isWhole: true,
    begin: () => ({
      ...{ begun: 0, best: [], told: 0, measured: 0, pending: [] },
      counts: widths.map((width) => new Array<number>(width).fill(0)),
    }),
    ask: (state, turn) => ask({ spec, space, widths }, state, turn),
    tell: (state, news) => tell({ spec, space }, state, news),
  };
}

function ask(
  search: { spec: TpeSpec; space: SearchSpace; widths: readonly number[] },
  state: TpeState,
  turn: Turn,
): Proposal {
  const { spec, space, widths } = search;
  if (state.begun < spec.startup || state.best.length === 0)
    return {
      kind: 'evaluate',
      reason:
        state.begun < spec.startup
          ? `one of the first ${spec.startup}, drawn at random`
          : 'drawn at random, because no trial has a result yet',
      genes: space.draw(spec.seed, turn.draw),
      parents: [],
    };
  const random = randomStream({ seed: spec.seed, purpose: 'tpe', at: [turn.draw, 0] });
  const densities = densitiesOf({ spec, space, widths }, state, turn.misses);
  let chosen: { readonly genes: Genes; readonly ratio: number } | undefined;
  for (let count = Math.max(1, spec.candidates - turn.misses); count > 0; count--) {
    const genes = drawnFrom(densities, random);
    const ratio = logRatio(densities, genes);
    if (chosen === undefined || ratio > chosen.ratio) chosen = { genes, ratio };
  }
  const good = densities.good.length;
  return {
    kind: 'evaluate',
    reason: `exp(${chosen!.ratio.toFixed(2)}) times as likely among the best ${good} of ${state.measured} results as among the others`,
    genes: chosen!.genes,
    parents: [],
  };
}

/** What l and g are made of. */
export interface Densities {
  readonly widths: readonly number[];
  /** The genes of the best. */
  readonly good: readonly Genes[];
  /** By gene and value: candidates among all others. */
  readonly others: readonly (readonly number[])[];
  /** How many the others are. */
  readonly otherCount: number;
  /** The weight of the uniform density, in results. */
  readonly priorWeight: number;
  /** The probability that a kernel gives to a gene's own value, before its share of the uniform density. */
  readonly bandwidth: number;
}

function densitiesOf(
  { spec, space, widths }: { spec: TpeSpec; space: SearchSpace; widths: readonly number[] },
  state: TpeState,
  misses: number,
): Densities {
  const goodCount = Math.min(
    spec.bestMax,
    Math.max(1, Math.ceil(spec.gamma * state.measured)),
    state.best.length,
  );
  const good = state.best.slice(0, goodCount).map(({ key }) => space.genesOf(key));
  const others = state.counts.map((counts) => [...counts]);
  const add = (genes: Genes, weight: number) => {
    for (const [gene, value] of genes.entries()) others[gene]![value]! += weight;
  };
  for (const genes of good) add(genes, -1);
  for (const { key } of state.pending) add(space.genesOf(key), 1);
  return {
    ...{ widths, good, others, priorWeight: spec.priorWeight },
    bandwidth: spec.bandwidth / (1 + misses / MISSES_HALVING),
    otherCount: state.told - goodCount + state.pending.length,
  };
}

/** Genes drawn from l: a kernel or the uniform density, then each gene. */
function drawnFrom({ widths, good, priorWeight, bandwidth }: Densities, random: RandomStream): number[] {
  const at = random.uniform(0, good.length + priorWeight);
  const centre = good[Math.floor(at)];
  return widths.map((width, gene) =>
    centre !== undefined && random.chance(bandwidth) ? centre[gene]! : random.integer(width),
  );
}

/** log l(genes) - log g(genes). */
export function logRatio(densities: Densities, genes: Genes): number {
  const { widths, good, others, otherCount, priorWeight, bandwidth } = densities;
  const uniform = widths.reduce((product, width) => product / width, 1);
  let sum = priorWeight * uniform;
  for (const centre of good)
    sum += genes.reduce(
      (product, value, gene) =>
        product * ((value === centre[gene] ? bandwidth : 0) + (1 - bandwidth) / widths[gene]!),
      1,
    );
  const logGood = Math.log(sum / (good.length + priorWeight));
  const logOthers = genes.reduce(
    (total, value, gene) =>
      total + Math.log((others[gene]![value]! + priorWeight / widths[gene]!) / (otherCount + priorWeight)),
    0,
  );
  return logGood - logOthers;
}

function tell({ spec, space }: { spec: TpeSpec; space: SearchSpace }, state: TpeState, news: News): TpeState {
  const { begun, pending } = state;
  if (news.kind === 'moved') {
    const { trial, key } = news;
    return { ...state, begun: begun + 1, pending: [...pending, { trial, key }] };
  }
  const entry = pending.find(({ trial }) => trial === news.trial);
  if (entry === undefined) return state;
  const genes = space.genesOf(entry.key);
  const told = {
    ...state,
    pending: pending.filter((one) => one !== entry),
    told: state.told + 1,
    counts: state.counts.map((counts, gene) =>
      counts.map((count, value) => (value === genes[gene] ? count + 1 : count)),
    ),
  };
  if (news.kind !== 'measured') return told;
  const member = { ...entry, score: news.scores[0]! };
  // Of equal ones the earlier stands first.
  const place = state.best.findIndex(({ score }) => score < member.score);
  const best = place < 0 ? [...state.best, member] : state.best.toSpliced(place, 0, member);
  return { ...told, measured: state.measured + 1, best: best.slice(0, spec.bestMax) };
}
