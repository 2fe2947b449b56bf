import assert from 'node:assert/strict';
import test from 'node:test';
import { randomSearch } from '../../../../coordinator/strategies/random-search.ts';
import type { Strategy } from '../../../../coordinator/strategies/strategy.ts';
import { climb } from '../../../fixtures/strategies/climb.ts';
import { simulated } from '../../../support/simulated-search.ts';
import { tableSpace } from '../../../support/table-space.ts';

const space = tableSpace([6, 6, 6, 6, 6, 6]);

/** The best of 46656 has 0 everywhere. */
const evaluate = (key: string) => [-key.split('.').reduce((sum, value) => sum + Number(value), 0)];

function searched<S>(strategy: Strategy<S>, stored?: (state: never) => never) {
  return simulated({
    ...{ strategy, space, seed: 1, trials: 80, lag: 4, evaluate },
    ...(stored === undefined ? {} : { stored: stored as never }),
  }).evaluated;
}

test('the strategy of the guide runs in the pipeline, through JSON at any point, and beats draws at random', () => {
  const found = searched(climb({ seed: 1 }, space));
  const throughJson = (state: never) => JSON.parse(JSON.stringify(state)) as never;
  assert.deepEqual(searched(climb({ seed: 1 }, space), throughJson), found);
  const best = (evaluated: typeof found) => Math.max(...evaluated.map(({ scores }) => scores![0]!));
  assert.ok(best(found) > best(searched(randomSearch({ seed: 1 }, space))));
});
