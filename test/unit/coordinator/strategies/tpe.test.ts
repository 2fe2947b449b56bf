import assert from 'node:assert/strict';
import test from 'node:test';
import { smoothed, tpe } from '../../../../coordinator/strategies/tpe.ts';
import { strategySchema, type TpeSpec } from '../../../../core/spec/strategy.ts';
import { simulated } from '../../../support/simulated-search.ts';
import { tableSpace } from '../../../support/table-space.ts';

test('shares are counts with the uniform density added, and sum to one', () => {
  // Written out: 3 + 1/3 of 5 + 1 and so on, and the uniform density alone where nothing was counted.
  const expected = [3, 1, 1].map((count) => (count + 1 / 3) / 6);
  assert.deepEqual(
    smoothed([3, 1, 1], 1).map((share) => share.toFixed(12)),
    expected.map((share) => share.toFixed(12)),
  );
  assert.deepEqual(smoothed([0, 0], 2), [0.5, 0.5]);
  for (const counts of [[0], [7, 0, 0, 2], [1, 1, 1]])
    assert.ok(Math.abs(smoothed(counts, 0.3).reduce((sum, share) => sum + share) - 1) < 1e-12);
});

test('a proposal is drawn from the good and has the largest l / g of its draws; what is pending counts as bad', () => {
  const space = tableSpace([3]);
  const spec = strategySchema.parse({
    ...{ kind: 'tpe', trials: 100, startup: 1, candidates: 1000, priorWeight: 0.5, gamma: 0.3 },
  }) as TpeSpec;
  const strategy = tpe(spec, space);
  const turn = { draw: 5, misses: 0, mayBegin: true };
  const keys = [0, 1, 2].map((value) => space.keyOf([value]));
  let state = strategy.begin();
  for (const [i, score] of [3, 2, 1].entries()) {
    const about = { move: i + 1, trial: i + 1 };
    state = strategy.tell(state, { kind: 'moved', ...about, made: 'evaluate', key: keys[i]! });
    state = strategy.tell(state, { kind: 'measured', ...about, scores: [score] });
  }
  const proposed = () => {
    const proposal = strategy.ask(state, turn);
    assert.equal(proposal.kind, 'evaluate');
    return proposal.kind === 'evaluate' ? proposal.genes[0] : undefined;
  };
  // l has one of value 0: (7/9, 1/9, 1/9); g one of each other: (1/15, 7/15, 7/15).
  assert.equal(proposed(), 0);
  for (let move = 4; move <= 40; move++)
    state = strategy.tell(state, { kind: 'moved', move, trial: move, made: 'evaluate', key: keys[0]! });
  assert.notEqual(proposed(), 0);
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
    const { best: kept, counts, begun, pending } = found.state.strategy;
    assert.equal(kept.length, 25);
    assert.ok(pending.length <= 8);
    for (const values of counts)
      assert.equal(
        values.reduce((sum, count) => sum + count),
        begun,
      );
  }
});
