import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { serveMetrics } from '../../../core/net/http-server.ts';
import { listenOn, withoutIpv6 } from '../../../core/net/listening.ts';
import { assertNothingLeft, until } from '../../support/processes.ts';

const portOf = (endpoint: string) => Number(endpoint.slice(endpoint.lastIndexOf(':') + 1));

test('metrics and probes are answered over IPv6 and IPv4, and are gone when closed', async () => {
  let reason: string | undefined;
  const server = await serveMetrics({
    listen: '[::]:0',
    registry: new Registry(),
    probes: { '/healthz': () => undefined, '/readyz': () => reason },
  });
  const port = portOf(server.endpoint);
  assert.equal(server.endpoint, `[::]:${port}`);
  for (const host of ['[::1]', '127.0.0.1']) {
    assert.equal((await fetch(`http://${host}:${port}/metrics`)).status, 200);
    assert.equal((await fetch(`http://${host}:${port}/healthz?x=1`)).status, 200);
  }
  reason = 'not attached';
  const unready = await fetch(`http://127.0.0.1:${port}/readyz`);
  assert.deepEqual([unready.status, await unready.text()], [503, 'not attached\n']);
  const other = await fetch(`http://127.0.0.1:${port}/other`);
  assert.deepEqual([other.status, await other.text()], [404, '/metrics, /healthz, /readyz are here\n']);
  await server.close();
  await assertNothingLeft([], [port]);
});

test('a caller of the metrics that sends no request, or only its beginning, is hung up on', async () => {
  const server = await serveMetrics({
    listen: '127.0.0.1:0',
    registry: new Registry(),
    probes: {},
    limits: { requestMs: 200, connectionsMax: 40 },
  });
  const port = portOf(server.endpoint);
  let closed = 0;
  const sockets: Socket[] = [];
  for (let i = 0; i < 60; i++) {
    const socket = connect(port, '127.0.0.1');
    socket
      .on('error', () => undefined)
      .on('close', () => {
        closed += 1;
      });
    socket.resume();
    if (i % 2 === 0) socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n');
    sockets.push(socket);
  }
  await until('all are hung up on', () => closed === sockets.length, 5_000);
  assert.equal((await fetch(`http://127.0.0.1:${port}/metrics`)).status, 200);
  await server.close();
  await assertNothingLeft([], [port]);
});

test('an address that cannot be had is told with what to do', async () => {
  const first = createServer();
  const endpoint = await listenOn(first, '[::1]:0');
  await assert.rejects(listenOn(createServer(), endpoint), {
    code: 'failedPrecondition',
    message: `cannot listen on ${endpoint}: another program has this port; choose another, or 0 for a free one`,
  });
  await assert.rejects(
    listenOn(createServer(), '[2001:db8::1]:0'),
    /no interface of this machine has this address/,
  );
  await new Promise((resolve) => first.close(resolve));
  await assertNothingLeft([], [portOf(endpoint)]);
});

test('every address of a machine without IPv6 is every IPv4 address, and nothing else takes the place of another', () => {
  assert.deepEqual(withoutIpv6({ host: '::', port: 7070 }, 'EAFNOSUPPORT'), { host: '0.0.0.0', port: 7070 });
  assert.equal(withoutIpv6({ host: '::1', port: 7070 }, 'EAFNOSUPPORT'), undefined);
  assert.equal(withoutIpv6({ host: '::', port: 7070 }, 'EADDRINUSE'), undefined);
});
