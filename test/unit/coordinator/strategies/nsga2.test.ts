import assert from 'node:assert/strict';
import test from 'node:test';
import { nsga2 } from '../../../../coordinator/strategies/nsga2.ts';
import { randomSearch } from '../../../../coordinator/strategies/random-search.ts';
import { crowdingOf, hypervolume, ranksWithLast } from '../../../../core/search/pareto.ts';
import { type Nsga2Spec, strategySchema } from '../../../../core/spec/strategy.ts';
import { type Evaluated, simulated } from '../../../support/simulated-search.ts';
import { tableSpace } from '../../../support/table-space.ts';

const space = tableSpace([8, 8, 8, 8, 8, 8]);

/** More of each gene is worth more and costs more, in different ways. */
const evaluate = (key: string) => {
  const genes = key.split('.').map(Number);
  const worth = genes.reduce((sum, value, gene) => sum + Math.sqrt(value * (gene + 1)), 0);
  const cost = genes.reduce((sum, value, gene) => sum + value * (6 - gene), 0);
  return [worth, -cost];
};

const searched = (seed: number) => {
  const spec = strategySchema.parse({ kind: 'nsga2', trials: 200, seed, population: 30 }) as Nsga2Spec;
  return simulated({ strategy: nsga2(spec, space), space, seed, trials: 200, lag: 8, evaluate });
};

test('it covers more than random search for every seed', () => {
  const volume = ({ evaluated }: { evaluated: readonly Evaluated[] }) =>
    hypervolume(
      evaluated.map(({ scores }) => scores!),
      [0, -170],
    );
  for (const seed of [1, 2, 3]) {
    const strategy = randomSearch({ seed }, space);
    const drawn = simulated({ strategy, space, seed, trials: 200, lag: 8, evaluate });
    assert.ok(volume(searched(seed)) > volume(drawn), `seed ${seed}`);
  }
});

test('the population never grows, and its ranks and crowding are those of its scores', () => {
  const { state } = searched(1);
  const { population } = state.strategy;
  assert.equal(population.length, 30);
  assert.deepEqual(
    population.map(({ rank }) => rank),
    population.reduce<number[]>(
      (ranks, _, at) =>
        ranksWithLast(
          population.slice(0, at + 1).map(({ scores }) => scores),
          ranks,
        ),
      [],
    ),
  );
  for (const rank of new Set(population.map((one) => one.rank))) {
    const front = population.filter((one) => one.rank === rank);
    assert.deepEqual(
      front.map(({ crowding }) => crowding ?? Number.POSITIVE_INFINITY),
      crowdingOf(front.map(({ scores }) => scores)),
    );
  }
});
