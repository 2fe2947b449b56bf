// What is its own of ranking by inherited weights: when candidates are trained, which ones, and what their ranks say.

import assert from 'node:assert/strict';
import test from 'node:test';
import { type OneShotState, oneShot } from '../../../../coordinator/strategies/one-shot.ts';
import { kendallTau } from '../../../../core/search/kendall.ts';
import { type OneShotSpec, strategySchema } from '../../../../core/spec/strategy.ts';
import { simulated } from '../../../support/simulated-search.ts';
import { tableSpace } from '../../../support/table-space.ts';

const space = tableSpace([6, 6, 6, 6]);
const TRIALS = 40;

const specOf = (named: Record<string, unknown>) =>
  strategySchema.parse({
    kind: 'one-shot',
    supernet: 'run-1',
    trials: TRIALS,
    population: 8,
    sample: 4,
    ...named,
  }) as OneShotSpec;

/** What a candidate is worth: once with inherited weights, the second time after training. */
const worth = (key: string, asked: number): number => {
  const genes = key.split('.').map(Number);
  const sum = genes.reduce((total, value, gene) => total + Math.sin(2 * gene + value), 0);
  return asked === 0 ? sum : sum + Math.cos(7 * genes[0]! + 3 * genes[1]!);
};

function search(named: Record<string, unknown>, workers = 4) {
  const spec = specOf(named);
  const asked = new Map<string, number>();
  return simulated<OneShotState>({
    ...{ strategy: oneShot(spec, space), space, seed: spec.seed, trials: TRIALS, lag: 8, workers },
    evaluate(key) {
      const times = asked.get(key) ?? 0;
      asked.set(key, times + 1);
      return [worth(key, times)];
    },
  });
}

for (const propose of ['evolution', 'random'])
  test(`${propose}: all candidates are evaluated with inherited weights, and then the best and a sample are trained`, () => {
    const { moves, evaluated, end } = search({ propose, train: 3, tauSample: 6, calibration: 5 });
    const begun = moves.slice(0, TRIALS);
    assert.ok(begun.every((move) => move.kind === 'evaluate' && move.fidelity?.inherited === 5));
    const ranked = begun
      .map(({ trial, key }) => ({ trial, score: worth(key, 0) }))
      .sort((a, b) => b.score - a.score || a.trial - b.trial);
    const trained = moves.slice(TRIALS);
    assert.ok(trained.every((move) => move.kind === 'promote' && move.fidelity === undefined));
    // Of 40 ranks: the best three, and six in equal steps of 39 / 5.
    assert.deepEqual(
      trained.map(({ trial }) => trial),
      [0, 1, 2, 8, 16, 23, 31, 39].map((rank) => ranked[rank]!.trial),
    );
    assert.match(
      trained[0]!.reason,
      /^rank 1 of 40 with inherited weights .*one of the best 3.* and one of 6 whose ranks/,
    );
    assert.match(trained[1]!.reason, /^rank 2 of 40 .*one of the best 3, which are trained$/);
    assert.match(trained[3]!.reason, /^rank 9 of 40 .*, one of 6 whose ranks are compared after training$/);
    const sample = [0, 8, 16, 23, 31, 39].map((rank) => ranked[rank]!);
    const scoreAfter = new Map(evaluated.slice(TRIALS).map(({ trial, scores }) => [trial, scores![0]!]));
    const tau = kendallTau(
      sample.map(({ score }) => score),
      sample.map(({ trial }) => scoreAfter.get(trial)!),
    );
    assert.ok(tau < 1, 'training ranks them otherwise');
    assert.ok(
      end.startsWith(
        "Kendall's tau between inherited and trained accuracy of the 6 candidates of the sample",
      ),
    );
    assert.ok(end.includes(` is ${tau.toFixed(2)} (95 % interval `), end);
  });

test('nothing is trained before the last candidate has its inherited accuracy', () => {
  const { moves } = search({ propose: 'random' }, 1);
  assert.ok(moves.slice(0, TRIALS).every(({ kind }) => kind === 'evaluate'));
});

test('candidates without an accuracy are in no ranking, and a sample too small has no tau', () => {
  const spec = specOf({ propose: 'random', train: 1, tauSample: 2 });
  let isFirst = true;
  const { end, moves } = simulated<OneShotState>({
    ...{ strategy: oneShot(spec, space), space, seed: 1, trials: TRIALS, lag: 4 },
    evaluate() {
      if (!isFirst) return { kind: 'failed', reason: 'no data' };
      isFirst = false;
      return [1];
    },
  });
  assert.equal(moves.length, TRIALS + 1, 'the only one with an accuracy is trained');
  assert.match(end, /^Kendall's tau of the 0 candidates of the sample that were trained is not known/);
});

test('what cannot be a one-shot search is refused with its field', () => {
  const problem = (named: Record<string, unknown>) => {
    const result = strategySchema.safeParse({
      kind: 'one-shot',
      supernet: 'run-1',
      trials: 10,
      population: 4,
      sample: 2,
      ...named,
    });
    return result.success
      ? ''
      : result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join();
  };
  assert.equal(problem({}), '');
  assert.match(problem({ supernet: undefined }), /^supernet: /);
  assert.match(problem({ propose: 'grid' }), /^propose: /);
  assert.match(problem({ population: 20 }), /^population: the population is above the trials/);
  assert.equal(problem({ population: 20, propose: 'random' }), '');
  assert.match(problem({ sample: 5 }), /^sample: the sample is above the population/);
  assert.match(problem({ train: 11 }), /^train: more candidates are trained than/);
  assert.match(problem({ tauSample: 1 }), /^tauSample: /);
  assert.match(problem({ calibration: 0 }), /^calibration: /);
});
