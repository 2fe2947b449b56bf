// What a panel that counts shows after the first event of its kind, computed by Prometheus itself (promtool): the series as the
// coordinator exports them before and after, the query as the dashboard has it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { queriesOf } from '../support/dashboard.ts';
import { chart } from '../support/helm.ts';
import { coordinatorMetrics } from '../support/metrics.ts';
import { promtool } from '../support/promtool.ts';

const dashboard = readFileSync(join(chart, 'files/dashboards/pocketfleet-overview.json'), 'utf8');

/** A quarter of an hour in which one event happens; `born` is the value before it, or none. */
function unitTest(series: string, born: string | undefined, expression: string, expected: object[]): string {
  return stringify({
    evaluation_interval: '15s',
    tests: [
      {
        interval: '15s',
        input_series: [{ series, values: `${born ?? '_'}x20 1x40` }],
        promql_expr_test: [{ expr: expression, eval_time: '14m', exp_samples: expected }],
      },
    ],
  });
}

const promtoolTest = (text: string) => promtool({ 'test.yml': text }, ['test', 'rules', 'test.yml']);

test('the panel of failed trials shows the first failure', async () => {
  const { registry } = coordinatorMetrics();
  const series = 'pocketfleet_trials_finished_total{outcome="failed",reason="numeric"}';
  const born = (await registry.metrics())
    .split('\n')
    .find((line) => line.startsWith(series))
    ?.split(' ')[1];
  const { expression } = queriesOf(dashboard).find(({ panel }) => panel === 'Failed trials')!;
  const query = `round(${expression.replace('[1m]', '[15m]').replace(/\{[^}]*?outcome/, '{outcome')})`;
  const one = [{ labels: '{}', value: 1 }];
  assert.match(await promtoolTest(unitTest(series, born, query, one)), /SUCCESS/);
  assert.match(
    await promtoolTest(unitTest(series, undefined, query, one)),
    /FAILED/,
    'born at 1 it would not',
  );
});
