// deploy/install.yaml on an empty cluster, with a real API server: everything is accepted, its pods pass the namespace's
// own policy, and the program of its Job makes the secret with the rights of its service account and no more. Nobody runs
// pods here, so the Job's program is started as a process. `npm run test:kubernetes`, see pods.ts.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import {
  type ApiException,
  CoreV1Api,
  KubeConfig,
  KubernetesObjectApi,
  PolicyV1Api,
  type V1Pod,
} from '@kubernetes/client-node';
import { BROKER_KEYS } from '../../core/net/broker-keys.ts';
import { startApiServer, type TestApiServer } from '../support/api-server.ts';
import { chart, helm, installText, type KubernetesObject, objectsOf, render } from '../support/helm.ts';
import { assertNothingLeft, type Ending, freePort, startTypeScript } from '../support/processes.ts';

const NAMESPACE = 'pocketfleet';
const SECRET = 'pocketfleet-auth';
const BROKER_SECRET = 'pocketfleet-broker';
const KEYS = fileURLToPath(new URL('../../coordinator/kubernetes/keys-main.ts', import.meta.url));

let server: TestApiServer;
let folder: string;
let adminFile: string;
let objects: readonly KubernetesObject[];
let core: CoreV1Api;
let any: KubernetesObjectApi;
const programs: number[] = [];

before(async () => {
  server = await startApiServer();
  folder = mkdtempSync(join(tmpdir(), 'pocketfleet-install-'));
  adminFile = server.adminFile;
  core = server.admin.makeApiClient(CoreV1Api);
  any = KubernetesObjectApi.makeApiClient(server.admin);
  objects = objectsOf(await installText());
});

after(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
  await assertNothingLeft([...programs, ...(server?.pids ?? [])], server?.ports ?? []);
});

async function kubectl(...argv: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('kubectl', ['--kubeconfig', adminFile, ...argv]);
  return stdout;
}

function apply(text: string, name: string): Promise<string> {
  const file = join(folder, name);
  writeFileSync(file, text);
  return kubectl('apply', '-f', file);
}

/** A configuration file for the bearer of a token of a service account, as in a pod of it. */
async function fileOf(account: string): Promise<string> {
  const { status } = await core.createNamespacedServiceAccountToken({
    name: account,
    namespace: NAMESPACE,
    body: { spec: { audiences: [] } },
  });
  return server.kubeConfigFile(account, status!.token, 'elsewhere');
}

/** Runs the Job's program with the environment of its pod. */
async function runKeys(
  file: string,
  replaced: Readonly<Record<string, string>> = {},
): Promise<Ending & { readonly output: string }> {
  const { env } = objects.find(({ kind }) => kind === 'Job')!.spec.template.spec.containers[0];
  const plain = Object.fromEntries(
    env.map(({ name, value }: { name: string; value?: string }) => [name, value ?? NAMESPACE]),
  );
  const program = startTypeScript(KEYS, [], { env: { ...plain, ...replaced, KUBECONFIG: file } });
  programs.push(program.pid);
  return { ...(await program.ended), output: program.output() };
}

async function secretData(name = SECRET): Promise<Readonly<Record<string, string>>> {
  const { data = {} } = await core.readNamespacedSecret({ name, namespace: NAMESPACE });
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, atob(value)]));
}

test('kubectl apply on an empty cluster makes every object, and a second one changes none', async () => {
  const first = (await apply(await installText(), 'install.yaml')).trim().split('\n');
  assert.equal(first.length, objects.length);
  assert.deepEqual(
    first.filter((line) => !line.endsWith(' created')),
    [],
  );
  const versions = () =>
    Promise.all(
      objects.map(async ({ apiVersion, kind, metadata: { name } }) => {
        const found = await any.read({ apiVersion, kind, metadata: { name, namespace: NAMESPACE } });
        return `${kind}/${name} ${found.metadata!.resourceVersion}`;
      }),
    );
  const before = await versions();
  await apply(await installText(), 'install.yaml');
  assert.deepEqual(await versions(), before);
});

test('an image of another tag is applied over it: the Job is another one', async () => {
  const newer = await helm(
    ...['template', 'pocketfleet', chart, '--namespace', NAMESPACE, '--set', 'namespace.create=true'],
    ...['--set', 'coordinator.image.tag=0.2.0,worker.image.tag=0.2.0'],
  );
  const lines = (await apply(newer, 'newer.yaml')).trim().split('\n');
  assert.deepEqual(
    lines.filter((line) => line.endsWith(' created')).map((line) => line.replace(/-[0-9a-f]{8} /, ' ')),
    ['job.batch/pocketfleet-keys created'],
  );
  await apply(await installText(), 'install.yaml');
});

test('the namespace enforces the restricted profile: pods of every template are admitted, another is not', async () => {
  const pods = objects.flatMap(({ kind, metadata, spec }) =>
    ['Deployment', 'StatefulSet', 'Job'].includes(kind)
      ? [{ name: metadata.name, spec: spec.template.spec }]
      : [],
  );
  assert.equal(pods.length, 4);
  const create = (name: string, spec: NonNullable<V1Pod['spec']>) =>
    core.createNamespacedPod({ namespace: NAMESPACE, dryRun: 'All', body: { metadata: { name }, spec } });
  for (const { name, spec } of pods) {
    // The claim's volume is put in by the controller of the set.
    const volumes = [...spec.volumes, { name: 'store', emptyDir: {} }];
    await create(name, { ...spec, volumes });
  }
  const plain = { containers: [{ name: 'plain', image: 'plain' }] };
  await assert.rejects(create('plain', plain), /violates PodSecurity.*restricted/s);
});

test('a drain of all workers at once takes one: the next may go when that one is ready again', async () => {
  const { template } = objects.find(
    ({ kind, metadata }) => kind === 'StatefulSet' && metadata.name.endsWith('-worker'),
  )!.spec;
  const names = Array.from({ length: 8 }, (_, i) => `pocketfleet-worker-${i}`);
  for (const name of names) {
    const labels = template.metadata.labels;
    await core.createNamespacedPod({
      namespace: NAMESPACE,
      body: { metadata: { name, labels }, spec: { ...template.spec, nodeName: 'node-a' } },
    });
    const conditions = [{ type: 'Ready', status: 'True' }];
    await core.replaceNamespacedPodStatus({
      ...{ name, namespace: NAMESPACE },
      body: { metadata: { name, labels }, status: { phase: 'Running', conditions } },
    });
  }
  // The disruption controller counts; here the test does, as it would for eight ready pods.
  const policy = server.admin.makeApiClient(PolicyV1Api);
  const budget = { name: 'pocketfleet-worker', namespace: NAMESPACE };
  const found = await policy.readNamespacedPodDisruptionBudget(budget);
  assert.equal(found.spec!.maxUnavailable, 1);
  const status = {
    ...{ observedGeneration: found.metadata!.generation!, currentHealthy: 8, desiredHealthy: 7 },
    ...{ expectedPods: 8, disruptionsAllowed: 1 },
  };
  await policy.replaceNamespacedPodDisruptionBudgetStatus({ ...budget, body: { ...found, status } });
  const evict = (name: string) =>
    core
      .createNamespacedPodEviction({
        ...{ name, namespace: NAMESPACE },
        body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name } },
      })
      .then(
        () => 'evicted',
        (error: ApiException<unknown>) => error.code,
      );
  const answers = [];
  for (const name of names) answers.push(await evict(name));
  assert.deepEqual(answers, ['evicted', ...Array(7).fill(429)]);
});

test("the Job's account makes its secret and may do nothing else", async () => {
  const own = new KubeConfig();
  own.loadFromFile(await fileOf('pocketfleet-keys'));
  const api = own.makeApiClient(CoreV1Api);
  const refused = (call: Promise<unknown>) => assert.rejects(call, /HTTP-Code: 403/);
  const namespace = NAMESPACE;
  await refused(api.createNamespacedSecret({ namespace, body: { metadata: { name: 'other' } } }));
  await refused(api.createNamespacedSecret({ namespace, body: { metadata: { name: SECRET } } }));
  await refused(api.readNamespacedSecret({ namespace, name: 'other' }));
  await refused(api.listNamespacedSecret({ namespace }));
  await refused(api.deleteNamespacedSecret({ namespace, name: SECRET }));
  await refused(api.listNamespacedPod({ namespace }));
  await refused(api.readNamespacedSecret({ namespace: 'default', name: SECRET }));
  await refused(
    api.createNamespacedServiceAccountToken({
      ...{ namespace, name: 'pocketfleet' },
      body: { spec: { audiences: [] } },
    }),
  );
  const another = await runKeys(await fileOf('pocketfleet-keys'), { POCKETFLEET_KEY_SECRET: 'other' });
  assert.equal(another.code, 1);
  assert.match(another.output, /^keys: this service account may not make the secret other of namespace/);
});

test("the Job's program makes the secret once, and no value that is there is replaced", async () => {
  const file = await fileOf('pocketfleet-keys');
  const ended = await Promise.all([runKeys(file), runKeys(file)]);
  assert.deepEqual(
    ended.map(({ code }) => code),
    [0, 0],
    ended.map(({ output }) => output).join(''),
  );
  const made = await secretData();
  assert.deepEqual(Object.keys(made).sort(), ['token', 'worker-token']);
  assert.match(made.token!, /^pf_admin_[0-9a-f]{48}$/);
  assert.match(made['worker-token']!, /^pf_worker_[0-9a-f]{48}$/);
  const broker = await secretData(BROKER_SECRET);
  assert.deepEqual(Object.keys(broker).sort(), Object.values(BROKER_KEYS).sort());
  assert.match(broker[BROKER_KEYS.account]!, /^A[A-Z2-7]{55}$/);
  assert(broker[BROKER_KEYS.server]!.includes(broker[BROKER_KEYS.account]!), 'of one set');
  for (const { output } of ended)
    for (const value of [...Object.values(made), ...Object.values(broker)])
      assert(!output.includes(value), 'tokens and keys are not logged');

  const again = await runKeys(file);
  assert.equal(again.code, 0);
  assert.match(again.output, /all keys are there/);
  assert.deepEqual(await secretData(), made);
  assert.deepEqual(await secretData(BROKER_SECRET), broker);

  await core.deleteNamespacedSecret({ name: SECRET, namespace: NAMESPACE });
  const given = { token: 'chosen by a person', other: 'of somebody else' };
  await core.createNamespacedSecret({
    namespace: NAMESPACE,
    body: { metadata: { name: SECRET }, stringData: given },
  });
  assert.equal((await runKeys(file)).code, 0);
  const { 'worker-token': added, ...rest } = await secretData();
  assert.deepEqual(rest, given);
  assert.match(added!, /^pf_worker_/);
});

test('what cannot be done is one sentence and exit code 1', async () => {
  const file = await fileOf('pocketfleet-keys');
  await core.deleteNamespacedSecret({ name: SECRET, namespace: NAMESPACE });
  const body = { metadata: { name: SECRET }, stringData: { token: 'x' }, immutable: true };
  await core.createNamespacedSecret({ namespace: NAMESPACE, body });
  const immutable = await runKeys(file);
  assert.equal(immutable.code, 1);
  assert.match(immutable.output, /^keys: the secret .* lacks one of the keys .*immutable/);
  await core.deleteNamespacedSecret({ name: SECRET, namespace: NAMESPACE });

  const { data = {} } = await core.readNamespacedSecret({ name: BROKER_SECRET, namespace: NAMESPACE });
  const { [BROKER_KEYS.workers]: lost, ...rest } = data;
  assert(lost !== undefined);
  await core.deleteNamespacedSecret({ name: BROKER_SECRET, namespace: NAMESPACE });
  const part = { metadata: { name: BROKER_SECRET }, data: rest };
  await core.createNamespacedSecret({ namespace: NAMESPACE, body: part });
  const partial = await runKeys(file);
  assert.equal(partial.code, 1);
  assert.match(
    partial.output,
    /keys: the secret pocketfleet-broker lacks nats-workers\.seed, which belong to what it has; put them back/,
  );

  const away = server.kubeConfigFile('away', 'x', NAMESPACE, await freePort());
  const unreachable = await runKeys(away, { POCKETFLEET_WAIT_MS: '0' });
  assert.equal(unreachable.code, 1);
  assert.match(unreachable.output, /^keys: the Kubernetes API does not answer/);
});

test('a release of a long name with dots is accepted whole', async () => {
  const release = 'team.faces.production.europe.west.of-the-second-cell';
  const long = await helm('template', release, chart, '--namespace', NAMESPACE);
  const lines = (await apply(long, 'long.yaml')).trim().split('\n');
  assert.equal(lines.length, (await render()).length);
});
