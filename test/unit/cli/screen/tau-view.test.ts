import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agreementsOf, type Ranking, tauText } from '../../../../coordinator/cli/screen/tau-view.ts';

const ranking = (id: string, accuracies: Readonly<Record<string, number>>): Ranking => ({
  sweep: { id, name: `of-${id}` },
  trials: Object.entries(accuracies).map(([genotypeJson, objective]) => ({
    ...{ state: Number.isNaN(objective) ? 'failed' : 'done', genotypeJson, objective },
  })),
});

const LONG = ranking('sweep-1', { a: 0.9, b: 0.8, c: 0.7, d: 0.6, e: 0.5, f: 0.4 });
const SHORT = ranking('sweep-2', { e: 0.45, d: 0.52, c: 0.51, b: 0.6, a: 0.7, g: 0.99 });
const OTHER = ranking('sweep-3', { a: 0.1, b: 0.2, z: Number.NaN });

test('pairs of sweeps are compared by the candidates that both have evaluated', () => {
  const [first, second, third] = agreementsOf([LONG, SHORT, OTHER]);
  assert.deepEqual([first!.a, first!.b, first!.candidates], ['sweep-1', 'sweep-2', 5]);
  // Of ten pairs one is in the other order.
  assert.equal(first!.tau, 0.8);
  assert.ok(first!.low > -0.2 && first!.low < 0.3, String(first!.low));
  assert.ok(first!.high > 0.95 && first!.high < 1);
  assert.deepEqual([second!.candidates, second!.tau, second!.low], [2, -1, Number.NaN]);
  assert.equal(third!.b, 'sweep-3');
});

test('the table names the sweeps, and says what an interval needs', () => {
  const text = tauText([LONG, SHORT, OTHER], agreementsOf([LONG, SHORT, OTHER]));
  assert.match(text, /sweep-1 \(of-sweep-1\) +sweep-2 \(of-sweep-2\) +5 +0\.800 +-?0\.\d+ to 0\.9\d+/);
  assert.match(text, /an interval needs five candidates in common/);
  assert.doesNotMatch(tauText([LONG, SHORT], agreementsOf([LONG, SHORT])), /an interval needs/);
});
