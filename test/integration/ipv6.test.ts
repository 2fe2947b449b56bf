// A fleet on a machine that has IPv6 alone: broker, coordinator, worker and caller know each other by addresses in brackets.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startCoordinator } from '../../coordinator/coordinator.ts';
import { systemClock } from '../../core/clock.ts';
import { coordinatorConfigSchema, loadConfig } from '../../core/config.ts';
import { createLogger } from '../../core/log.ts';
import { connectData } from '../../core/net/data-connection.ts';
import { createFleetClient, unary } from '../../core/net/grpc-client.ts';
import { startNats } from '../support/nats.ts';
import { assertNothingLeft, until } from '../support/processes.ts';
import { startScriptedWorker } from '../support/scripted-worker.ts';

const TOKEN = 'token-of-this-test';

test('broker, coordinator, worker and caller meet at ::1', async () => {
  const nats = await startNats({ token: TOKEN, config: 'host: "::1"\n' });
  const natsUrl = `nats://[::1]:${nats.port}`;
  const flags = [
    ...['--listen', '[::1]:0', '--metrics-listen', '[::1]:0', '--token', TOKEN],
    ...['--nats-url', natsUrl, '--nats-token', TOKEN],
  ];
  const coordinator = await startCoordinator({
    config: loadConfig(coordinatorConfigSchema, flags, {}),
    version: 'test',
    revision: 'test',
    log: createLogger({ program: 'coordinator', level: 'error' }),
    clock: systemClock,
  });
  const { endpoint, metricsEndpoint } = coordinator;
  assert.match(endpoint, /^\[::1\]:[1-9]\d*$/);
  const worker = startScriptedWorker({ endpoint, token: TOKEN, id: 'worker-0', trainingImages: 64 });
  const client = createFleetClient({ endpoint, token: TOKEN });
  await until(
    'the worker is attached',
    async () => (await unary(client, client.listWorkers, {})).workers.length === 1,
  );
  assert.equal((await fetch(`http://${metricsEndpoint}/healthz`)).status, 200);
  const data = await connectData({ url: natsUrl, token: TOKEN, name: 'gradients' });
  data.close();
  await assert.rejects(
    connectData({ url: 'nats://::1:4222', name: 'gradients' }),
    /is no broker address; write .*an IPv6 address in brackets/,
  );
  worker.close();
  client.close();
  await coordinator.close();
  await nats.stop();
  await assertNothingLeft([nats.pid], []);
});
