// Regularised evolution (Real et al., "Regularized Evolution for Image Classifier Architecture Search", AAAI
// 2019, algorithm 1): the population is the newest results, and the oldest of it dies, however good it is. A
// child is the best of a random sample with one gene changed. With some probability its genes come from two
// such parents before that.

import { type RandomStream, randomStream } from '../../core/rng.ts';
import type { EvolutionSpec } from '../../core/spec/strategy.ts';
import { trialText } from './prior.ts';
import { type GenesOf, rememberedGenes } from './remembered-genes.ts';
import { type SearchSpace, widthsOf } from './search-space.ts';
import type { News, Proposal, Strategy, Turn } from './strategy.ts';
import { crossed, firstDraw, mutated, mutationsAfter, sampled } from './variation.ts';

/** A network with its result. */
interface Member {
  readonly trial: number;
  readonly key: string;
  readonly score: number;
}

/** What an evolution remembers: at most its population, and the moves that have no result. */
export interface EvolutionState {
  /** Candidates that were begun. */
  readonly begun: number;
  /** The oldest first. */
  readonly population: readonly Member[];
  readonly pending: readonly { readonly trial: number; readonly key: string }[];
}

/** The strategy of a sweep. */
export function evolution(spec: EvolutionSpec, space: SearchSpace): Strategy<EvolutionState> {
  const genesOf = rememberedGenes(space);
  return {
    learns: true,
    promotes: false,
    isWhole: true,
    drawCost: 2,
    begin: () => ({ begun: 0, population: [], pending: [] }),
    ask: (state, turn) => ask({ spec, space, genesOf }, state, turn),
    tell: (state, news) => tell(spec, state, news),
  };
}

function ask(
  { spec, space, genesOf }: { spec: EvolutionSpec; space: SearchSpace; genesOf: GenesOf },
  state: EvolutionState,
  turn: Turn,
): Proposal {
  const { begun, population } = state;
  const { seed, population: first } = spec;
  const isNothingKnown = population.length === 0;
  const start = firstDraw(space, { seed, draw: turn.draw, begun, first, isNothingKnown });
  if (start !== undefined) return start;
  const random = randomStream({ seed: spec.seed, purpose: 'evolution', at: [turn.draw, 0] });
  const parent = fittest(population, spec.sample, random);
  const other = random.chance(spec.crossover) ? fittest(population, spec.sample, random) : undefined;
  const genes = genesOf(parent);
  const mixed = other === undefined ? genes : crossed(genes, genesOf(other), random);
  const count = mutationsAfter(turn.misses, spec.mutations);
  const text = ({ trial, score }: Member) => `${trialText(trial, spec.from)} (${score.toFixed(4)})`;
  const isChild = other !== undefined && other.trial !== parent.trial;
  const among = `best of ${Math.min(spec.sample, population.length)} among the newest ${population.length}`;
  return {
    kind: 'evaluate',
    reason: isChild
      ? `a child of ${text(parent)} and ${text(other)}, each the ${among}`
      : `a mutation of ${text(parent)}, the ${among}`,
    genes: mutated(mixed, widthsOf(space), count, random),
    parents: isChild ? [parent.trial, other.trial] : [parent.trial],
  };
}

/** The best of a random sample; the newer one where two are equal. */
function fittest(population: readonly Member[], sample: number, random: RandomStream): Member {
  return sampled(population, sample, random).reduce((best, one) =>
    one.score > best.score || (one.score === best.score && one.trial > best.trial) ? one : best,
  );
}

function tell(spec: EvolutionSpec, state: EvolutionState, news: News): EvolutionState {
  const { begun, population, pending } = state;
  if (news.kind === 'moved') {
    const { trial, key } = news;
    return { begun: begun + 1, population, pending: [...pending, { trial, key }] };
  }
  const entry = pending.find(({ trial }) => trial === news.trial);
  if (entry === undefined) return state;
  const rest = pending.filter((one) => one !== entry);
  if (news.kind !== 'measured') return { begun, population, pending: rest };
  const grown = [...population, { ...entry, score: news.scores[0]! }];
  return { begun, population: grown.slice(-spec.population), pending: rest };
}
