// Copies of the streams in a real cluster of three nats-servers, and what a single one answers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { connectNats, ensureJournal, ensureStreams } from '../../core/net/nats.ts';
import { NAMES } from '../support/names.ts';
import { startNats } from '../support/nats.ts';
import { assertNothingLeft, freePort } from '../support/processes.ts';

const STREAMS = [NAMES.journalStream, `KV_${NAMES.fleetBucket}`, NAMES.artefactStream, NAMES.manifestStream];

test('a cluster keeps the copies that are asked for, also of streams that had one', async () => {
  const routePorts = await Promise.all([1, 2, 3].map(() => freePort()));
  const routes = routePorts.map((port) => `nats://127.0.0.1:${port}`).join(', ');
  const servers = await Promise.all(
    routePorts.map((port, i) =>
      startNats({
        serverName: `test-${i}`,
        config: `\ncluster { name: test, listen: "127.0.0.1:${port}", routes: [${routes}] }\n`,
      }),
    ),
  );
  const connection = await connectNats({ url: servers[0]!.url, name: 'replicas' });
  try {
    const manager = await jetstreamManager(connection, { checkAPI: false });
    const copies = () =>
      Promise.all(STREAMS.map(async (name) => (await manager.streams.info(name)).config.num_replicas));
    await ensureStreams(connection, NAMES, { waitMs: 30_000 });
    assert.deepEqual(await copies(), [1, 1, 1, 1]);
    await ensureStreams(connection, NAMES, { journal: false, replicas: { journal: 3, store: 0 } });
    await ensureJournal(connection, NAMES, 3);
    assert.deepEqual(await copies(), [3, 3, 1, 1]);
    await ensureStreams(connection, NAMES);
    assert.deepEqual(await copies(), [3, 3, 1, 1], 'without a number they keep what they have');
    await ensureStreams(connection, NAMES, { replicas: { journal: 3, store: 3 } });
    assert.deepEqual(await copies(), [3, 3, 3, 3]);
  } finally {
    await connection.close();
    await Promise.all(servers.map((server) => server.stop()));
  }
  await assertNothingLeft(
    servers.map(({ pid }) => pid),
    [...servers.map(({ port }) => port), ...routePorts],
  );
});

test('a single server refuses several copies in one sentence, and compresses the journal that it has', async () => {
  const nats = await startNats();
  const connection = await connectNats({ url: nats.url, name: 'replicas' });
  try {
    await assert.rejects(ensureStreams(connection, NAMES, { replicas: { journal: 3, store: 0 } }), {
      code: 'failedPrecondition',
      message: /creating the streams of the fleet: .*replicas > 1 not supported in non-clustered mode/,
    });
    const manager = await jetstreamManager(connection);
    const { journalStream: name, journalSubject } = NAMES;
    await manager.streams.add({ name, subjects: [journalSubject] });
    await ensureJournal(connection, NAMES);
    assert.equal((await manager.streams.info(name)).config.compression, 's2');
  } finally {
    await connection.close();
    await nats.stop();
  }
  await assertNothingLeft([nats.pid], [nats.port]);
});
