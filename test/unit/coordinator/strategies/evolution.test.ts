import assert from 'node:assert/strict';
import test from 'node:test';
import { evolution } from '../../../../coordinator/strategies/evolution.ts';
import { crossed, mutated, sampled } from '../../../../coordinator/strategies/variation.ts';
import { randomStream } from '../../../../core/rng.ts';
import { type EvolutionSpec, strategySchema } from '../../../../core/spec/strategy.ts';
import { type Evaluated, simulated } from '../../../support/simulated-search.ts';
import { tableSpace } from '../../../support/table-space.ts';

const WIDTHS = [6, 6, 6, 6, 6, 6];
const space = tableSpace(WIDTHS);

function evolved(change: Record<string, unknown> = {}, seed = 1) {
  const spec = strategySchema.parse({
    ...{ kind: 'evolution', trials: 200, seed, population: 20, sample: 5, crossover: 0 },
    ...change,
  }) as EvolutionSpec;
  // The best of 46656 has 0 everywhere.
  const evaluate = (key: string) => [-key.split('.').reduce((sum, value) => sum + Number(value), 0)];
  return simulated({ strategy: evolution(spec, space), space, seed, trials: 200, lag: 4, evaluate });
}

const bestOf = (evaluated: readonly Evaluated[]) => Math.max(...evaluated.map(({ scores }) => scores![0]!));

test('parents are the best of a sample of the newest results that were told, and a child has one gene changed', () => {
  const { evaluated } = evolved();
  for (const { move, key, parents } of evaluated) {
    if (move <= 20) assert.deepEqual(parents, []);
    else {
      const [parent] = parents as [number];
      // Move k sees results up to k - 4, of which the newest 20 live.
      assert.ok(parent <= move - 4 && parent > move - 4 - 20, `${parent} is a parent of ${move}`);
      const genes = space.genesOf(evaluated[parent - 1]!.key);
      const changed = space.genesOf(key).filter((value, gene) => value !== genes[gene]).length;
      assert.ok(changed >= 1 && changed <= 2, 'two where every single change was known');
    }
  }
});

test('evolution beats random search for every seed', () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const bred = bestOf(evolved({}, seed).evaluated);
    // Draws alone, since the first generation takes all trials.
    const drawn = bestOf(evolved({ population: 200 }, seed).evaluated);
    assert.ok(bred > drawn, `seed ${seed}: ${bred} and ${drawn}`);
  }
});

test('with crossover a child has each gene from one of two parents, but for the mutation', () => {
  const { evaluated } = evolved({ crossover: 1 });
  const children = evaluated.filter(({ parents }) => parents.length === 2);
  assert.ok(children.length > 50);
  for (const { key, parents } of children) {
    const [a, b] = parents.map((parent) => space.genesOf(evaluated[parent - 1]!.key));
    const others = space.genesOf(key).filter((value, gene) => value !== a![gene] && value !== b![gene]);
    assert.ok(others.length <= 2);
  }
});

test('variation: a mutation changes so many genes that have a choice, a sample repeats nothing', () => {
  const random = randomStream({ seed: 1, purpose: 'test' });
  for (let time = 0; time < 100; time++) {
    const child = mutated([0, 1, 2, 0], [3, 2, 4, 1], 2, random);
    assert.equal(child.filter((value, gene) => value !== [0, 1, 2, 0][gene]).length, 2);
    assert.ok(child.every((value, gene) => value >= 0 && value < [3, 2, 4, 1][gene]!));
    const five = sampled([1, 2, 3, 4, 5, 6, 7], 5, random);
    assert.equal(new Set(five).size, 5);
    assert.deepEqual(sampled([1, 2, 3], 9, random).sort(), [1, 2, 3]);
    assert.ok(crossed([0, 0], [1, 1], random).every((value) => value === 0 || value === 1));
  }
});
