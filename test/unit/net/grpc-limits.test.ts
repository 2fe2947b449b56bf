// What strangers can take of a gRPC server: silent sockets, health streams, calls on one connection. Small forms of floods
// that were seen to cost a coordinator hundreds of megabytes.

import assert from 'node:assert/strict';
import { connect as connectHttp2 } from 'node:http2';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { type ConnectionInjector, type ServerWritableStream, status } from '@grpc/grpc-js';
import { createFleetClient, unary } from '../../../core/net/grpc-client.ts';
import { createGate, GRPC_LIMITS, type GrpcLimits } from '../../../core/net/grpc-limits.ts';
import { type GrpcServer, startGrpcServer } from '../../../core/net/grpc-server.ts';
import { FleetServiceService } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { accessWith } from '../../support/access.ts';
import { healthOf, reflectedServices, watchHealth } from '../../support/grpc-raw.ts';
import { assertNothingLeft, until } from '../../support/processes.ts';

const TOKEN = 'token-of-this-test';

async function withServer(
  limits: Partial<GrpcLimits>,
  use: (server: GrpcServer, port: number, started: () => number) => Promise<void>,
  listen = '127.0.0.1:0',
): Promise<void> {
  let started = 0;
  const server = await startGrpcServer({
    listen,
    access: accessWith(TOKEN),
    services: [
      {
        definition: FleetServiceService,
        implementation: {
          listPlans: (_call: unknown, answer: (error: null, response: object) => void) =>
            answer(null, { plans: [], nextPageToken: '', total: 0 }),
          logs: (call: ServerWritableStream<unknown, unknown>) => call.on('error', () => undefined),
        },
      },
    ],
    healthOf: ['readiness'],
    observer: {
      started: () => {
        started += 1;
      },
      handled: () => undefined,
    },
    limits: { ...GRPC_LIMITS, ...limits },
  });
  const port = Number(server.endpoint.slice(server.endpoint.lastIndexOf(':') + 1));
  try {
    await use(server, port, () => started);
  } finally {
    await server.close(200);
  }
  await assertNothingLeft([], [port]);
}

test('sockets that say nothing, too little or something else are closed; one that calls is served meanwhile', () =>
  withServer({ handshakeMs: 300 }, async ({ endpoint }, port) => {
    const said = ['', 'PRI * HTTP/2.0\r\n', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'];
    let closed = 0;
    const sockets: Socket[] = [];
    for (let i = 0; i < 300; i++) {
      const socket = connect(port, '127.0.0.1');
      socket
        .on('error', () => undefined)
        .on('close', () => {
          closed += 1;
        });
      socket.resume();
      socket.write(said[i % said.length]!);
      sockets.push(socket);
    }
    const client = createFleetClient({ endpoint, token: TOKEN });
    assert.deepEqual((await unary(client, client.listPlans, {})).plans, []);
    await until('all are closed', () => closed === sockets.length, 5_000);
    assert.deepEqual((await unary(client, client.listPlans, {})).plans, [], 'the caller is still connected');
    client.close();
  }));

test('who spoke in time is heard by a server that was busy until after the deadline', async () => {
  const injected: Socket[] = [];
  const injector = { injectConnection: (socket: Socket) => injected.push(socket), drain() {}, destroy() {} };
  const gate = createGate(injector as unknown as ConnectionInjector, { ...GRPC_LIMITS, handshakeMs: 50 });
  await new Promise<void>((resolve) => gate.server.listen(0, '127.0.0.1', resolve));
  const { port } = gate.server.address() as AddressInfo;
  const said = new Int32Array(new SharedArrayBuffer(4));
  gate.server.once('connection', () => {
    Atomics.wait(said, 0, 0, 5_000);
    const end = performance.now() + 100;
    while (performance.now() < end);
  });
  // From another thread, since this one stands still.
  const caller = new Worker(
    `const { workerData: { port, said } } = require('node:worker_threads');
     const socket = require('node:net').connect(port, '127.0.0.1', () => {
       socket.write('PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n');
       Atomics.store(said, 0, 1);
       Atomics.notify(said, 0);
     });
     socket.on('error', () => undefined);`,
    { eval: true, workerData: { port, said } },
  );
  try {
    await until('the connection is handed over', () => injected.length === 1);
    assert.equal(injected[0]!.destroyed, false);
  } finally {
    for (const socket of injected) socket.destroy();
    await caller.terminate();
    await new Promise((resolve) => gate.server.close(resolve));
  }
  await assertNothingLeft([], [port]);
});

test('a client whose first bytes come one by one is a client', () =>
  withServer({}, async (_server, port) => {
    const session = connectHttp2(`http://127.0.0.1:${port}`, {
      createConnection: () => {
        const socket = connect(port, '127.0.0.1');
        socket.setNoDelay(true);
        const { write } = socket;
        socket.write = ((chunk: Buffer, ...rest: never[]) => {
          for (const byte of Buffer.from(chunk)) write.call(socket, Buffer.from([byte]), ...rest);
          return true;
        }) as typeof write;
        return socket;
      },
    });
    await new Promise((resolve, reject) => session.once('remoteSettings', resolve).once('error', reject));
    session.destroy();
  }));

test('more connections than there may be are refused, and one that ends makes room', () =>
  withServer({ connectionsMax: 3 }, async ({ endpoint }, port) => {
    const first = watchHealth({ endpoint, count: 1, token: TOKEN });
    assert.equal(await first.watches[0]!.first, 'NOT_SERVING');
    const silent = [1, 2].map(() => connect(port, '127.0.0.1'));
    await Promise.all(silent.map((socket) => new Promise((resolve) => socket.once('connect', resolve))));
    const refused = connect(port, '127.0.0.1').on('error', () => undefined);
    refused.resume();
    await new Promise((resolve) => refused.once('close', resolve));
    for (const socket of silent) socket.destroy();
    const client = createFleetClient({ endpoint, token: TOKEN });
    assert.deepEqual((await unary(client, client.listPlans, {})).plans, []);
    client.close();
    first.close();
  }));

test('a connection has so many calls and no more; those above wait until one ends', () =>
  withServer({ callsPerConnectionMax: 4 }, async ({ endpoint }, _port, started) => {
    const client = createFleetClient({ endpoint, token: TOKEN });
    const request = { runId: 'r', workerId: '', follow: true, afterSequence: 0 };
    const calls = Array.from({ length: 6 }, () => client.logs(request).on('error', () => undefined));
    await until('four are served', () => started() === 4);
    const other = createFleetClient({ endpoint, token: TOKEN });
    await unary(other, other.listPlans, {});
    assert.equal(started(), 5, 'the other connection is served, the two of this one wait');
    calls[0]!.cancel();
    await until('another one is served', () => started() === 6);
    for (const call of calls) call.cancel();
    client.close();
    other.close();
  }));

test('health streams without a token are bounded in all, and neither a check nor a caller with the token feels it', () =>
  withServer({ anonymousWatchesMax: 16 }, async ({ endpoint }) => {
    const flood = [1, 2].map(() => watchHealth({ endpoint, count: 30 }));
    const watches = flood.flatMap(({ watches }) => watches);
    const answers = await Promise.all(watches.map(({ first }) => first));
    assert.equal(answers.filter((answer) => answer === 'NOT_SERVING').length, 16);
    assert.equal(answers.filter((answer) => answer === status.RESOURCE_EXHAUSTED).length, 44);
    const known = watchHealth({ endpoint, count: 3, token: TOKEN });
    for (const { first } of known.watches) assert.equal(await first, 'NOT_SERVING');
    const liar = watchHealth({ endpoint, count: 1, token: 'guessed' });
    assert.equal(await liar.watches[0]!.first, status.RESOURCE_EXHAUSTED);
    assert.deepEqual(await healthOf(endpoint, ['readiness']), ['NOT_SERVING']);

    watches[answers.indexOf('NOT_SERVING')]!.close();
    await until('there is room again', async () => {
      const next = watchHealth({ endpoint, count: 1 });
      const answer = await next.watches[0]!.first;
      next.close();
      return answer === 'NOT_SERVING';
    });
    flood[0]!.close();
    flood[1]!.close();
    for (const { close } of [known, liar]) close();
  }));

test('a health call that is begun and never asks is ended', () =>
  withServer({ handshakeMs: 200 }, async (_server, port) => {
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    for (const method of ['Check', 'Watch']) {
      const stream = session.request({
        ':method': 'POST',
        ':path': `/grpc.health.v1.Health/${method}`,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      const code = await new Promise((resolve) => {
        stream.on('response', (headers) => headers['grpc-status'] && resolve(Number(headers['grpc-status'])));
        stream.on('trailers', (headers) => resolve(Number(headers['grpc-status'])));
        stream.on('error', () => undefined);
        stream.resume();
      });
      assert.equal(code, status.DEADLINE_EXCEEDED, method);
    }
    session.destroy();
  }));

test('each service has its health under its full name, an unknown one has none, and reflection lists all', () =>
  withServer(
    {},
    async (server) => {
      const { endpoint } = server;
      const name = 'pocketfleet.v1.FleetService';
      assert.deepEqual(await healthOf(endpoint, ['', 'readiness', name]), Array(3).fill('NOT_SERVING'));
      server.setReady(true);
      assert.deepEqual(await healthOf(endpoint, ['', 'readiness', name]), [
        'SERVING',
        'NOT_SERVING',
        'SERVING',
      ]);
      await assert.rejects(healthOf(endpoint, ['pocketfleet.v1.Nothing']), { code: status.NOT_FOUND });
      const unknown = watchHealth({ endpoint, count: 1, service: 'x'.repeat(1000) });
      assert.equal(await unknown.watches[0]!.first, 'SERVICE_UNKNOWN');
      unknown.close();
      assert.deepEqual(await reflectedServices(endpoint, TOKEN), [
        'grpc.health.v1.Health',
        'pocketfleet.v1.FleetService',
        'pocketfleet.v1.WorkerService',
      ]);
    },
    '[::1]:0',
  ));
