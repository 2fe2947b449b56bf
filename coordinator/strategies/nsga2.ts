// NSGA-II (Deb et al., IEEE Transactions on Evolutionary Computation 6(2), 2002): several objectives, parents by
// tournaments of two on non-dominated rank and then on crowding. Each result enters the population as it is told,
// and the most crowded of the worst rank leaves (Durillo et al., "On the Effect of the Steady-State Selection
// Scheme in Multi-Objective Genetic Algorithms", EMO 2009), so that a lag of some results is all that it waits
// for. What breaks a constraint is refused before it is evaluated, which is the domination of every feasible
// candidate over every other.

import { type RandomStream, randomStream } from '../../core/rng.ts';
import { crowdingOf, ranksWithLast, type Scores } from '../../core/search/pareto.ts';
import type { Nsga2Spec } from '../../core/spec/strategy.ts';
import { trialText } from './prior.ts';
import { type GenesOf, rememberedGenes } from './remembered-genes.ts';
import { type SearchSpace, widthsOf } from './search-space.ts';
import type { News, Proposal, Strategy, Turn } from './strategy.ts';
import { crossed, firstDraw, mutated, mutationsAfter } from './variation.ts';

/** A network with its results. */
interface Member {
  readonly trial: number;
  readonly key: string;
  readonly scores: Scores;
  /** Fronts of the population that lie before its own. */
  readonly rank: number;
  /** Crowding distance within its front; null: infinite, as JSON has no such number. */
  readonly crowding: number | null;
}

/** What the search remembers: at most its population, and the moves that have no result. */
export interface Nsga2State {
  /** Candidates that were begun. */
  readonly begun: number;
  readonly population: readonly Member[];
  readonly pending: readonly { readonly trial: number; readonly key: string }[];
}

/** The strategy of a sweep. */
export function nsga2(spec: Nsga2Spec, space: SearchSpace): Strategy<Nsga2State> {
  const genesOf = rememberedGenes(space);
  return {
    learns: true,
    promotes: false,
    isWhole: true,
    drawCost: 4,
    begin: () => ({ begun: 0, population: [], pending: [] }),
    ask: (state, turn) => ask({ spec, space, genesOf }, state, turn),
    tell: (state, news) => tell(spec, state, news),
  };
}

function ask(
  { spec, space, genesOf }: { spec: Nsga2Spec; space: SearchSpace; genesOf: GenesOf },
  state: Nsga2State,
  turn: Turn,
): Proposal {
  const { begun, population } = state;
  const { seed, population: first } = spec;
  const isNothingKnown = population.length === 0;
  const start = firstDraw(space, { seed, draw: turn.draw, begun, first, isNothingKnown });
  if (start !== undefined) return start;
  const random = randomStream({ seed: spec.seed, purpose: 'nsga2', at: [turn.draw, 0] });
  const parent = winner(population, random);
  const other = random.chance(spec.crossover) ? winner(population, random) : parent;
  const genes = crossed(genesOf(parent), genesOf(other), random);
  const count = mutationsAfter(turn.misses, spec.mutations);
  const text = ({ trial, rank }: Member) => `${trialText(trial, spec.from)} (front ${rank + 1})`;
  const isChild = other.trial !== parent.trial;
  return {
    kind: 'evaluate',
    reason: isChild
      ? `a child of ${text(parent)} and ${text(other)}, which won tournaments`
      : `a mutation of ${text(parent)}, which won a tournament`,
    genes: mutated(genes, widthsOf(space), count, random),
    parents: isChild ? [parent.trial, other.trial] : [parent.trial],
  };
}

/** The better of two that are drawn at random. */
function winner(population: readonly Member[], random: RandomStream): Member {
  const one = population[random.integer(population.length)]!;
  const other = population[random.integer(population.length)]!;
  return isBefore(other, one) ? other : one;
}

function isBefore(a: Member, b: Member): boolean {
  return a.rank < b.rank || (a.rank === b.rank && distanceOf(a) > distanceOf(b));
}

const distanceOf = ({ crowding }: Member): number => crowding ?? Number.POSITIVE_INFINITY;

function tell(spec: Nsga2Spec, state: Nsga2State, news: News): Nsga2State {
  const { begun, population, pending } = state;
  if (news.kind === 'moved') {
    const { trial, key } = news;
    return { begun: begun + 1, population, pending: [...pending, { trial, key }] };
  }
  const entry = pending.find(({ trial }) => trial === news.trial);
  if (entry === undefined) return state;
  const rest = pending.filter((one) => one !== entry);
  if (news.kind !== 'measured') return { begun, population, pending: rest };
  const grown = withMember(population, { ...entry, scores: news.scores });
  return { begun, population: survivors(grown, spec.population), pending: rest };
}

/** Ranked anew; only fronts that have changed are crowded anew. */
function withMember(
  population: readonly Member[],
  entry: Omit<Member, 'rank' | 'crowding'>,
): readonly Member[] {
  const { trial, key, scores } = entry;
  const all = [...population, { trial, key, scores, rank: -1, crowding: null }];
  const ranks = ranksWithLast(
    all.map((one) => one.scores),
    population.map(({ rank }) => rank),
  );
  const changed = new Set<number>();
  const ranked = all.map((one, at) => {
    const rank = ranks[at]!;
    if (rank === one.rank) return one;
    changed.add(rank);
    if (one.rank >= 0) changed.add(one.rank);
    return { ...one, rank };
  });
  return crowdedIn(ranked, changed);
}

/** Without the most crowded of the last front where there is one too many. */
function survivors(members: readonly Member[], most: number): readonly Member[] {
  if (members.length <= most) return members;
  // Of equal ones the later leaves, as it shows nothing that is not known.
  const last = members.reduce((worst, one) => (isBefore(worst, one) || !isBefore(one, worst) ? one : worst));
  // It dominates none, so that all others keep their ranks.
  return crowdedIn(
    members.filter((one) => one !== last),
    new Set([last.rank]),
  );
}

/** With the crowding of these fronts as it is now. */
function crowdedIn(members: readonly Member[], ranks: ReadonlySet<number>): readonly Member[] {
  const placed = [...members];
  for (const rank of ranks) {
    const places = members.flatMap((one, at) => (one.rank === rank ? [at] : []));
    const distances = crowdingOf(places.map((at) => members[at]!.scores));
    places.forEach((at, i) => {
      const crowding = Number.isFinite(distances[i]!) ? distances[i]! : null;
      if (crowding !== placed[at]!.crowding) placed[at] = { ...placed[at]!, crowding };
    });
  }
  return placed;
}
