// What a local fleet keeps for its encryption: certificates that fit and are left alone, others that are made anew, the
// file for another machine with a token of one purpose, and listening addresses that are refused.

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  certificateSecrets,
  certificatesIn,
  filesIn,
  keepCertificates,
  writeCertificates,
} from '../../../../coordinator/cli/local/certificates.ts';
import { encryptionFor } from '../../../../coordinator/cli/local/encryption.ts';
import { readJoinFile, writeJoinFile } from '../../../../coordinator/cli/local/join-file.ts';
import { tokensIn } from '../../../../coordinator/cli/local/tokens.ts';
import { tokenDigest } from '../../../../core/net/token-file.ts';
import { readYaml } from '../../../../core/text/yaml-text.ts';

const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-keys-'));
after(() => rmSync(folder, { recursive: true, force: true }));

interface Secret {
  readonly kind: string;
  readonly type: string;
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly stringData: { readonly 'tls.crt': string; readonly 'ca.crt': string };
}

const textOf = (path: string) => readFileSync(path, 'utf8');

test('certificates that fit stay; for another address, near their end or damaged they are made anew by the same authority', async () => {
  const dir = join(folder, 'kept');
  assert.equal(await keepCertificates(dir, '127.0.0.2'), true);
  for (const name of readdirSync(dir)) assert.equal(statSync(join(dir, name)).mode & 0o777, 0o600, name);
  const authority = textOf(join(dir, 'ca.crt'));
  const { certFile, keyFile } = filesIn(dir, 'coordinator');
  const first = textOf(certFile);
  assert.equal(await keepCertificates(dir, '127.0.0.2'), false);
  assert.equal(textOf(certFile), first);
  const isRenewed = async (host: string) => {
    const before = textOf(certFile);
    return (await keepCertificates(dir, host)) && textOf(certFile) !== before;
  };
  assert.ok(await isRenewed('fleet.example'));
  assert.equal(new X509Certificate(textOf(certFile)).checkHost('fleet.example'), 'fleet.example');
  await writeCertificates(dir, { names: ['fleet.example'], days: 59, authorityDir: dir });
  assert.ok(await isRenewed('fleet.example'), 'it ends soon');
  writeFileSync(certFile, 'no certificate');
  assert.ok(await isRenewed('fleet.example'), 'it is damaged');
  rmSync(keyFile);
  assert.ok(await isRenewed('fleet.example'), 'its key is gone');
  assert.equal(textOf(join(dir, 'ca.crt')), authority);
  rmSync(join(dir, 'ca.key'));
  await assert.rejects(keepCertificates(dir, 'other.example'), {
    message: /has \S+ca\.crt and not the other half of the authority; put it there/,
  });
});

test('each certificate is for its program alone, and names that are none are refused', async () => {
  const dir = join(folder, 'each');
  await writeCertificates(dir, { names: ['10.0.0.5', '*.example'], days: 30, authorityDir: dir });
  const uses = (name: 'coordinator' | 'nats' | 'worker') =>
    new X509Certificate(textOf(filesIn(dir, name).certFile)).keyUsage;
  const [server, client] = ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'];
  assert.deepEqual(uses('coordinator'), [server, client]);
  assert.deepEqual([uses('nats'), uses('worker')], [[server], [client]]);
  const shown = certificatesIn(dir);
  assert.deepEqual(
    shown.map(({ file }) => file.slice(dir.length + 1)),
    ['ca.crt', 'coordinator.crt', 'nats.crt', 'worker.crt'],
  );
  assert.match(shown[1]!.names, /10\.0\.0\.5, \*\.example, localhost, 127\.0\.0\.1/);
  await assert.rejects(
    writeCertificates(dir, { names: ['10.0.0.5:7070'], days: 1, authorityDir: dir }),
    /"10\.0\.0\.5:7070" is neither a host name nor an IP address; write it without port/,
  );
});

test('secrets have the names and the keys that the chart mounts, and one authority', async () => {
  const text = await certificateSecrets({
    ...{ names: [], days: 30, authorityDir: undefined, namespace: 'faces', fullname: 'pocketfleet' },
  });
  const secrets = readYaml(text).map(({ value }) => value as Secret);
  assert.deepEqual(
    secrets.map(({ kind, type, metadata }) => [kind, type, metadata.name, metadata.namespace]),
    ['coordinator', 'nats', 'worker'].map((part) => [
      ...['Secret', 'kubernetes.io/tls', `pocketfleet-${part}-tls`, 'faces'],
    ]),
  );
  const authorities = new Set(secrets.map(({ stringData }) => stringData['ca.crt']));
  assert.equal(authorities.size, 1);
  const certificate = new X509Certificate(secrets[0]!.stringData['tls.crt']);
  assert.ok(certificate.verify(new X509Certificate([...authorities][0]!).publicKey));
  for (const name of ['pocketfleet-coordinator', 'pocketfleet-coordinator.faces.svc', 'localhost'])
    assert.equal(certificate.checkHost(name), name);
});

test('a fleet encrypts when it is asked to and beyond loopback, at one address that others can call', async () => {
  const dir = join(folder, 'fleet');
  assert.deepEqual(await encryptionFor(dir, {}), { host: '127.0.0.1', tlsDir: undefined });
  const tlsDir = join(dir, 'tls');
  assert.deepEqual(await encryptionFor(dir, { tls: true }), { host: '127.0.0.1', tlsDir });
  assert.deepEqual(await encryptionFor(dir, { listen: '127.0.0.2' }), { host: '127.0.0.2', tlsDir });
  for (const listen of ['0.0.0.0', '::', '127.0.0.2:7070', 'a b', ''])
    await assert.rejects(
      encryptionFor(dir, { listen }),
      /--listen .*: give one address or name of this machine/,
    );
});

test('join.json has a token of workers alone, which stays until it is revoked, and another file is refused', async () => {
  const dir = join(folder, 'join');
  const { tlsDir } = await encryptionFor(dir, { tls: true });
  const fleet = { fleet: 'local', coordinator: '10.0.0.5:7070', tlsDir: tlsDir! };
  const path = writeJoinFile(dir, fleet);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const file = readJoinFile(path);
  assert.deepEqual([file.fleet, file.coordinator], ['local', '10.0.0.5:7070']);
  const tokens = () => tokensIn(join(dir, 'tokens.yaml'));
  assert.deepEqual(
    tokens().map(({ name, role, sha256 }) => [name, role, sha256]),
    [['join', 'worker', tokenDigest(file.token)]],
  );
  assert.ok(new X509Certificate(file.cert).verify(new X509Certificate(file.ca).publicKey));
  assert.ok(!JSON.stringify(file).includes(textOf(join(tlsDir!, 'ca.key')).split('\n')[1]!));
  writeJoinFile(dir, { ...fleet, coordinator: '10.0.0.5:7171' });
  assert.equal(readJoinFile(path).token, file.token);
  assert.equal(readJoinFile(path).coordinator, '10.0.0.5:7171');
  const revoked = textOf(join(dir, 'tokens.yaml')).trimEnd();
  writeFileSync(
    join(dir, 'tokens.yaml'),
    `${revoked}\n    revoked: 2026-01-01T00:00:00Z\n    revokedBy: me\n`,
  );
  writeJoinFile(dir, fleet);
  assert.notEqual(readJoinFile(path).token, file.token);
  writeFileSync(path, '{"fleet": 3}');
  assert.throws(
    () => readJoinFile(path),
    /is no join\.json \(.*`pocketfleet up --listen ADDRESS` writes a join\.json into its folder/s,
  );
});

test('an authority whose key is of another certificate, or no key, signs nothing', async () => {
  const dir = join(folder, 'halves');
  await writeCertificates(dir, { names: [], days: 1, authorityDir: dir });
  const asked = { names: [], days: 1, authorityDir: dir };
  writeFileSync(join(dir, 'ca.key'), readFileSync(filesIn(dir, 'worker').keyFile));
  await assert.rejects(writeCertificates(dir, asked), {
    code: 'invalidArgument',
    message: 'the key of the authority is not the one of its certificate; take both from one pair',
  });
  writeFileSync(join(dir, 'ca.key'), 'no key');
  await assert.rejects(writeCertificates(dir, asked), {
    code: 'invalidArgument',
    message: /^the key of the authority cannot be read: expected one on the curve P-256 in PEM/,
  });
});
