import assert from 'node:assert/strict';
import test from 'node:test';
import { type Densities, logRatio, tpe } from '../../../../coordinator/strategies/tpe.ts';
import { strategySchema, type TpeSpec } from '../../../../core/spec/strategy.ts';
import { simulated } from '../../../support/simulated-search.ts';
import { tableSpace } from '../../../support/table-space.ts';

const densities: Densities = {
  widths: [2, 3],
  good: [
    [0, 1],
    [0, 2],
  ],
  // Five others: by gene and value.
  others: [
    [1, 4],
    [3, 1, 1],
  ],
  otherCount: 5,
  priorWeight: 1,
  bandwidth: 0.5,
};

test('l / g is a mixture of kernels over a product of smoothed shares', () => {
  // Written out gene by gene. A kernel gives its own value 0.5 + 0.5 / width, another 0.5 / width.
  const kernel = (genes: readonly [number, number], centre: readonly number[]) =>
    (genes[0] === centre[0] ? 0.75 : 0.25) * (genes[1] === centre[1] ? 0.5 + 0.5 / 3 : 0.5 / 3);
  for (let a = 0; a < 2; a++)
    for (let b = 0; b < 3; b++) {
      const good = (1 / 6 + kernel([a, b], [0, 1]) + kernel([a, b], [0, 2])) / 3;
      const others = (([1, 4][a]! + 1 / 2) / (5 + 1)) * (([3, 1, 1][b]! + 1 / 3) / (5 + 1));
      assert.ok(Math.abs(logRatio(densities, [a, b]) - Math.log(good / others)) < 1e-12);
    }
});

test('both densities sum to one', () => {
  let good = 0;
  for (let a = 0; a < 2; a++)
    for (let b = 0; b < 3; b++) {
      const others = (([1, 4][a]! + 1 / 2) / (5 + 1)) * (([3, 1, 1][b]! + 1 / 3) / (5 + 1));
      good += Math.exp(logRatio(densities, [a, b])) * others;
    }
  assert.ok(Math.abs(good - 1) < 1e-12);
});

test('it beats random search for every seed, and remembers no more than the best and counts', () => {
  const space = tableSpace([6, 6, 6, 6, 6, 6]);
  const evaluate = (key: string) => [-key.split('.').reduce((sum, value) => sum + Number(value), 0)];
  const searched = (seed: number, startup: number) => {
    const spec = strategySchema.parse({ kind: 'tpe', trials: 200, seed, startup }) as TpeSpec;
    return simulated({ strategy: tpe(spec, space), space, seed, trials: 200, lag: 8, evaluate });
  };
  const bestOf = ({ evaluated }: ReturnType<typeof searched>) =>
    Math.max(...evaluated.map(({ scores }) => scores![0]!));
  for (const seed of [1, 2, 3, 4, 5]) {
    const found = searched(seed, 20);
    // Draws alone, since the start takes all trials.
    assert.ok(bestOf(found) > bestOf(searched(seed, 200)), `seed ${seed}: ${bestOf(found)}`);
    const { best: kept, counts, told, pending } = found.state.strategy;
    assert.equal(kept.length, 25);
    assert.ok(pending.length <= 8);
    for (const values of counts)
      assert.equal(
        values.reduce((sum, count) => sum + count),
        told,
      );
  }
});
