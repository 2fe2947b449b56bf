// The dashboards as files: their grid, their words, their queries; and that between them and the rules every
// metric of the catalogue is asked for.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { COORDINATOR_METRICS } from '../../core/metrics/coordinator-catalogue.ts';
import { type Catalogue, type Description, seriesNames } from '../../core/metrics/description.ts';
import { WORKER_METRICS } from '../../core/metrics/worker-catalogue.ts';
import { RECORDING_RULES } from '../../scripts/monitoring/recording-rules.ts';
import { ALERT_GROUPS } from '../../scripts/monitoring/rules.ts';
import { withSelectors } from '../../scripts/monitoring/selectors.ts';
import { metricNamesOf, metricNamesOfQuery, queriesOf } from '../support/dashboard.ts';
import { chart } from '../support/helm.ts';

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } };
}
interface Dashboard {
  readonly uid: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string }[] };
}

const texts = readdirSync(join(chart, 'files/dashboards')).map((name) =>
  readFileSync(join(chart, 'files/dashboards', name), 'utf8'),
);
const dashboards = texts.map((text) => JSON.parse(text) as Dashboard);
const recorded = new Set(RECORDING_RULES.map(({ record }) => record));
const catalogue: readonly Description[] = [COORDINATOR_METRICS, WORKER_METRICS].flatMap((one: Catalogue) =>
  Object.values(one),
);
/** Series of others: GPUs (dcgm-exporter), the broker (its exporter), and the processes' own. */
const FOREIGN =
  /^(DCGM_FI_(DEV_(GPU_UTIL|FB_USED|FB_FREE|GPU_TEMP|POWER_USAGE|XID_ERRORS)|PROF_(PIPE_TENSOR_ACTIVE|DRAM_ACTIVE|PCIE_TX_BYTES|PCIE_RX_BYTES))|nats_varz_(in|out)_(msgs|bytes)|nats_varz_slow_consumers|nodejs_eventloop_lag_p99_seconds|nodejs_heap_size_used_bytes|process_cpu_seconds_total|up)$/;

test('panels have ids of their own, lie on the grid and do not overlap', () => {
  for (const { uid, panels } of dashboards) {
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
    const taken = new Set<string>();
    for (const { gridPos, title } of panels) {
      assert(gridPos.x >= 0 && gridPos.x + gridPos.w <= 24, `${uid}: ${title}`);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          assert(!taken.has(`${x},${y}`), `${uid}: ${title} lies on another panel`);
          taken.add(`${x},${y}`);
        }
    }
  }
});

test('every panel says how it is read and in which unit, and its title stands once in its dashboard', () => {
  for (const { uid, panels } of dashboards) {
    const own = panels.filter(({ type }) => type !== 'row');
    for (const { title, description, fieldConfig } of own) {
      assert.match(description ?? '', /^\S.*\.$/, `${uid}: ${title}`);
      assert(fieldConfig?.defaults.unit, `${uid}: ${title}`);
    }
    assert.equal(new Set(own.map(({ title }) => title)).size, own.length, uid);
  }
});

test('every dashboard asks for one data source, one namespace and one fleet', () => {
  for (const { uid, templating } of dashboards)
    assert.deepEqual(
      templating.list.slice(0, 3).map(({ name }) => name),
      ['datasource', 'namespace', 'fleet'],
      uid,
    );
  for (const { panel, expression } of texts.flatMap(queriesOf))
    if (/pocketfleet_|grpc_|run:|nodejs_|process_/.test(expression))
      assert.match(expression, /namespace=~"\$namespace",fleet=~"\$fleet"/, panel);
});

test('selectors go into every selector of ours, into no other, and a run into those that have one', () => {
  const names = new Set(['run']);
  assert.equal(
    withSelectors('sum(rate(pocketfleet_train_steps_total[1m])) / up{a="b"}', names),
    'sum(rate(pocketfleet_train_steps_total{namespace=~"$namespace",fleet=~"$fleet",run=~"$run"}[1m])) / up{a="b"}',
  );
  assert.equal(
    withSelectors('pocketfleet_trials{state="done"}', names),
    'pocketfleet_trials{namespace=~"$namespace",fleet=~"$fleet",state="done"}',
  );
});

test('names are taken from queries by the grammar of PromQL, and a broken query is an error', () => {
  const expression =
    'histogram_quantile(0.9, sum by (le) (rate(a_bucket{b="c"}[1m]))) / on (d) group_left () e';
  assert.deepEqual(metricNamesOfQuery({ panel: '', expression }), ['a_bucket', 'e']);
  assert.throws(() => metricNamesOfQuery({ panel: 'p', expression: 'sum(a' }), /panel "p": not PromQL/);
});

const inRules = [...RECORDING_RULES, ...ALERT_GROUPS.flatMap(({ alerts }) => alerts)].flatMap(({ expr }) =>
  metricNamesOfQuery({ panel: 'rule', expression: expr }),
);

test('panels and rules ask for series of the catalogue, for recorded ones, and for known ones of others', () => {
  const known = new Set([...catalogue.flatMap(seriesNames), ...recorded]);
  const asked = [...texts.flatMap(metricNamesOf), ...inRules];
  assert(asked.length > 100);
  assert.deepEqual(
    asked.filter((name) => !known.has(name) && !FOREIGN.test(name)),
    [],
  );
});

test('every metric of the catalogue and every recorded series is asked for by a panel or a rule', () => {
  const asked = new Set([...texts.flatMap(metricNamesOf), ...inRules]);
  const unused = catalogue.filter((one) => !seriesNames(one).some((name) => asked.has(name)));
  assert.deepEqual(
    [...unused.map(({ name }) => name), ...[...recorded].filter((name) => !asked.has(name))],
    [],
  );
});
