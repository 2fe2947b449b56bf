// What an operator sees: both programs' /metrics while a plan runs, scraped by a real Prometheus with the deployed
// configuration, and the dashboard of the chart, whose queries may only name metrics that such a scrape contains.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { COORDINATOR_METRICS } from '../../core/metrics/coordinator-catalogue.ts';
import { type Catalogue, seriesNames } from '../../core/metrics/description.ts';
import { WORKER_METRICS } from '../../core/metrics/worker-catalogue.ts';
import { unary } from '../../core/net/grpc-client.ts';
import { metricNamesInScrape, metricNamesOf } from '../support/dashboard.ts';
import { startFleet } from '../support/fleet.ts';
import { assertNothingLeft, until } from '../support/processes.ts';
import { startPrometheus } from '../support/prometheus.ts';

const folder = new URL('../../helm/pocketfleet/files/dashboards/', import.meta.url);
const dashboards = readdirSync(folder).map((name) => readFileSync(new URL(name, folder), 'utf8'));
const plan = readFileSync(new URL('../../examples/demo-tiny.yaml', import.meta.url), 'utf8');

/**
 * Series of a run live as long as the run, and those of the plan may each begin and end between two scrapes that Prometheus got
 * done. This one lasts until it is cancelled: what is waited for can still happen for as long as the test waits.
 */
const endless = `
kind: teacher
name: endless
network: { kind: pocketnet, channels: 2, layers: 4, embedding: 8, genotype: casia }
data: { kind: synthetic, identities: 8, images: 24, holdout: 3, seed: 5 }
training: { epochs: 10000, batch: 16, shards: 4, seed: 7, optimizer: { learningRate: 0.05 } }
verification: { pairs: 40 }
workers: { min: 2, max: 2 }
`;

/** Prometheus learns of its targets 5 s after it starts, whatever the pace of its scrapes; the rest is for a busy machine. */
const PROMETHEUS_WAIT_MS = 60_000;

async function scrape(endpoint: string): Promise<string> {
  const response = await fetch(`http://${endpoint}/metrics`);
  assert.equal(response.status, 200);
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain/);
  return response.text();
}

test('a real Prometheus scrapes coordinator and workers, and every metric of the dashboard is in their scrapes', async () => {
  const fleet = await startFleet({ workers: ['w1', 'w2'] });
  const workers = ['w1', 'w2'].map((id) => fleet.workerMetricsEndpoint(id));
  const prometheus = await startPrometheus({
    targets: { coordinator: [fleet.metricsEndpoint], worker: workers },
  });
  try {
    const seen = (what: string, query: string, series: number) =>
      until(what, async () => (await prometheus.query(query)).length === series, PROMETHEUS_WAIT_MS);
    await seen('all three targets are up', 'up == 1', 3);
    for (const [catalogue, endpoint] of [
      [COORDINATOR_METRICS, fleet.metricsEndpoint],
      [WORKER_METRICS, workers[0]!],
    ] as const) {
      const shown = [...metricNamesInScrape(await scrape(endpoint))];
      assert.deepEqual(
        shown.filter((name) => /^(pocketfleet|grpc)_/.test(name)).sort(),
        Object.values(catalogue as Catalogue)
          .flatMap(seriesNames)
          .sort(),
        'what a program exports is its catalogue',
      );
    }
    const { planIds } = await fleet.submit(plan);
    const wanted = dashboards
      .flatMap(metricNamesOf)
      .filter((name) => /^(pocketfleet_|grpc_|nodejs_|process_)/.test(name));
    assert.ok(wanted.length > 20, 'the dashboard asks for something');
    const missing = new Set(wanted);
    // Series of a run live as long as the run, so names are collected while the plan goes on.
    await fleet.until(
      (snapshot) => {
        for (const endpoint of [fleet.metricsEndpoint, ...workers])
          scrape(endpoint)
            .then((text) => {
              for (const name of metricNamesInScrape(text)) missing.delete(name);
            })
            .catch(() => undefined);
        return snapshot.plans.some((p) => p.id === planIds[0] && p.state !== 'running');
      },
      'the plan ends',
      240_000,
    );
    for (const endpoint of [fleet.metricsEndpoint, ...workers])
      for (const name of metricNamesInScrape(await scrape(endpoint))) missing.delete(name);
    assert.deepEqual([...missing], [], 'the dashboard names metrics that no program exports');

    const [id = ''] = (await fleet.submit(endless)).runIds;
    await seen('both workers train', `pocketfleet_train_samples_total{run="${id}"} > 0`, 2);
    await seen('one coordinator leads', 'pocketfleet_coordinator_leader == 1', 1);
    await unary(fleet.client, fleet.client.cancel, { id, reason: 'seen' });
    const renamed = await prometheus.query('{exported_job!=""} or {exported_instance!=""}');
    assert.deepEqual(renamed, [], 'no label of ours is one that the scrape adds');
  } finally {
    await prometheus.stop();
    await fleet.stop();
  }
  await assertNothingLeft([prometheus.pid], [prometheus.port]);
});
