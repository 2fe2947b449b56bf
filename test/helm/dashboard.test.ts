import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { metricNamesInScrape, metricNamesOf, metricNamesOfQuery, queriesOf } from '../support/dashboard.ts';
import { chart } from '../support/helm.ts';
import { coordinatorMetrics, workerMetrics } from '../support/metrics.ts';

const json = readFileSync(join(chart, 'files/dashboards/pocketfleet.json'), 'utf8');

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } };
}
const panels = (JSON.parse(json) as { panels: readonly Panel[] }).panels;

test('panels have ids of their own, lie on the grid and do not overlap', () => {
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  const taken = new Set<string>();
  for (const { gridPos, title } of panels) {
    assert(gridPos.x >= 0 && gridPos.x + gridPos.w <= 24, title);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        assert(!taken.has(`${x},${y}`), `${title} lies on another panel`);
        taken.add(`${x},${y}`);
      }
  }
});

test('every panel says what it shows and in which unit', () => {
  for (const { type, title, description, fieldConfig } of panels) {
    if (type === 'row') continue;
    assert(description, title);
    assert(fieldConfig?.defaults.unit, title);
  }
});

test('names are taken from queries by the grammar of PromQL, and a broken query is an error', () => {
  const expression =
    'histogram_quantile(0.9, sum by (le) (rate(a_bucket{b="c"}[1m]))) / on (d) group_left () e';
  assert.deepEqual(metricNamesOfQuery({ panel: '', expression }), ['a_bucket', 'e']);
  assert.throws(() => metricNamesOfQuery({ panel: 'p', expression: 'sum(a' }), /panel "p": not PromQL/);
});

test('every query of the dashboard asks for series that the coordinator or a worker exports', async () => {
  const coordinator = coordinatorMetrics();
  const worker = workerMetrics();
  const scrapes = [await coordinator.registry.metrics(), await worker.registry.metrics()];
  const exported = new Set(scrapes.flatMap((text) => [...metricNamesInScrape(text)]));
  assert(queriesOf(json).length > 40);
  assert.deepEqual(
    metricNamesOf(json).filter((name) => !exported.has(name)),
    [],
  );
});
