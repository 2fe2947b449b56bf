// The catalogue against the conventions of Prometheus, and against the code that uses it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LOSS_CAUSES } from '../../../coordinator/model/state.ts';
import { COORDINATOR_METRICS } from '../../../core/metrics/coordinator-catalogue.ts';
import { type Catalogue, type Description, seriesNames } from '../../../core/metrics/description.ts';
import { WORKER_METRICS } from '../../../core/metrics/worker-catalogue.ts';
import { REFUSALS, ROLES } from '../../../core/net/roles.ts';
import { metricNamesInScrape } from '../../support/dashboard.ts';
import { coordinatorMetrics, workerMetrics } from '../../support/metrics.ts';

const CATALOGUES: readonly Catalogue[] = [COORDINATOR_METRICS, WORKER_METRICS];
const all: readonly Description[] = CATALOGUES.flatMap((catalogue) => Object.values(catalogue));

test('a name says the kind and the unit, and stands once in a catalogue', () => {
  const endings: Partial<Record<Description['unit'], RegExp>> = {
    seconds: /_seconds(_total)?$/,
    bytes: /bytes(_total|_limit)?$/,
    ratio: /_ratio$/,
    timestamp: /_timestamp_seconds$/,
    info: /_info$/,
  };
  for (const { name, type, unit, help } of all) {
    assert.match(name, /^(pocketfleet|grpc_server)_[a-z_]+$/);
    assert.equal(name.endsWith('_total'), type === 'counter', name);
    assert.match(name, endings[unit] ?? /./, name);
    assert.match(help, /^[A-Z1].*\.$/, name);
  }
  for (const catalogue of CATALOGUES) {
    const names = Object.values(catalogue).map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
  }
});

test('a scrape of each program shows its catalogue, and nothing else beside the metrics of a process', async () => {
  const scrapes = [
    [COORDINATOR_METRICS, await coordinatorMetrics().registry.metrics()],
    [WORKER_METRICS, await workerMetrics().registry.metrics()],
  ] as const;
  for (const [catalogue, text] of scrapes) {
    const shown = [...metricNamesInScrape(text)].filter((name) => !/^(process|nodejs)_/.test(name));
    assert.deepEqual(
      shown.sort(),
      Object.values(catalogue as Catalogue)
        .flatMap(seriesNames)
        .sort(),
    );
  }
});

test('the labels of a catalogue are what the code has', () => {
  assert.deepEqual(COORDINATOR_METRICS.lostAt.labels.reason, [...LOSS_CAUSES, 'unknown']);
  const { role, reason } = COORDINATOR_METRICS.callsRefused.labels;
  assert.deepEqual([role, reason], [[...ROLES, 'none'], REFUSALS]);
});
