// Proxy variables of a company's machine: no client of ours goes through the proxy unless it was asked to. Real clients, real
// servers, and a proxy that writes down who comes.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { CoreV1Api, KubeConfig } from '@kubernetes/client-node';
import { createFleetClient, createWorkerClient, unary } from '../../../core/net/grpc-client.ts';
import { connectNats } from '../../../core/net/nats.ts';
import { startNats } from '../../support/nats.ts';
import { until } from '../../support/processes.ts';
import { type RecordingProxy, startRecordingProxy } from '../../support/proxy.ts';
import { startScriptedCoordinator } from '../../support/scripted-coordinator.ts';
import { startScriptedWorker } from '../../support/scripted-worker.ts';
import { startScriptedFleet } from '../cli/scripted-fleet.ts';

async function behindProxy(
  t: { after(f: () => Promise<void>): void },
  more: Record<string, string> = {},
): Promise<RecordingProxy> {
  const proxy = await startRecordingProxy();
  const before = { ...process.env };
  Object.assign(process.env, proxy.env, more);
  t.after(async () => {
    for (const name of Object.keys(process.env)) if (before[name] === undefined) delete process.env[name];
    Object.assign(process.env, before);
    await proxy.close();
  });
  return proxy;
}

test('commands, workers, broker and Kubernetes are reached directly whatever the proxy variables say', async (t) => {
  const proxy = await behindProxy(t);
  const fleet = await startScriptedFleet({});
  const client = createFleetClient({ endpoint: fleet.address, token: fleet.token });
  assert.deepEqual((await unary(client, client.listPlans, {})).plans, []);
  client.close();
  fleet.close();

  const nats = await startNats({ jetstream: false });
  const connection = await connectNats({
    url: nats.url,
    name: 'test',
    token: '',
    user: '',
    password: '',
    credentialsFile: '',
    caFile: '',
  });
  await connection.flush();
  await connection.close();

  const coordinator = await startScriptedCoordinator({ natsUrl: nats.url, token: 'secret' });
  const worker = startScriptedWorker({
    endpoint: coordinator.endpoint,
    token: 'secret',
    id: 'worker-1',
    trainingImages: 1,
  });
  await until('the worker is attached', () => coordinator.attached('worker-1'));
  worker.close();
  await coordinator.stop();
  await nats.stop();

  const api = createServer((_, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ kind: 'PodList', apiVersion: 'v1', items: [] }));
  });
  await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve));
  const config = new KubeConfig();
  config.loadFromClusterAndUser(
    {
      name: 'c',
      server: `http://127.0.0.1:${(api.address() as { port: number }).port}`,
      skipTLSVerify: true,
    },
    { name: 'u', token: 'secret' },
  );
  assert.deepEqual((await config.makeApiClient(CoreV1Api).listNamespacedPod({ namespace: 'n' })).items, []);
  api.closeAllConnections();
  await new Promise((resolve) => api.close(resolve));

  assert.deepEqual(proxy.heard, []);
});

test('a coordinator elsewhere is reached through the proxy when that was asked for, one on this machine never', async (t) => {
  const proxy = await behindProxy(t, { POCKETFLEET_PROXY: 'environment' });
  const fleet = await startScriptedFleet({});
  const near = createFleetClient({ endpoint: fleet.address, token: fleet.token });
  assert.deepEqual((await unary(near, near.listPlans, {})).plans, []);
  near.close();
  fleet.close();
  assert.deepEqual(proxy.heard, []);

  const far = createWorkerClient({ endpoint: 'fleet.example:7070', token: 'secret' });
  const stream = far.attach();
  stream.on('error', () => undefined);
  await until('the proxy is asked', () => proxy.heard[0]?.startsWith('CONNECT fleet.example:7070'));
  stream.cancel();
  far.close();

  process.env.POCKETFLEET_PROXY = 'sometimes';
  assert.throws(() => createFleetClient({ endpoint: 'fleet.example:7070', token: '' }), {
    code: 'invalidArgument',
    message: /POCKETFLEET_PROXY is "sometimes"; "environment" goes through/,
  });
});
