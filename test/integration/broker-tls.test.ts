// A real nats-server that encrypts and wants a certificate of each client, and both clients of it: the official one
// and the lean one for gradients. Who is taken, the sentence for whoever is not, and new certificates in use.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { FleetError } from '../../core/errors.ts';
import { connectData } from '../../core/net/data-connection.ts';
import { connectNats } from '../../core/net/nats.ts';
import { readTlsFiles, type TlsFiles } from '../../core/net/tls-files.ts';
import { createCertificates, expired, natsTls, type TestCertificates } from '../support/certificates.ts';
import { startNats, type TestNats } from '../support/nats.ts';
import { until } from '../support/processes.ts';

let fleet: TestCertificates;
let other: TestCertificates;
let server: Required<TlsFiles>;
let nats: TestNats;
const running: TestNats[] = [];

async function start(config: string, scheme: 'nats' | 'tls' = 'tls'): Promise<TestNats> {
  const started = await startNats({ jetstream: false, token: 'tls-token', config, scheme });
  running.push(started);
  return started;
}

before(async () => {
  [fleet, other] = await Promise.all([createCertificates(), createCertificates()]);
  server = await fleet.make('nats', { holder: 'nats' });
  nats = await start(natsTls(server));
});
after(async () => {
  await Promise.all(running.map((one) => one.stop()));
  fleet.remove();
  other.remove();
});

/** How each client fails with these files, or 'taken'. */
async function both(url: string, files: TlsFiles): Promise<string[]> {
  const to = { url, token: 'tls-token', waitMs: 50, ...files };
  const attempts = [
    async () => (await connectNats({ ...to, name: 'official' })).close(),
    async () => (await connectData({ ...to, name: 'lean' })).close(),
  ];
  return Promise.all(
    attempts.map((attempt) =>
      attempt().then(
        () => 'taken',
        (caught: unknown) =>
          caught instanceof FleetError ? `${caught.code}: ${caught.message}` : String(caught),
      ),
    ),
  );
}

test('wrong authority, end, name, purpose, none, and one side without encryption: one sentence for both', async () => {
  const { caFile } = fleet;
  const worker = await fleet.make('worker', { holder: 'worker' });
  assert.deepEqual(await both(nats.url, worker), ['taken', 'taken']);
  const old = await start(natsTls(await fleet.make('old-nats', { holder: 'nats', ...expired() })));
  const far = await start(natsTls(await fleet.make('far-nats', { holder: 'nats', names: ['10.9.8.7'] })));
  const plain = await start('', 'nats');
  const wrong: readonly (readonly [string, TlsFiles, RegExp])[] = [
    [
      nats.url,
      { ...worker, caFile: other.caFile },
      /the broker is signed by another authority than that in \S+/,
    ],
    [old.url, worker, /the certificate of the broker has expired; give it a new one/],
    [far.url, worker, /the certificate of the broker is for 10\.9\.8\.7 and not for this address/],
    [nats.url, { caFile }, /the broker wants a certificate, and none was given/],
    [
      nats.url,
      { ...(await other.make('worker', { holder: 'worker' })), caFile },
      /the broker refuses the certificate of this program: it is (signed by an authority that it does not know|not one)/,
    ],
    [
      nats.url,
      await fleet.make('old-worker', { holder: 'worker', ...expired() }),
      /the broker refuses the certificate of this program: it (has expired|is not one that it takes)/,
    ],
    [
      nats.url,
      server,
      /the broker refuses the certificate of this program: it is (for another purpose|not one)/,
    ],
    [
      nats.url.replace('tls:', 'nats:'),
      {},
      /it wants an encrypted connection; write tls:\/\/127\.0\.0\.1:\d+/,
    ],
    [
      plain.url.replace('nats:', 'tls:'),
      worker,
      /it does not encrypt; write nats:\/\/127\.0\.0\.1:\d+, or give/,
    ],
  ];
  // Together, because one of them waits for a server that says nothing.
  const answers = await Promise.all(wrong.map(([url, files]) => both(url, files)));
  for (const [i, [, , sentence]] of wrong.entries())
    for (const told of answers[i]!) {
      assert.match(told, /^failedPrecondition: broker at 127\.0\.0\.1:\d+: /);
      assert.match(told, sentence);
    }
  // The other end: the log of nats-server.
  for (const said of [
    /client didn't provide a certificate/,
    /certificate signed by unknown authority/,
    /certificate has expired or is not yet valid/,
  ])
    assert.match(nats.output(), said);
});

test('new certificates on both sides count from the next connection on, and the open ones stay', async () => {
  const own = await start(natsTls(server));
  const files = await fleet.make('member', { holder: 'worker' });
  const statuses: boolean[] = [];
  const connection = await connectData({
    ...{ url: own.url, token: 'tls-token', name: 'member', ...files },
    onStatus: (up) => statuses.push(up),
  });
  try {
    for (const [ours, theirs] of [
      [server, await other.make('nats', { holder: 'nats' })],
      [files, await other.make('member', { holder: 'worker' })],
    ] as const) {
      const { cert, key, ca } = readTlsFiles(theirs);
      writeFileSync(ours.certFile, cert!);
      writeFileSync(ours.keyFile, key!);
      writeFileSync(ours.caFile, ca!);
    }
    process.kill(own.pid, 'SIGHUP');
    await until('nats-server has its new certificate', () => /Reloaded: tls/.test(own.output()));
    assert.deepEqual(await both(own.url, files), ['taken', 'taken']);
    assert.ok(connection.isUp());
    assert.deepEqual(statuses, [], 'the open connection stays');
    await own.restart();
    await until('it is back, with the new certificate', () => statuses.length === 2);
    assert.deepEqual(statuses, [false, true]);
  } finally {
    connection.close();
  }
});
