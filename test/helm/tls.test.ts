// The encrypted fleet of the chart: where its certificates come from, that every program is given them and accepts what it
// is given, that probes go where nothing is encrypted, and that nats-server takes up new certificates.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { coordinatorConfigSchema, loadConfig, workerConfigSchema } from '../../core/config.ts';
import { findNatsServer } from '../../core/net/nats-binary.ts';
import { identityFiles } from '../../core/net/tls-files.ts';
import { createCertificates, natsTls } from '../support/certificates.ts';
import { chart, type KubernetesObject, render } from '../support/helm.ts';
import { assertNothingLeft, deliver, freePort, startProgram, until } from '../support/processes.ts';

const CERT_MANAGER = ['--values', join(chart, 'ci', 'tls-values.yaml')];
const SECRETS = ['--set', 'tls.source=secrets'];
const PARTS = ['coordinator', 'nats', 'worker'] as const;

const podOf = (objects: readonly KubernetesObject[], part: string) =>
  objects.find(
    ({ kind, metadata }) =>
      ['Deployment', 'StatefulSet'].includes(kind) && metadata.name === `pocketfleet-${part}`,
  )!.spec.template.spec;

const environmentOf = (objects: readonly KubernetesObject[], part: string): Record<string, string> =>
  Object.fromEntries(
    podOf(objects, part).containers[0].env.map((one: { name: string; value?: string }) => [
      one.name,
      one.value ?? 'from-the-pod',
    ]),
  );

test('each part mounts the secret that is made for it, by cert-manager or by `keys generate --kubernetes`', async () => {
  for (const values of [SECRETS, CERT_MANAGER]) {
    const objects = await render(...values);
    for (const part of PARTS) {
      const pod = podOf(objects, part);
      const { secret } = pod.volumes.find(({ name }: { name: string }) => name === 'tls');
      assert.equal(secret.secretName, `pocketfleet-${part}-tls`);
      // A mount inside of another one that is read-only has no place to be made.
      const paths = pod.containers[0].volumeMounts.map(
        ({ mountPath }: { mountPath: string }) => `${mountPath}/`,
      );
      for (const path of paths)
        assert.ok(!paths.some((other: string) => other !== path && other.startsWith(path)), path);
      assert.ok(
        pod.containers[0].volumeMounts.some(
          ({ name, readOnly }: { name: string; readOnly: boolean }) => name === 'tls' && readOnly,
        ),
      );
    }
  }
  const named = await render(...SECRETS, '--set', 'tls.secrets.worker=mine');
  assert.equal(
    podOf(named, 'worker').volumes.find(({ name }: { name: string }) => name === 'tls').secret.secretName,
    'mine',
  );
});

test('cert-manager makes a certificate for each part, good for what the part does, with a new key each time', async () => {
  const objects = await render(...CERT_MANAGER);
  const certificates = objects.filter(({ kind }) => kind === 'Certificate');
  assert.deepEqual(
    certificates.map(({ spec }) => [spec.secretName, spec.usages.slice(1), spec.privateKey.rotationPolicy]),
    [
      ['pocketfleet-coordinator-tls', ['server auth', 'client auth'], 'Always'],
      ['pocketfleet-nats-tls', ['server auth'], 'Always'],
      ['pocketfleet-worker-tls', ['client auth'], 'Always'],
    ],
  );
  for (const { spec } of certificates)
    assert.deepEqual(spec.issuerRef, { group: 'cert-manager.io', kind: 'ClusterIssuer', name: 'fleet' });
  await assert.rejects(
    render('--set', 'tls.source=certManager'),
    /name the Issuer or ClusterIssuer that signs in tls\.certManager\.issuerRef\.name/,
  );
  await assert.rejects(render('--set', 'tls.source=perhaps'), /tls\/source/);
  assert.equal((await render(...SECRETS)).filter(({ kind }) => kind === 'Certificate').length, 0);
});

test('the programs accept what they are given, call each other by names of the certificates, and probes go past them', async () => {
  const objects = await render(...CERT_MANAGER);
  const coordinator = loadConfig(coordinatorConfigSchema, [], environmentOf(objects, 'coordinator'));
  const worker = loadConfig(workerConfigSchema, [], environmentOf(objects, 'worker'));
  for (const config of [coordinator, worker])
    assert.equal(identityFiles(config)?.keyFile, '/etc/pocketfleet/tls/tls.key');
  const namesOf = (part: string): string[] =>
    objects.find(({ kind, metadata }) => kind === 'Certificate' && metadata.name.endsWith(part))!.spec
      .dnsNames;
  assert.equal(coordinator.natsUrl, 'tls://pocketfleet-nats:4222');
  assert.ok(namesOf('-nats').includes('pocketfleet-nats'));
  assert.ok(namesOf('-coordinator').includes(worker.tlsServerName));
  const [container] = podOf(objects, 'coordinator').containers;
  for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe'])
    assert.equal(container[probe].grpc.port, 7073);
  assert.equal(coordinator.healthListen, '[::]:7073');
  const plain = await render();
  assert.equal(podOf(plain, 'coordinator').containers[0].livenessProbe.grpc.port, 7070);
  assert.ok(!JSON.stringify(plain).includes('TLS_'));
});

test("the broker's shell signals nats-server when the files change, passes a stop on, and ends as the server ends", async (t) => {
  const [script] = podOf(await render(...SECRETS), 'nats').containers[0].args as string[];
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-nats-'));
  const certificates = await createCertificates();
  t.after(() => {
    certificates.remove();
    rmSync(folder, { recursive: true, force: true });
  });
  const files = await certificates.make('tls', { holder: 'nats' });
  const port = await freePort();
  writeFileSync(join(folder, 'nats.conf'), `port: ${port}\n${natsTls(files)}`);
  const moved = script!
    .replaceAll('/etc/nats-tls', dirname(files.certFile))
    .replaceAll('/etc/nats/', `${folder}/`)
    .replace('sleep 5', 'sleep 0.2');
  const shell = startProgram('/bin/sh', ['-c', moved], {
    env: { PATH: `${dirname(findNatsServer())}:${process.env.PATH}` },
  });
  await shell.untilOutput(/Server is ready/);
  const [, server] = /\[(\d+)\].*Server is ready/.exec(shell.output())!;
  await certificates.make('tls', { holder: 'nats' });
  await until('the new certificate is in use', () => /Reloaded: tls/.test(shell.output()));
  await deliver(shell, 'SIGTERM');
  assert.match(shell.output(), /Server Exiting/);
  await assertNothingLeft([Number(server), shell.pid], [port]);
});
