import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { LEADS_LABEL } from '../../coordinator/kubernetes/lead-mirror.ts';
import {
  adoptStoreConfigSchema,
  coordinatorConfigSchema,
  keysConfigSchema,
  loadConfig,
  workerConfigSchema,
} from '../../core/config.ts';
import { BROKER_KEYS } from '../../core/net/broker-keys.ts';
import { chart, helm, installText, type KubernetesObject, render } from '../support/helm.ts';
import { faultsOf } from '../support/kubernetes.ts';

const install = new URL('../../deploy/install.yaml', import.meta.url);
const variants = readdirSync(join(chart, 'ci')).map((name) => join(chart, 'ci', name));

/** What a volume takes from secrets. */
interface Volume {
  readonly secret?: { readonly secretName: string; readonly items: readonly { readonly key: string }[] };
  readonly projected?: {
    readonly sources: readonly {
      readonly secret?: { readonly name: string; readonly items: readonly { readonly key: string }[] };
    }[];
  };
}

/** Pod specs with the name of their object. */
function podsOf(objects: readonly KubernetesObject[]) {
  return objects
    .filter(({ kind }) => ['Deployment', 'StatefulSet', 'Job'].includes(kind))
    .map((object) => ({ name: object.metadata.name, object, pod: object.spec.template.spec }));
}

test('the chart passes helm lint with every set of values', async () => {
  for (const values of [[], ...variants.map((file) => ['--values', file])])
    assert.match(await helm('lint', '--strict', chart, ...values), /0 chart\(s\) failed/);
});

test('deploy/install.yaml is what the chart renders, and two renders are equal', async () => {
  const text = await installText();
  assert.equal(await installText(), text);
  assert.equal(
    readFileSync(install, 'utf8'),
    text,
    'deploy/install.yaml is stale; run `npm run generate:install` and commit',
  );
});

test('every rendered object holds only fields of the Kubernetes API', async () => {
  for (const values of [[], ...variants.map((file) => ['--values', file])]) {
    const objects = await render(...values);
    assert(objects.length > 5);
    const builtIn = objects.filter(
      ({ apiVersion }) => !/^(monitoring\.coreos\.com|cert-manager\.io)\//.test(apiVersion),
    );
    assert.deepEqual(builtIn.flatMap(faultsOf), []);
  }
});

test('the check of fields finds an unknown field, a wrong type, a wrong word and a missing field', async () => {
  const objects = await render();
  const find = (kind: string, part: string) =>
    structuredClone(objects.find((o) => o.kind === kind && o.metadata.name.endsWith(part)))!;
  const worker = find('StatefulSet', '-worker');
  worker.spec.template.spec.containers[0].livenesProbe = {};
  worker.spec.podManagementPolicy = 'Parallell';
  const coordinator = find('Deployment', '-coordinator');
  coordinator.spec.replicas = 'one';
  delete coordinator.spec.template.spec.containers;
  assert.deepEqual(faultsOf(worker), [
    'StatefulSet/pocketfleet-worker.spec.podManagementPolicy may be OrderedReady, Parallel; it is "Parallell"',
    'StatefulSet/pocketfleet-worker.spec.template.spec.containers[0].livenesProbe is unknown to V1Container',
  ]);
  assert.deepEqual(faultsOf(coordinator), [
    'Deployment/pocketfleet-coordinator.spec.replicas must be a number, it is "one"',
    'Deployment/pocketfleet-coordinator.spec.template.spec.containers is missing',
  ]);
});

test('wrong values are refused with their path', async () => {
  const wrong: readonly (readonly [string, RegExp])[] = [
    ['worker.slotz=3', /worker.*slotz/s],
    ['worker.slots=0', /worker\/slots/],
    ['logLevel=loud', /logLevel/],
    ['worker.image.digest=sha256:12', /image\/digest/],
    ['worker.resources.limits.memory=lots', /limits\/memory/],
    ['metrics.serviceMonitor.enabled=perhaps', /serviceMonitor\/enabled/],
    ['coordinator.replicas=0', /coordinator\/replicas/],
    ['nats.enabled=false', /nats\/external\/url/],
    ['nats.memoryTarget=1Gi', /nats\/memoryTarget/],
    ['worker.nodeSelector.gpu=true', /nodeSelector\/gpu/],
    ['networkPolicy.apiServerCidr=nearby', /apiServerCidr/],
    ['network.listenHost=::', /network\/listenHost/],
    ['network.listenHost=localhost', /network\/listenHost/],
    ['network.ipFamilyPolicy=Dual', /network\/ipFamilyPolicy/],
    ['worker.disruptionsMax=-1', /worker\/disruptionsMax/],
    ['worker.disruptionsMax=half', /worker\/disruptionsMax/],
    ['auth.keys.image=x', /auth\/keys.*image/s],
    ['nats.enabled=false,nats.external.url=nats://n:4222', /name that secret in auth\.existingSecret/],
  ];
  for (const [value, path] of wrong)
    await assert.rejects(render('--set', value), (error: Error) => path.test(error.message), value);
});

test('every pod runs under the restricted profile, with requests, limits and probes; an API token have the coordinator and the Job alone', async () => {
  for (const { name, object, pod } of podsOf(await render())) {
    assert.equal(pod.automountServiceAccountToken, object.kind !== 'StatefulSet', name);
    assert.equal(pod.securityContext.runAsNonRoot, true, name);
    assert(pod.securityContext.runAsUser > 0, name);
    assert.equal(pod.securityContext.seccompProfile.type, 'RuntimeDefault', name);
    for (const container of [...pod.containers, ...(pod.initContainers ?? [])]) {
      assert.deepEqual(container.securityContext, {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
      const { requests, limits } = container.resources;
      assert(requests.cpu && requests.memory && requests['ephemeral-storage'], name);
      assert(limits.memory && limits['ephemeral-storage'], name);
      // values.yaml says why.
      assert.equal(limits.cpu, undefined, name);
      for (const probe of ['livenessProbe', 'readinessProbe', 'startupProbe'])
        assert(
          object.kind === 'Job' || !pod.containers.includes(container) || container[probe],
          `${name}: ${probe}`,
        );
    }
  }
});

test('the coordinator may read and label pods and keep its Lease, and nothing else; one alone labels none, and may do without', async () => {
  const objects = await render();
  const ofKind = (kind: string, from = objects) => from.filter((object) => object.kind === kind);
  const ofCoordinator = (kind: string) =>
    ofKind(kind).filter(({ metadata }) => !metadata.name.endsWith('-keys'));
  const [role] = ofCoordinator('Role');
  const reads = { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list', 'watch'] };
  const ofLeases = { apiGroups: ['coordination.k8s.io'], resources: ['leases'] };
  assert.deepEqual(role?.rules, [
    { ...reads, verbs: [...reads.verbs, 'patch'] },
    { ...ofLeases, verbs: ['create'] },
    { ...ofLeases, resourceNames: ['pocketfleet-leader'], verbs: ['get', 'update'] },
  ]);
  const alone = await render('--set', 'coordinator.replicas=1');
  assert.deepEqual(
    ofKind('Role', alone).find(({ metadata }) => metadata.name === role?.metadata.name)?.rules,
    [reads],
  );
  assert.equal(ofKind('ClusterRole').length, 0);
  const scaled = await render('--set', 'worker.autoscale.enabled=true,worker.autoscale.max=9');
  const [workers] = ofKind('StatefulSet', scaled).filter(({ metadata }) => metadata.name.endsWith('-worker'));
  assert.equal(workers?.spec.replicas, undefined, "the number is the leader's");
  const scales = ofKind('Role', scaled).flatMap(({ rules }) => rules as { apiGroups: string[] }[]);
  assert.deepEqual(
    scales.filter(({ apiGroups }) => apiGroups.includes('apps')),
    [
      {
        ...{ apiGroups: ['apps'], resources: ['statefulsets/scale'] },
        ...{ resourceNames: [workers!.metadata.name], verbs: ['get', 'patch'] },
      },
    ],
  );
  const [binding] = ofCoordinator('RoleBinding');
  const [account] = ofCoordinator('ServiceAccount');
  assert.equal(binding?.subjects[0].name, account?.metadata.name);
  assert.equal(binding?.roleRef.name, role?.metadata.name);
  const env = (kind: string, from = objects) => ofKind(kind, from)[0]!.spec.template.spec.containers[0].env;
  const selector: string = env('Deployment').find(
    ({ name }: { name: string }) => name === 'POCKETFLEET_POD_SELECTOR',
  ).value;
  const labels = podsOf(objects).find(({ name }) => name.includes('worker'))!.object.spec.template.metadata
    .labels;
  for (const pair of selector.split(',')) assert.equal(labels[pair.split('=')[0]!], pair.split('=')[1], pair);
  const without = await render(
    ...['--set', 'coordinator.replicas=1,coordinator.watchPods=false'],
    ...['--set', 'auth.existingSecret=given,auth.existingBrokerSecret=given-too'],
  );
  assert.deepEqual([ofKind('Role', without), ofKind('RoleBinding', without)], [[], []]);
  assert(!JSON.stringify(env('Deployment', without)).includes('POD_SELECTOR'));
  for (const { pod, name } of podsOf(without)) assert.equal(pod.automountServiceAccountToken, false, name);
});

test('names inside the chart resolve: selectors, ports, claims, config maps, accounts and volumes', async () => {
  const objects = await render();
  const pods = podsOf(objects);
  const named = (kind: string) =>
    objects.filter((object) => object.kind === kind).map(({ metadata }) => metadata.name);
  const selected = (selector: Record<string, string>) =>
    pods.filter(({ object }) =>
      Object.entries(selector).every(([k, v]) => {
        const has = object.spec.template.metadata.labels[k];
        // The leader sets it on its own pod.
        return has === v || (k === LEADS_LABEL && has === 'false');
      }),
    );
  for (const service of objects.filter(({ kind }) => kind === 'Service')) {
    const [target] = selected(service.spec.selector);
    assert(target, `${service.metadata.name} selects a pod`);
    const ports = target.pod.containers.flatMap((c: { ports: { name: string }[] }) =>
      c.ports.map((port) => port.name),
    );
    for (const { targetPort } of service.spec.ports) assert(ports.includes(targetPort), targetPort);
  }
  for (const { object, pod, name } of pods) {
    if (object.kind !== 'Job') assert.equal(selected(object.spec.selector.matchLabels).length, 1, name);
    if (object.kind === 'StatefulSet') assert(named('Service').includes(object.spec.serviceName), name);
    assert(named('ServiceAccount').includes(pod.serviceAccountName), name);
    const volumes = [...pod.volumes, ...(object.spec.volumeClaimTemplates ?? []).map(nameOfClaim)];
    const sources = pod.volumes.flatMap((volume: Volume) => [volume, ...(volume.projected?.sources ?? [])]);
    for (const { configMap } of sources)
      if (configMap) assert(named('ConfigMap').includes(configMap.name), name);
    for (const { volumeMounts } of [...pod.containers, ...(pod.initContainers ?? [])])
      for (const mount of volumeMounts)
        assert(
          volumes.some((volume) => volume.name === mount.name),
          mount.name,
        );
  }
  for (const policy of objects.filter(({ kind }) => kind === 'NetworkPolicy'))
    assert.equal(selected(policy.spec.podSelector.matchLabels).length, 1, policy.metadata.name);
});

const nameOfClaim = (claim: { metadata: { name: string } }) => ({ name: claim.metadata.name });

test('the programs accept the environment that the chart gives them', async () => {
  const environment = (pods: ReturnType<typeof podsOf>, part: string): NodeJS.ProcessEnv => {
    const { env } = pods.find(({ name }) => name.includes(part))!.pod.containers[0];
    return Object.fromEntries(
      env.map(({ name, value }: { name: string; value?: string }) => [name, value ?? 'worker-0']),
    );
  };
  const pods = podsOf(await render());
  const coordinator = environment(pods, '-coordinator');
  const worker = environment(pods, '-worker');
  const keys = environment(pods, '-keys-');
  // A name that the program does not know would be ignored in silence, so names are compared too.
  const known = (schema: { shape: object }) =>
    Object.keys(schema.shape).map(
      (key) => `POCKETFLEET_${key.replace(/[A-Z]/g, (c) => `_${c}`).toUpperCase()}`,
    );
  for (const [env, schema] of [
    [coordinator, coordinatorConfigSchema],
    [worker, workerConfigSchema],
    [keys, keysConfigSchema],
  ] as const) {
    const names = Object.keys(env).filter((name) => name.startsWith('POCKETFLEET_'));
    assert.deepEqual(
      names.filter((name) => !known(schema).includes(name)),
      [],
    );
  }
  assert.equal(loadConfig(coordinatorConfigSchema, [], coordinator).listen, '[::]:7070');
  assert.equal(loadConfig(workerConfigSchema, [], worker).coordinator, 'pocketfleet-coordinator:7070');
  assert.equal(loadConfig(keysConfigSchema, [], keys).keyNames, 'token,worker-token');
  assert.equal(loadConfig(keysConfigSchema, [], keys).brokerSecret, 'pocketfleet-broker');
  const broker = pods.find(({ name }) => name.endsWith('-nats'))!.pod;
  const adopt = Object.fromEntries(
    broker.initContainers[0].env.map(({ name, value }: { name: string; value: string }) => [name, value]),
  );
  assert.equal(loadConfig(adoptStoreConfigSchema, [], adopt).storeDir, '/data');
});

test('a Job makes the secrets that pods name, unless they are given; nothing of them is in the render', async () => {
  const objects = await render();
  const job = objects.find(({ kind }) => kind === 'Job')!;
  const made = job.spec.template.spec.containers[0].env[0].value;
  const role = objects.find(({ kind, metadata }) => kind === 'Role' && metadata.name.endsWith('-keys'))!;
  assert.deepEqual(role.rules, [
    {
      ...{ apiGroups: [''], resources: ['secrets'], resourceNames: [made, 'pocketfleet-broker'] },
      verbs: ['get', 'create', 'patch'],
    },
  ]);
  const named = (from: readonly KubernetesObject[]) =>
    podsOf(from).flatMap(({ pod }) => [
      ...pod.containers[0].env.flatMap(
        ({
          valueFrom,
        }: {
          valueFrom?: { secretKeyRef?: { name: string; key: string; optional?: boolean } };
        }) => valueFrom?.secretKeyRef ?? [],
      ),
      ...pod.volumes.flatMap(
        ({ name, secret }: { name: string; secret?: { secretName: string; items: { key: string }[] } }) =>
          name === 'auth'
            ? secret!.items.map(({ key }) => ({ ...secret, name: secret!.secretName, key }))
            : [],
      ),
    ]) as { name: string; key: string; optional?: boolean }[];
  assert(named(objects).length >= 3);
  for (const { name, key, optional } of named(objects)) {
    assert.equal(name, made);
    assert(['token', 'worker-token'].includes(key));
    // A pod whose secret is optional would start without a token instead of waiting.
    assert.equal(optional, undefined);
  }
  assert.equal(objects.filter(({ kind }) => kind === 'Secret').length, 0);

  // The keys of the broker: the server gets what is no secret, the coordinator its credentials and the seed with
  // which it signs, and workers nothing.
  const files = (from: readonly KubernetesObject[], part: string) =>
    podsOf(from)
      .filter(({ name }) => name.includes(part))
      .flatMap(({ pod }) =>
        pod.volumes.flatMap((volume: Volume) => [
          ...(volume.secret === undefined ? [] : [{ ...volume.secret, name: volume.secret.secretName }]),
          ...(volume.projected?.sources ?? []).flatMap(({ secret }) => secret ?? []),
        ]),
      )
      .filter(({ items = [] }) => items.some(({ key }: { key: string }) => key.startsWith('nats-')))
      .map(({ name, items }) => [name, items.map(({ key }: { key: string }) => key)]);
  const secret = 'pocketfleet-broker';
  assert.deepEqual(files(objects, '-nats'), [[secret, [BROKER_KEYS.server, BROKER_KEYS.account]]]);
  assert.deepEqual(files(objects, '-coordinator'), [
    [secret, [BROKER_KEYS.coordinator, BROKER_KEYS.workers]],
  ]);
  assert.deepEqual(files(objects, '-worker'), []);

  const own = await render('--set', 'auth.existingSecret=mine');
  assert.deepEqual(
    own.find(({ kind, metadata }) => kind === 'Role' && metadata.name.endsWith('-keys'))?.rules[0]
      .resourceNames,
    [secret],
  );
  const given = await render('--set', 'auth.existingSecret=mine,auth.existingBrokerSecret=theirs');
  assert.deepEqual(files(given, '-nats')[0]![0], 'theirs');
  assert.deepEqual(
    given.filter(({ kind, metadata }) => kind === 'Job' || metadata.name.includes('-keys')),
    [],
  );
  assert(named(given).every(({ name }) => name === 'mine'));
});

test('a worker has the token of the workers and no other, and tokens of callers follow their secret as files', async () => {
  const objects = await render();
  const podOf = (part: string) => podsOf(objects).find(({ name }) => name.endsWith(part))!.pod;
  const keysOf = (part: string) =>
    podOf(part)
      .volumes.find(({ name }: { name: string }) => name === 'auth')
      .secret.items.map(({ key }: { key: string }) => key);
  assert.deepEqual(
    [keysOf('-worker'), keysOf('-coordinator')],
    [['worker-token'], ['token', 'worker-token']],
  );
  for (const part of ['-worker', '-coordinator']) {
    const [container] = podOf(part).containers;
    const env = container.env as { name: string; value?: string; valueFrom?: object }[];
    assert.deepEqual(
      env.filter(({ name, valueFrom }) => valueFrom && /POCKETFLEET_(WORKER_)?TOKEN/.test(name)),
      [],
      'a token in the environment needs a restart',
    );
    for (const { name, value } of env.filter((one) => /TOKENS?_FILE$/.test(one.name)))
      assert.ok(
        container.volumeMounts.some(({ mountPath }: { mountPath: string }) =>
          value!.startsWith(`${mountPath}/`),
        ),
        name,
      );
  }
  const { secret } = podOf('-coordinator').volumes.find(({ name }: { name: string }) => name === 'tokens');
  assert.deepEqual([secret.secretName, secret.optional], ['pocketfleet-tokens', true]);
});

test('the notes put no token into an argument or a variable', () => {
  const notes = readFileSync(join(chart, 'templates', 'NOTES.txt'), 'utf8');
  assert.ok(!/TOKEN=\$\(/.test(notes) && !/--token /.test(notes));
  assert.match(notes, /umask 077; kubectl .* > pocketfleet\.token\)/);
});

test('another template of the Job is a Job of another name, since a Job cannot be changed', async () => {
  const nameOf = async (...values: readonly string[]) =>
    (await render(...values)).find(({ kind }) => kind === 'Job')!.metadata.name;
  const names = await Promise.all([
    nameOf(),
    nameOf('--set', 'coordinator.image.tag=0.2.0'),
    nameOf('--set', 'auth.keys.nodeSelector.pool=system'),
    nameOf('--set', 'logLevel=debug'),
  ]);
  assert.equal(new Set(names).size, names.length);
  assert.equal(await nameOf('--set', 'worker.replicas=3'), names[0]);
});

test('the family of addresses is one to choose, and the programs take what the values allow', async () => {
  const objects = await render('--set', 'network.listenHost=0.0.0.0,network.ipFamilyPolicy=PreferDualStack');
  const listening = podsOf(objects).flatMap(({ pod }) =>
    pod.containers[0].env.filter(({ name }: { name: string }) => name.endsWith('LISTEN')),
  );
  assert.deepEqual(listening.map(({ value }: { value: string }) => value).sort(), [
    '0.0.0.0:7070',
    '0.0.0.0:7071',
    '0.0.0.0:7072',
  ]);
  const services = objects.filter(({ kind }) => kind === 'Service');
  assert.deepEqual(
    services.map(({ spec }) => spec.ipFamilyPolicy),
    Array(3).fill('PreferDualStack'),
  );
  for (const { spec } of (await render()).filter(({ kind }) => kind === 'Service'))
    assert.equal(spec.ipFamilyPolicy, undefined);
});

test('a drain takes one pod of each part at a time, or as many as the values say', async () => {
  const budgets = (objects: readonly KubernetesObject[]) =>
    objects.filter(({ kind }) => kind === 'PodDisruptionBudget');
  const objects = await render();
  assert.equal(budgets(objects).length, 3);
  for (const { spec, metadata } of budgets(objects)) {
    assert.equal(spec.maxUnavailable, 1);
    const selected = podsOf(objects).filter(({ object }) =>
      Object.entries(spec.selector.matchLabels).every(
        ([label, value]) => object.spec.template.metadata.labels[label] === value,
      ),
    );
    assert.deepEqual(
      selected.map(({ name }) => name),
      [metadata.name],
    );
  }
  const changed = budgets(
    await render(
      '--set',
      'worker.disruptionsMax=25%,coordinator.disruptionsMax=0,auth.existingSecret=x',
      ...['--set', 'nats.enabled=false,nats.external.url=nats://elsewhere:4222'],
    ),
  );
  assert.deepEqual(
    changed.map(({ metadata, spec }) => [metadata.name, spec.maxUnavailable]),
    [
      ['pocketfleet-coordinator', 0],
      ['pocketfleet-worker', '25%'],
    ],
  );
});

test('the claim with the images is mounted by the workers alone, which look at it and train on it', async () => {
  const pods = podsOf(await render('--set', 'data.existingClaim=faces'));
  const mounts = (name: string) => {
    const { volumes, containers } = pods.find((one) => one.name.endsWith(name))!.pod;
    const claims = (volumes as { persistentVolumeClaim?: { claimName: string } }[]).flatMap(
      ({ persistentVolumeClaim: claim }) => (claim === undefined ? [] : [claim.claimName]),
    );
    const paths = (containers[0].volumeMounts as { mountPath: string }[]).map(({ mountPath }) => mountPath);
    return [claims.includes('faces'), paths.includes('/data')];
  };
  assert.deepEqual(mounts('-worker'), [true, true]);
  assert.deepEqual(mounts('-coordinator'), [false, false]);
});

test('a GPU is asked for only when the values say so, as a quoted quantity', async () => {
  const resources = (objects: readonly KubernetesObject[]) =>
    podsOf(objects).find(({ name }) => name.endsWith('-worker'))!.pod.containers[0].resources;
  assert.equal(resources(await render()).limits['nvidia.com/gpu'], undefined);
  const gpu = resources(await render('--set', 'worker.gpu.enabled=true'));
  assert.equal(gpu.limits['nvidia.com/gpu'], '1');
  assert.equal(gpu.requests['nvidia.com/gpu'], '1');
  assert.equal(gpu.limits.memory, '6Gi');
});

test('a worker computes on what the values say, and a GPU keeps what it compiled on the cache volume', async () => {
  const variables = async (...options: readonly string[]) => {
    const [container] = podsOf(await render(...options)).find(({ name }) => name.endsWith('-worker'))!.pod
      .containers;
    const { env, volumeMounts } = container as {
      env: { name: string; value?: string }[];
      volumeMounts: { mountPath: string; readOnly?: boolean }[];
    };
    const value = (wanted: string) => env.find(({ name }) => name === wanted)?.value;
    return { device: value('POCKETFLEET_DEVICE'), cache: value('CUDA_CACHE_PATH'), volumeMounts };
  };
  const cpu = await variables();
  assert.deepEqual([cpu.device, cpu.cache], ['cpu', undefined]);
  const gpu = await variables('--set', 'worker.gpu.enabled=true');
  assert.equal(gpu.device, 'gpu');
  assert(
    gpu.volumeMounts.some(({ mountPath, readOnly }) => !readOnly && gpu.cache!.startsWith(`${mountPath}/`)),
  );
  // What the chart names is a word of the worker's own config.
  for (const { device } of [cpu, gpu]) assert.equal(workerConfigSchema.shape.device.parse(device), device);
});

test("the chart's example with GPUs has room for a teacher, its CUDA libraries and its decoding threads", async () => {
  const objects = await render('--values', join(chart, 'ci', 'gpu-values.yaml'));
  const { resources } = podsOf(objects).find(({ name }) => name.endsWith('-worker'))!.pod.containers[0];
  assert.equal(resources.limits.memory, '32Gi');
  assert.deepEqual(resources.requests, {
    cpu: '8',
    memory: '16Gi',
    'ephemeral-storage': '1Gi',
    'nvidia.com/gpu': '1',
  });
});

test('a ServiceMonitor is rendered where the cluster has the type, and scrapes both programs', async () => {
  const monitors = (objects: readonly KubernetesObject[]) =>
    objects.filter(({ kind }) => kind === 'ServiceMonitor');
  assert.equal(monitors(await render()).length, 0);
  const type = 'monitoring.coreos.com/v1/ServiceMonitor';
  const objects = await render('--api-versions', type);
  const [monitor] = monitors(objects);
  assert.deepEqual(Object.keys(monitor!.spec).sort(), ['endpoints', 'sampleLimit', 'selector']);
  const services = objects.filter(
    ({ kind, metadata, spec }) =>
      kind === 'Service' &&
      monitor!.spec.selector.matchExpressions[0].values.includes(
        metadata.labels?.['app.kubernetes.io/component'],
      ) &&
      spec.ports.some((port: { name: string }) => port.name === monitor!.spec.endpoints[0].port),
  );
  assert.equal(services.length, 2);
});

test('each dashboard of the chart is a ConfigMap with the file, unchanged by the templates', async () => {
  const names = readdirSync(join(chart, 'files/dashboards'));
  assert.equal(names.length, 7);
  const maps = (await render()).filter(({ metadata }) => metadata.name.endsWith('-dashboard'));
  for (const name of names) {
    const file = readFileSync(join(chart, 'files/dashboards', name), 'utf8');
    const [map, ...others] = maps.filter(({ data }) => name in data);
    assert.deepEqual(others, []);
    assert.deepEqual(JSON.parse(map!.data[name]), JSON.parse(file));
    assert.equal(map!.metadata.labels?.grafana_dashboard, '1');
  }
  const without = await render('--set', 'metrics.dashboards.enabled=false');
  assert.equal(without.filter(({ metadata }) => metadata.name.endsWith('-dashboard')).length, 0);
});

test('callers reach the coordinator that has the label of the leader; all are ready, so that upgrades and drains go on', async () => {
  const find = (objects: readonly KubernetesObject[], kind: string) =>
    objects.find((object) => object.kind === kind && object.metadata.name.endsWith('-coordinator'))!;
  const two = await render();
  const { spec } = find(two, 'Deployment');
  assert.equal(spec.replicas, 2);
  assert.deepEqual(spec.strategy.rollingUpdate, { maxSurge: 1, maxUnavailable: 0 });
  assert.equal(spec.template.metadata.labels[LEADS_LABEL], 'false', 'until it leads');
  assert.equal(spec.selector.matchLabels[LEADS_LABEL], undefined, 'a pod that leads stays of its set');
  assert.equal(find(two, 'Service').spec.selector[LEADS_LABEL], 'true');
  assert.equal(spec.template.spec.containers[0].readinessProbe.grpc.service, 'following');
  assert.equal(find(two, 'PodDisruptionBudget').spec.maxUnavailable, 1);
  const affinity = spec.template.spec.affinity.podAntiAffinity;
  assert.equal(affinity.preferredDuringSchedulingIgnoredDuringExecution.length, 1);
  const one = await render('--set', 'coordinator.replicas=1');
  assert.equal(find(one, 'Service').spec.selector[LEADS_LABEL], undefined);
  assert.equal(find(one, 'Deployment').spec.template.spec.affinity, undefined);
});
