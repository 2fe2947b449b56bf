// The questions of docs/watching.md have answers: the metric exists, and the panel asks for it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { COORDINATOR_METRICS } from '../../../core/metrics/coordinator-catalogue.ts';
import type { Catalogue } from '../../../core/metrics/description.ts';
import { WORKER_METRICS } from '../../../core/metrics/worker-catalogue.ts';
import { PACKAGE_ROOT } from '../../../core/system/places.ts';
import { DASHBOARDS } from '../../../scripts/monitoring/all-dashboards.ts';

test('each of the questions has a metric, and a panel that asks for it', () => {
  const page = readFileSync(join(PACKAGE_ROOT, 'docs/watching.md'), 'utf8');
  const rows = [...page.matchAll(/^\| (.*\?) \| `(\w+)` \| ([^:|]+): (.*) \|$/gm)];
  assert.equal(rows.length, 11);
  const names = [COORDINATOR_METRICS, WORKER_METRICS].flatMap((catalogue: Catalogue) =>
    Object.values(catalogue).map(({ name }) => name),
  );
  for (const [, question, metric, title, panelTitle] of rows) {
    assert(names.includes(metric!), `${question} ${metric}`);
    const dashboard = DASHBOARDS.find((one) => one.title === title);
    const panel = dashboard?.rows.flatMap(({ panels }) => panels).find((one) => one.title === panelTitle);
    assert(
      panel?.queries.some(({ expr }) => expr.includes(metric!)),
      `${question} ${title}: ${panelTitle}`,
    );
  }
});
