// What holds for every strategy: a table of them, over a small space of plain genes.

import assert from 'node:assert/strict';
import test from 'node:test';
import type { SearchState } from '../../../../coordinator/strategies/search.ts';
import { type StrategyState, strategyOf } from '../../../../coordinator/strategies/strategies.ts';
import { randomStream } from '../../../../core/rng.ts';
import { strategySchema } from '../../../../core/spec/strategy.ts';
import { type Evaluation, type Simulated, simulated } from '../../../support/simulated-search.ts';
import { tableSpace } from '../../../support/table-space.ts';

/** Each strategy as a spec would have it, small enough for some tens of trials. */
const STRATEGIES: readonly Record<string, unknown>[] = [
  { kind: 'random' },
  { kind: 'grid' },
  { kind: 'evolution', population: 8, sample: 3, crossover: 0.3 },
  { kind: 'tpe', startup: 8 },
  { kind: 'nsga2', population: 8 },
  { kind: 'asha' },
  { kind: 'asha', mode: 'stop' },
  { kind: 'asha', objectives: 2 },
  { kind: 'asha', mode: 'stop', objectives: 2 },
  { kind: 'hyperband' },
  { kind: 'one-shot', supernet: 'run-1', population: 8, sample: 3 },
  { kind: 'one-shot', supernet: 'run-1', propose: 'random' },
];

/** 240 candidates. */
const space = tableSpace([4, 5, 3, 4]);
const TRIALS = 60;

/** A sum over genes, and what is the same for all strategies. */
const evaluate = (key: string): Evaluation => [
  key
    .split('.')
    .map(Number)
    .reduce((sum, value, gene) => sum + Math.sin(3 * gene + value), 0),
];

/** The same with a cost beside it, and rungs that are of one mind. */
const twofold = (key: string): Evaluation => [
  ...(evaluate(key) as readonly number[]),
  -key.split('.').reduce((sum, value) => sum + Number(value), 0),
];

function searchBy(named: Record<string, unknown>, change: Partial<Simulated<StrategyState>> = {}) {
  const { objectives = 1, ...strategy } = named as { objectives?: number };
  const spec = strategySchema.parse({ trials: change.trials ?? TRIALS, seed: 3, ...strategy });
  return simulated({
    ...{
      strategy: strategyOf(spec, change.space ?? space, { epochs: objectives > 1 ? 4 : 1, objectives }),
      space,
      seed: 3,
      trials: TRIALS,
      lag: 8,
      evaluate: objectives > 1 ? twofold : evaluate,
    },
    ...change,
  });
}

/** What a search did, without when. */
const storyOf = ({ evaluated }: ReturnType<typeof searchBy>) => evaluated;

/** Freezes everything in a value. */
function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(frozen);
  }
  return value;
}

for (const strategy of STRATEGIES) {
  const several = strategy.objectives === undefined ? '' : 'of several objectives';
  const kind = [strategy.kind, strategy.mode ?? strategy.propose, several].filter(Boolean).join(' ');

  test(`${kind}: no state is written to, and one that went through JSON at any point goes on the same`, () => {
    const plain = searchBy(strategy);
    const stored = (state: SearchState<StrategyState>) => frozen(JSON.parse(JSON.stringify(state)));
    const again = searchBy(strategy, { stored });
    assert.deepEqual(storyOf(again), storyOf(plain));
    assert.deepEqual(JSON.parse(JSON.stringify(plain.state)), again.state);
  });

  test(`${kind}: the same moves for 1, 4 and 16 workers and for any order of finishing`, () => {
    const plain = searchBy(strategy, { workers: 1 });
    for (const workers of [4, 16])
      for (const seed of [1, 2]) {
        const random = randomStream({ seed, purpose: 'durations' });
        const other = searchBy(strategy, { workers, duration: () => random.uniform(0.1, 10) });
        assert.deepEqual(storyOf(other), storyOf(plain), `${workers} workers, order ${seed}`);
      }
  });

  test(`${kind}: a small space is tried whole, each candidate once, and then it is done`, () => {
    const small = tableSpace([3, 4, 2], 5);
    const { evaluated, end } = searchBy(strategy, { space: small, trials: 1_000 });
    const within = Array.from({ length: 24 }, (_, place) => small.listed()!.at(place)).filter(
      (genes) => small.violation(small.costsOf(genes)) === undefined,
    );
    const keys = [...new Set(evaluated.map(({ key }) => key))];
    assert.deepEqual(keys.sort(), within.map((genes) => small.keyOf(genes)).sort());
    assert.match(
      end,
      /^(each of the 24 (networks|combinations) |no trial is among the best|every bracket is|Kendall's tau )/,
    );
  });

  test(`${kind}: failures and cancellations hold nothing up`, () => {
    const outcome = (key: string): Evaluation =>
      key.length % 2 === 0 || key.startsWith('1')
        ? { kind: 'failed', reason: 'loss is not finite' }
        : key.startsWith('2')
          ? { kind: 'cancelled', reason: 'by hand' }
          : evaluate(key);
    const { evaluated } = searchBy(strategy, { evaluate: outcome });
    assert.equal(new Set(evaluated.map(({ trial }) => trial)).size, TRIALS);
    const none = searchBy(strategy, { evaluate: () => ({ kind: 'failed', reason: 'no data' }) });
    assert.equal(none.evaluated.length, TRIALS);
    assert.deepEqual(none.state.open, []);
  });

  test(`${kind}: what is remembered does not grow with the results, or by a few numbers each`, () => {
    const wide = tableSpace([8, 8, 8, 8, 8]);
    const bytesAfter = (trials: number) =>
      JSON.stringify(searchBy(strategy, { space: wide, trials }).state).length;
    const [few, many] = [bytesAfter(150), bytesAfter(600)];
    const each = (many - few) / 450;
    assert.ok(
      each <
        (strategy.kind === 'asha' || strategy.kind === 'one-shot'
          ? 40
          : strategy.kind === 'hyperband'
            ? 12
            : 1),
      `${each} bytes a trial`,
    );
  });
}
