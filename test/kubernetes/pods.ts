// The coordinator beside a real Kubernetes API server, with the rights that the chart gives it and no more: an evicted or
// deleted pod takes its worker out of its gangs at once, while the worker itself still reports. Not part of `npm test`,
// because kube-apiserver is not in a package: `npm run test:kubernetes` with etcd and kube-apiserver on PATH.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  AppsV1Api,
  CoordinationV1Api,
  CoreV1Api,
  KubeConfig,
  KubernetesObjectApi,
  type V1Pod,
} from '@kubernetes/client-node';
import { LEADS_LABEL } from '../../coordinator/kubernetes/lead-mirror.ts';
import { createFleetClient, unary } from '../../core/net/grpc-client.ts';
import type { FleetServiceClient } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { startApiServer, type TestApiServer } from '../support/api-server.ts';
import { type KubernetesObject, render } from '../support/helm.ts';
import { startNats, type TestNats } from '../support/nats.ts';
import { assertNothingLeft, freePort, type Program, startTypeScript, until } from '../support/processes.ts';
import { type ScriptedWorker, startScriptedWorker } from '../support/scripted-worker.ts';

const TOKEN = 'token-of-this-test';
const NAMESPACE = 'pocketfleet';
/** 12 identities of 8 images, 4 held out. */
const RUN = `
kind: teacher
name: long
network: { kind: pocketnet, channels: 2, layers: 4, embedding: 16 }
data: { kind: synthetic, identities: 12, images: 8, holdout: 4 }
training: { epochs: 1000, batch: 16 }
verification: { pairs: 40 }
workers: { min: 1, max: 4 }
`;

/** The StatefulSet of the workers, and the Service of its name. */
const WORKERS = 'pocketfleet-worker';

let server: TestApiServer;
let nats: TestNats;
let coordinator: Program;
let client: FleetServiceClient;
let pods: CoreV1Api;
let own: KubeConfig;
let labels: Record<string, string>;
let port: number;
let metricsPort: number;
const workers: ScriptedWorker[] = [];

before(async () => {
  // First, because it is what a machine may lack: nothing else is started then, and left.
  server = await startApiServer();
  [nats, port, metricsPort] = await Promise.all([startNats({ token: TOKEN }), freePort(), freePort()]);
  const objects = await render('--set', 'worker.autoscale.enabled=true');
  const env = deploymentOf(objects).spec.template.spec.containers[0].env as { name: string; value: string }[];
  labels = objects.find(({ kind, metadata }) => kind === 'StatefulSet' && metadata.name.includes('worker'))!
    .spec.template.metadata.labels;
  pods = server.admin.makeApiClient(CoreV1Api);
  await pods.createNamespace({ body: { metadata: { name: NAMESPACE } } });
  const any = KubernetesObjectApi.makeApiClient(server.admin);
  for (const object of objects)
    if (['ServiceAccount', 'Role', 'RoleBinding'].includes(object.kind) || object.metadata.name === WORKERS)
      await any.create(object);
  const account = deploymentOf(objects).spec.template.spec.serviceAccountName as string;
  const { status } = await pods.createNamespacedServiceAccountToken({
    name: account,
    namespace: NAMESPACE,
    body: { spec: { audiences: [] } },
  });
  const file = server.kubeConfigFile('coordinator', status!.token, 'elsewhere');
  own = new KubeConfig();
  own.loadFromFile(file);
  for (const name of ['coordinator-0', 'coordinator-1'])
    await pods.createNamespacedPod({
      namespace: NAMESPACE,
      body: {
        metadata: { name, labels: { [LEADS_LABEL]: name === 'coordinator-0' ? 'false' : 'true' } },
        spec: { nodeName: 'node-a', containers: [{ name: 'coordinator', image: 'coordinator' }] },
      },
    });
  coordinator = startTypeScript(
    fileURLToPath(new URL('../../coordinator/main.ts', import.meta.url)),
    [
      ...['--listen', `127.0.0.1:${port}`, '--metrics-listen', `127.0.0.1:${metricsPort}`],
      ...['--nats-url', nats.url, '--nats-token', TOKEN, '--token', TOKEN],
      ...['--pod-selector', env.find(({ name }) => name === 'POCKETFLEET_POD_SELECTOR')!.value],
      ...['--pod-namespace', NAMESPACE, '--pod-name', 'coordinator-0'],
      ...['--lease-name', env.find(({ name }) => name === 'POCKETFLEET_LEASE_NAME')!.value],
      ...['--scale-workers', env.find(({ name }) => name === 'POCKETFLEET_SCALE_WORKERS')!.value],
      ...['--scale-min', '1', '--scale-max', '3', '--scale-down-after-ms', '1000'],
    ],
    { env: { KUBECONFIG: file } },
  );
  await coordinator.untilOutput(/"msg":"ready"/);
  client = createFleetClient({ endpoint: `127.0.0.1:${port}`, token: TOKEN });
});

after(async () => {
  for (const worker of workers) worker.close();
  client?.close();
  await coordinator?.stop();
  await nats?.stop();
  await server?.stop();
  const pids = [coordinator?.pid, nats?.pid, ...(server?.pids ?? [])].filter((pid) => pid !== undefined);
  const ports = [port, metricsPort, nats?.port, ...(server?.ports ?? [])].filter((one) => one !== undefined);
  await assertNothingLeft(pids, ports);
});

const deploymentOf = (objects: readonly KubernetesObject[]) =>
  objects.find(({ kind }) => kind === 'Deployment')!;

/** On a node that nobody runs, so that a deletion waits for a kubelet as it does where the node cannot be reached. */
async function startWorker(name: string): Promise<V1Pod> {
  const pod = await pods.createNamespacedPod({
    namespace: NAMESPACE,
    body: {
      metadata: { name, labels },
      spec: { nodeName: 'node-a', containers: [{ name: 'worker', image: 'worker' }] },
    },
  });
  const endpoint = `127.0.0.1:${port}`;
  workers.push(
    startScriptedWorker({ endpoint, token: TOKEN, id: name, trainingImages: 64, podUid: pod.metadata!.uid! }),
  );
  return pod;
}

async function runOf(id: string) {
  const { runs } = await unary(client, client.listRuns, { planId: '', sweepId: '' });
  return runs.find((run) => run.id === id)!;
}
const gangOf = async (id: string) => [...(await runOf(id)).workerIds].sort();
const untilGang = (id: string, gang: readonly string[], deadlineMs: number) =>
  until(
    `${id} is trained by ${gang.join(', ') || 'nobody'}`,
    async () => JSON.stringify(await gangOf(id)) === JSON.stringify(gang),
    deadlineMs,
  );
async function why(id: string): Promise<string> {
  const { decisions } = await unary(client, client.why, { id });
  return decisions.map((decision) => decision.text).join('\n');
}

test('the coordinator reads pods with the rights of the chart, and may not read secrets', async () => {
  const api = own.makeApiClient(CoreV1Api);
  assert.ok((await api.listNamespacedPod({ namespace: NAMESPACE })).items);
  await assert.rejects(api.listNamespacedSecret({ namespace: NAMESPACE }), /HTTP-Code: 403/);
  await assert.rejects(api.listNamespacedPod({ namespace: 'default' }), /HTTP-Code: 403/);
});

test('the pod of the leader alone has its label, and the Lease names it', async () => {
  const labelOf = async (name: string) =>
    (await pods.readNamespacedPod({ name, namespace: NAMESPACE })).metadata!.labels![LEADS_LABEL];
  await until('the label moves to the leader', async () => (await labelOf('coordinator-0')) === 'true');
  assert.equal(await labelOf('coordinator-1'), 'false');
  const leases = server.admin.makeApiClient(CoordinationV1Api);
  const lease = { name: 'pocketfleet-leader', namespace: NAMESPACE };
  const { spec } = await until('the Lease is there', () =>
    leases.readNamespacedLease(lease).catch(() => undefined),
  );
  assert.deepEqual(
    [spec!.holderIdentity, spec!.leaseDurationSeconds, spec!.leaseTransitions],
    ['coordinator-0', 15, 0],
  );
  const scrape = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const made = 'pocketfleet_kubernetes_requests_total{verb="create",resource="leases",outcome="ok"} 1';
  assert.ok(scrape.includes(made), scrape.match(/^pocketfleet_kubernetes_requests_total.*$/gm)?.join('\n'));
  await assert.rejects(
    own.makeApiClient(CoordinationV1Api).deleteNamespacedLease({ ...lease, body: {} }),
    /HTTP-Code: 403/,
  );
});

test('evicted and deleted pods take their workers out of the gang, the reasons are told, and a new pod of the name is welcome', async () => {
  await Promise.all(['worker-0', 'worker-1', 'worker-2'].map(startWorker));
  await until(
    'three workers are attached',
    async () => (await unary(client, client.listWorkers, {})).workers.length === 3,
    10_000,
  );
  const { runIds } = await unary(client, client.submit, {
    yaml: RUN,
    baseDir: '',
    dryRun: false,
    overrides: {},
  });
  const id = runIds[0]!;
  await untilGang(id, ['worker-0', 'worker-1', 'worker-2'], 20_000);

  await pods.createNamespacedPodEviction({
    name: 'worker-1',
    namespace: NAMESPACE,
    body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'worker-1' } },
  });
  // It still reports: without the pod nobody would take it for lost, ever.
  await untilGang(id, ['worker-0', 'worker-2'], 3_000);
  assert.match(await why('worker-1'), /its pod is (evicted \(EvictionByEvictionAPI|being deleted)/);

  await pods.deleteNamespacedPod({ name: 'worker-2', namespace: NAMESPACE, gracePeriodSeconds: 0 });
  await untilGang(id, ['worker-0'], 3_000);
  assert.match(await why('worker-2'), /its pod was deleted/);

  workers.find((worker) => worker.id === 'worker-2')!.close();
  await startWorker('worker-2');
  await untilGang(id, ['worker-0', 'worker-2'], 20_000);
});

test('what happened while the API server was away is heard when it is back', async () => {
  const { runs } = await unary(client, client.listRuns, { planId: '', sweepId: '' });
  const id = runs[0]!.id;
  await server.kill();
  await coordinator.untilOutput(/pods of workers are not watched/);
  assert.deepEqual(await gangOf(id), ['worker-0', 'worker-2'], 'an API server that is away takes nobody out');
  await server.start();
  await pods.deleteNamespacedPod({ name: 'worker-2', namespace: NAMESPACE, gracePeriodSeconds: 0 });
  await untilGang(id, ['worker-0'], 10_000);
});

test('the leader asks for as many pods as the runs can use, and drains workers before it gives their pods up', async () => {
  const apps = server.admin.makeApiClient(AppsV1Api);
  const replicas = async () =>
    (await apps.readNamespacedStatefulSet({ name: WORKERS, namespace: NAMESPACE })).spec!.replicas;
  await until('as many pods as there may be', async () => (await replicas()) === 3, 20_000);
  const names = [0, 1, 2].map((place) => `${WORKERS}-${place}`);
  await Promise.all(names.map(startWorker));
  const { runs } = await unary(client, client.listRuns, { planId: '', sweepId: '' });
  const id = runs[0]!.id;
  await until('they train', async () => (await gangOf(id)).includes(names[2]!), 20_000);
  await unary(client, client.cancel, { id, reason: 'enough' });
  await until('one pod is left', async () => (await replicas()) === 1, 20_000);
  assert.match(await why(names[2]!), /drains.*the fleet needs fewer workers: the open runs could use/s);
  assert.doesNotMatch(await why(names[0]!), /fewer workers/);
  const scrape = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  for (const step of ['up', 'drain', 'down'])
    assert.match(scrape, new RegExp(`pocketfleet_scaler_decisions_total\\{step="${step}"\\} [1-9]`));
});
