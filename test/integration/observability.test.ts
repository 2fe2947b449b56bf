// What an operator sees: both programs' /metrics while a plan runs, scraped by a real Prometheus with the deployed
// configuration, and the dashboard of the chart, whose queries may only name metrics that such a scrape contains.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { metricNamesInScrape, metricNamesOf } from '../support/dashboard.ts';
import { startFleet } from '../support/fleet.ts';
import { assertNothingLeft, until } from '../support/processes.ts';
import { startPrometheus } from '../support/prometheus.ts';

const dashboard = readFileSync(
  new URL('../../helm/pocketfleet/files/dashboards/pocketfleet.json', import.meta.url),
  'utf8',
);
const plan = readFileSync(new URL('../../examples/demo-tiny.yaml', import.meta.url), 'utf8');

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
    const { planIds } = await fleet.submit(plan);
    const wanted = metricNamesOf(dashboard);
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

    await until('all three targets are up', async () => (await prometheus.query('up == 1')).length === 3);
    const samples = await until('samples trained are in Prometheus', async () => {
      const found = await prometheus.query('sum(max_over_time(pocketfleet_train_samples_total[10m])) > 0');
      return found.length === 1 && found;
    });
    assert.equal(samples.length, 1);
    const leader = await prometheus.query('pocketfleet_coordinator_leader == 1');
    assert.equal(leader.length, 1);
  } finally {
    await prometheus.stop();
    await fleet.stop();
  }
  await assertNothingLeft([prometheus.pid], [prometheus.port]);
});
