// Real handshakes with a gRPC server that encrypts: who is taken, which sentence each side gets when it is not, what
// strangers can take of it before they have shown anything, and new certificates for a server that goes on.

import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { type ServerDuplexStream, status } from '@grpc/grpc-js';
import type { FleetError } from '../../../core/errors.ts';
import { clientTls } from '../../../core/net/client-tls.ts';
import {
  createDialler,
  createFleetClient,
  createWorkerClient,
  unary,
} from '../../../core/net/grpc-client.ts';
import { GRPC_LIMITS, type GrpcLimits } from '../../../core/net/grpc-limits.ts';
import { type GrpcServer, startGrpcServer } from '../../../core/net/grpc-server.ts';
import { identitySource, readTlsFiles, type TlsFiles } from '../../../core/net/tls-files.ts';
import { FleetServiceService } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { WorkerServiceService } from '../../../proto/gen/pocketfleet/v1/worker.ts';
import { createCertificates, expired, type TestCertificates } from '../../support/certificates.ts';
import { healthOf } from '../../support/grpc-raw.ts';
import { assertNothingLeft, until } from '../../support/processes.ts';

const TOKEN = 'token-of-this-test';

let fleet: TestCertificates;
let other: TestCertificates;
before(async () => {
  [fleet, other] = await Promise.all([createCertificates(), createCertificates()]);
});
after(() => {
  fleet.remove();
  other.remove();
});

interface Scene {
  readonly server: GrpcServer;
  readonly port: number;
  /** What the server was told of clients that it did not answer, or refused. */
  readonly refused: readonly string[];
  /** Changes of its files: a text for trouble, an empty one for new files in use. */
  readonly news: readonly string[];
}

async function withServer(
  files: Required<TlsFiles> | undefined,
  use: (scene: Scene) => Promise<void>,
  limits: Partial<GrpcLimits> = {},
  healthListen = '',
): Promise<void> {
  const refused: string[] = [];
  const news: string[] = [];
  const source = files && identitySource(files);
  const server = await startGrpcServer({
    ...{ listen: '127.0.0.1:0', healthOf: ['readiness'], healthListen },
    services: [
      {
        definition: FleetServiceService,
        implementation: {
          listPlans: (_call: unknown, answer: (error: null, response: object) => void) =>
            answer(null, { plans: [], nextPageToken: '', total: 0 }),
        },
      },
      {
        definition: WorkerServiceService,
        implementation: {
          attach(call: ServerDuplexStream<unknown, unknown>) {
            call.on('error', () => undefined).on('data', () => call.write({}));
          },
        },
      },
    ],
    limits: { ...GRPC_LIMITS, ...limits },
    tls: source && {
      source,
      certified: ['pocketfleet.v1.WorkerService'],
      onRefused: (host, reason) => refused.push(`${host} ${reason}`),
      onFiles: (trouble) => news.push(trouble?.message ?? ''),
    },
  });
  const port = Number(server.endpoint.slice(server.endpoint.lastIndexOf(':') + 1));
  try {
    await use({ server, port, refused, news });
  } finally {
    await server.close(200);
  }
  await assertNothingLeft([], [port]);
}

const serverFiles = () => fleet.make('server', { holder: 'coordinator' });

/** The failure of a call by a client with these files, or 'taken'. */
async function call(endpoint: string, files: TlsFiles | undefined, serverName = ''): Promise<string> {
  const dial = createDialler(createFleetClient, { token: TOKEN, tls: clientTls(files, serverName) });
  const client = dial.to(endpoint);
  try {
    await unary(client, client.listPlans, {});
    return 'taken';
  } catch (caught) {
    const error = await dial.explained(endpoint, caught as FleetError);
    return `${error.code}: ${error.message}`;
  } finally {
    dial.close();
  }
}

/** The failure of a worker's stream, or 'taken'. */
async function attach(endpoint: string, files: TlsFiles | undefined): Promise<string> {
  const client = createWorkerClient({ endpoint, token: TOKEN, tls: clientTls(files) });
  const stream = client.attach();
  try {
    return await new Promise((resolve) => {
      stream.once('data', () => resolve('taken'));
      stream.once('error', (error: Error & { code?: number; details?: string }) =>
        resolve(`${status[error.code ?? 0]}: ${error.details}`),
      );
      stream.write({ sequence: 0, kind: undefined });
    });
  } finally {
    stream.on('error', () => undefined);
    stream.cancel();
    client.close();
  }
}

test('a caller with the authority and the token is taken, by name, by address and under another name', async () => {
  await withServer(await serverFiles(), async ({ server, port, refused }) => {
    const { caFile } = fleet;
    assert.equal(await call(server.endpoint, { caFile }), 'taken');
    assert.equal(await call(`localhost:${port}`, { caFile }), 'taken');
    assert.equal(await call(server.endpoint, { caFile }, 'localhost'), 'taken');
    assert.deepEqual(refused, []);
  });
});

test('wrong authority, end, name, and one side without encryption: a sentence on both sides', async () => {
  const bad: readonly {
    readonly what: string;
    readonly server: Required<TlsFiles> | undefined;
    readonly client: TlsFiles | undefined;
    readonly client_is_told: RegExp;
    readonly server_is_told: RegExp | undefined;
  }[] = [
    {
      what: 'wrong authority',
      server: await serverFiles(),
      client: { caFile: other.caFile },
      client_is_told:
        /^failedPrecondition: the certificate of the coordinator at 127\.0\.0\.1:\d+ is signed by another authority than that in \S+ca\.crt; give the authority of that server's fleet \(ca\.crt\)$/,
      server_is_told: /^127\.0\.0\.1 it left right after the handshake: it does not take this server's cert/,
    },
    {
      what: 'expired',
      server: await fleet.make('expired', { holder: 'coordinator', ...expired() }),
      client: { caFile: fleet.caFile },
      client_is_told:
        /^failedPrecondition: the certificate of the coordinator at \S+ has expired; give it a new one, .*: pocketfleet keys generate$/,
      server_is_told: /^127\.0\.0\.1 this server's certificate has expired; give it a new one/,
    },
    {
      what: 'wrong name',
      server: await fleet.make('elsewhere', { holder: 'coordinator', names: ['10.9.8.7', 'there.example'] }),
      client: { caFile: fleet.caFile },
      client_is_told:
        /^failedPrecondition: the certificate of the coordinator at \S+ is for 10\.9\.8\.7, there\.example and not for this address; /,
      server_is_told: /^127\.0\.0\.1 it left right after the handshake/,
    },
    {
      what: 'a client that does not encrypt',
      server: await serverFiles(),
      client: undefined,
      client_is_told:
        /^failedPrecondition: the coordinator at \S+ takes encrypted connections alone; give the authority/,
      server_is_told: /^127\.0\.0\.1 it does not encrypt; it must be given the authority of this fleet/,
    },
    {
      what: 'a server that does not encrypt',
      server: undefined,
      client: { caFile: fleet.caFile },
      client_is_told:
        /^failedPrecondition: the coordinator at \S+ does not encrypt, and this program was given/,
      server_is_told: undefined,
    },
  ];
  for (const { what, server, client, client_is_told, server_is_told } of bad)
    await withServer(server, async ({ server: { endpoint }, refused }) => {
      assert.match(await call(endpoint, client), client_is_told, what);
      if (server_is_told !== undefined)
        await until(what, () => refused.some((line) => server_is_told.test(line)));
    });
});

test('a worker needs a certificate of the fleet; one of another authority, end or purpose is refused', async () => {
  const { caFile } = fleet;
  const foreign = { ...(await other.make('worker', { holder: 'worker' })), caFile };
  await withServer(await serverFiles(), async ({ server: { endpoint, setReady }, refused }) => {
    assert.equal(await attach(endpoint, await fleet.make('worker', { holder: 'worker' })), 'taken');
    assert.match(
      await attach(endpoint, { caFile }),
      /^UNAUTHENTICATED: this coordinator takes workers with a/,
    );
    assert.match(
      await attach(endpoint, await fleet.make('old', { holder: 'worker', ...expired() })),
      /^UNAUTHENTICATED: the certificate of this program has expired; give both the files of one `pocketfleet/,
    );
    assert.match(
      await attach(endpoint, await fleet.make('broker', { holder: 'nats' })),
      /^UNAUTHENTICATED: the certificate of this program is for another purpose; /,
    );
    const theirs =
      /the certificate of this program is signed by another authority than that in \S+ of the coord/;
    assert.match(await attach(endpoint, foreign), theirs);
    assert.match(await call(endpoint, foreign), theirs, 'a token does not help a false certificate');
    assert.equal(refused.filter((line) => theirs.test(line)).length, 2);
    setReady(true);
  });
});

test('sockets without a handshake, with half of one or without a word after it are closed; a caller is served', async () => {
  await withServer(
    await serverFiles(),
    async ({ server: { endpoint }, port }) => {
      let closed = 0;
      const sockets: Socket[] = [];
      const opened = (socket: Socket) => {
        sockets.push(socket);
        socket.on('error', () => undefined).on('close', () => void closed++);
        socket.resume();
        return socket;
      };
      for (let i = 0; i < 60; i++) {
        const raw = opened(connect(port, '127.0.0.1'));
        // Nothing; the head of a handshake that does not come; no handshake.
        raw.write(['', '\x16\x03\x01\x02\x00\x01', 'GET / HTTP/1.1\r\n\r\n'][i % 3]!, 'latin1');
      }
      for (let i = 0; i < 5; i++)
        opened(connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] }));
      assert.equal(await call(endpoint, { caFile: fleet.caFile }), 'taken');
      await until('all are closed', () => closed === sockets.length, 5_000);
    },
    { handshakeMs: 300 },
  );
});

test('new certificates count for new connections, those that are open stay, and half a change does nothing', async () => {
  const files = await serverFiles();
  await withServer(files, async ({ server: { endpoint }, news }) => {
    const client = createWorkerClient({
      endpoint,
      token: TOKEN,
      tls: clientTls(await fleet.make('w', { holder: 'worker' })),
    });
    const stream = client.attach();
    let heard = 0;
    stream.on('data', () => void heard++).on('error', () => undefined);
    stream.write({ sequence: 0, kind: undefined });
    await until('the stream is open', () => heard === 1);

    // A key without its certificate, as somebody leaves it who copies one file after the other.
    const { key, cert } = readTlsFiles(await other.make('server', { holder: 'coordinator' }));
    writeFileSync(files.keyFile, key!);
    await until('half a change is reported', () => news.length === 1, 8_000);
    assert.match(
      news[0]!,
      /^the key in \S+ is not the one of the certificate in \S+; take both from one pair$/,
    );
    assert.equal(await call(endpoint, { caFile: fleet.caFile }), 'taken', 'what was there is in use');

    writeFileSync(files.certFile, cert!);
    await until('the change is in use', () => news.length === 2, 8_000);
    assert.equal(news[1], '');
    assert.equal(await call(endpoint, { caFile: other.caFile }), 'taken');
    assert.match(await call(endpoint, { caFile: fleet.caFile }), /signed by another authority/);
    stream.write({ sequence: 1, kind: undefined });
    await until('the open stream goes on', () => heard === 2);
    stream.cancel();
    client.close();
  });
});

test('a dialler whose files have changed shows the new certificate at its next call', async () => {
  const own = await fleet.make('own', { holder: 'worker', ...expired() });
  await withServer(await serverFiles(), async ({ server: { endpoint } }) => {
    const dial = createDialler(createFleetClient, { token: TOKEN, tls: clientTls(own) });
    const ask = () => unary(dial.to(endpoint), dial.to(endpoint).listPlans, {});
    await assert.rejects(ask(), /has expired/);
    await fleet.make('own', { holder: 'worker' });
    await until(
      'the new one is taken',
      () =>
        ask().then(
          () => true,
          () => false,
        ),
      5_000,
    );
    dial.close();
  });
});

test('probes have a port of their own that does not encrypt and has health alone', async () => {
  await withServer(
    await serverFiles(),
    async ({ server }) => {
      const { healthEndpoint = '' } = server;
      assert.deepEqual(await healthOf(healthEndpoint, ['readiness']), ['NOT_SERVING']);
      server.setHealth('readiness', true);
      assert.deepEqual(await healthOf(healthEndpoint, ['readiness']), ['SERVING']);
      assert.match(await call(healthEndpoint, undefined), /^unimplemented: /);
    },
    {},
    '127.0.0.1:0',
  );
});

test('files that cannot be used are refused by a sentence that names them', async () => {
  const good = await fleet.make('good', { holder: 'worker' });
  const noise = `${good.certFile}.noise`;
  writeFileSync(noise, 'no certificate');
  const cases: readonly [TlsFiles, RegExp][] = [
    [
      { ...good, certFile: '/nowhere/tls.crt' },
      /^the certificate cannot be read from \/nowhere\/tls\.crt \(ENOENT\); `pocketfleet keys generate` writes such files$/,
    ],
    [{ ...good, certFile: noise }, /noise holds no certificate in PEM$/],
    [{ ...good, keyFile: noise }, /noise holds no private key in PEM without a passphrase$/],
    [{ caFile: noise }, /noise holds no certificate in PEM$/],
    [{ certFile: good.certFile }, /good\.crt is half of an identity: a certificate and its key are given/],
  ];
  for (const [files, sentence] of cases)
    assert.throws(() => readTlsFiles(files), { code: 'invalidArgument', message: sentence });
  rmSync(noise);
});
