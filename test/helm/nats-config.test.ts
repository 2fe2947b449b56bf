import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect } from '@nats-io/transport-node';
import { BROKER_KEYS, makeBrokerKeys } from '../../core/net/broker-keys.ts';
import { connectNats } from '../../core/net/nats.ts';
import { findNatsServer, NATS_ENVIRONMENT } from '../../core/net/nats-binary.ts';
import { render } from '../support/helm.ts';
import { assertNothingLeft, freePort, startProgram } from '../support/processes.ts';

test('a real nats-server takes the rendered configuration, lets the coordinator in and nobody else', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-chart-nats-'));
  const objects = await render();
  const rendered: string = objects.find((o) => o.kind === 'ConfigMap' && o.metadata.name.endsWith('-nats'))!
    .data['nats.conf'];
  const [port, monitor] = [await freePort(), await freePort()];
  // Only what a test cannot have differs: the pod's ports and its volume.
  const text = rendered
    .replace('port: 4222', `host: 127.0.0.1\nport: ${port}`)
    .replace('http_port: 8222', `http: 127.0.0.1:${monitor}`)
    .replace('/data', join(folder, 'store'));
  const file = join(folder, 'nats.conf');
  writeFileSync(file, text);
  // As the volume of the pod has them: the accounts beside the configuration.
  const keys = await makeBrokerKeys();
  writeFileSync(join(folder, BROKER_KEYS.server), keys.server);
  const credentialsFile = join(folder, BROKER_KEYS.coordinator);
  writeFileSync(credentialsFile, keys.coordinator);
  const { GOGC, GOMEMLIMIT } = plainEnvironment(objects);
  assert.equal(GOGC, NATS_ENVIRONMENT.GOGC, 'as on one machine');
  const env = {
    SERVER_NAME: 'pocketfleet-nats-0',
    GOGC: GOGC!,
    GOMEMLIMIT: GOMEMLIMIT!,
  };
  execFileSync(findNatsServer(), ['-t', '-c', file], { env, stdio: 'pipe' });

  const server = startProgram(findNatsServer(), ['-c', file], { env });
  try {
    await server.untilOutput(/Server is ready/);
    const servers = `127.0.0.1:${port}`;
    await assert.rejects(connect({ servers, reconnect: false }), /authorization/i);
    await assert.rejects(connect({ servers, token: 'x', reconnect: false }), /authorization/i);
    const connection = await connectNats({ url: `nats://${servers}`, credentialsFile, name: 'coordinator' });
    assert.equal(connection.info?.jetstream, true);
    await connection.close();
    for (const path of ['/healthz', '/healthz?js-server-only=true', '/healthz?js-enabled-only=true'])
      assert.equal((await fetch(`http://127.0.0.1:${monitor}${path}`)).status, 200, path);
    const varz = (await (await fetch(`http://127.0.0.1:${monitor}/varz`)).json()) as Record<string, unknown>;
    assert.equal(varz.gomemlimit, 2 ** 30, 'the memory target reached the runtime');
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  await assertNothingLeft([server.pid], [port, monitor]);
});

/** Variables of the broker's container that are said outright. */
function plainEnvironment(objects: Awaited<ReturnType<typeof render>>): Record<string, string> {
  const broker = objects.find((o) => o.kind === 'StatefulSet' && o.metadata.name.endsWith('-nats'))!;
  const { env } = broker.spec.template.spec.containers[0];
  return Object.fromEntries(env.map(({ name, value }: { name: string; value: string }) => [name, value]));
}
