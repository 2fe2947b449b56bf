import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { Counter, Registry } from 'prom-client';
import { assertNothingLeft, until } from '../support/processes.ts';
import { startPrometheus } from '../support/prometheus.ts';

async function serve(name: string): Promise<{ target: string; counter: Counter; close(): Promise<void> }> {
  const registry = new Registry();
  const counter = new Counter({ name, help: 'For the test.', registers: [registry] });
  const server = createServer(async (_, response) => {
    response.writeHead(200, { 'content-type': registry.contentType }).end(await registry.metrics());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    target: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    counter,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

test('a real Prometheus with deploy/prometheus.yml scrapes coordinator and worker targets', async () => {
  const coordinator = await serve('pocketfleet_test_coordinator_total');
  const worker = await serve('pocketfleet_test_worker_total');
  const prometheus = await startPrometheus({
    targets: { coordinator: [coordinator.target], worker: [worker.target] },
  });
  try {
    worker.counter.inc(7);
    const [sample] = await until('the counter is scraped', async () => {
      const found = await prometheus.query('pocketfleet_test_worker_total == 7');
      return found.length === 1 && found;
    });
    assert.equal(sample?.metric.job, 'pocketfleet-worker');
    await until('both targets are up', async () => (await prometheus.query('up == 1')).length === 2);
  } finally {
    await prometheus.stop();
    await coordinator.close();
    await worker.close();
  }
  await assertNothingLeft([prometheus.pid], [prometheus.port]);
});
