// A store that gets other keys, on real servers: a fleet that was begun with a token, and one whose keys were made
// anew, find their streams.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { makeBrokerKeys } from '../../core/net/broker-keys.ts';
import { adoptStore } from '../../core/net/broker-store.ts';
import { connectNats, ensureStreams, type NatsConnection } from '../../core/net/nats.ts';
import { NAMES } from '../support/names.ts';
import { startNats, type TestNats } from '../support/nats.ts';
import { assertNothingLeft } from '../support/processes.ts';

test('the streams of a fleet that was begun with a token are there under its keys, and under later ones', async () => {
  const storeDir = mkdtempSync(join(tmpdir(), 'pocketfleet-store-'));
  const accounts = join(storeDir, 'jetstream');
  const started: TestNats[] = [];
  async function on<T>(
    options: Parameters<typeof startNats>[0],
    work: (connection: NatsConnection) => Promise<T>,
  ) {
    const nats = await startNats({ ...options, storeDir });
    started.push(nats);
    const connection = await connectNats({ ...nats.access, name: 'coordinator' });
    try {
      return await work(connection);
    } finally {
      await connection.close();
      await nats.stop();
    }
  }
  const streamsOf = async (connection: NatsConnection) => {
    const found: Record<string, number> = {};
    for await (const { config, state } of (await jetstreamManager(connection)).streams.list())
      found[config.name] = state.messages;
    return found;
  };
  try {
    const before = await on({ token: 'of-old' }, async (connection) => {
      await ensureStreams(connection, NAMES);
      for (let i = 0; i < 3; i++) await jetstream(connection).publish(NAMES.journalSubject, `decision ${i}`);
      await (await new Kvm(connection).open(NAMES.manifestBucket)).put(
        NAMES.checkpointKey('run-1', 1),
        'manifest',
      );
      return streamsOf(connection);
    });
    assert.equal(before[NAMES.journalStream], 3);
    assert.deepEqual(readdirSync(accounts), ['$G']);
    for (const from of ['$G', 'the account before']) {
      const keys = await makeBrokerKeys();
      const [was] = readdirSync(accounts);
      assert.equal(adoptStore(storeDir, keys.account), was, from);
      assert.equal(adoptStore(storeDir, keys.account), undefined, 'once');
      await on({ identities: keys }, async (connection) => {
        await ensureStreams(connection, NAMES);
        assert.deepEqual(await streamsOf(connection), before);
        await jetstream(connection).publish(NAMES.journalSubject, 'goes on');
        before[NAMES.journalStream]! += 1;
        const bucket = await new Kvm(connection).open(NAMES.manifestBucket);
        assert.equal((await bucket.get(NAMES.checkpointKey('run-1', 1)))?.string(), 'manifest');
      });
      assert.deepEqual(readdirSync(accounts), [keys.account]);
    }
    mkdirSync(join(accounts, '$G'));
    const third = (await makeBrokerKeys()).account;
    assert.throws(
      () => adoptStore(storeDir, third),
      /has the streams of 2 accounts .* and none of A[A-Z2-7]+; rename the folder/,
    );
  } finally {
    rmSync(storeDir, { recursive: true, force: true });
  }
  await assertNothingLeft(
    started.map(({ pid }) => pid),
    started.map(({ port }) => port),
  );
});

test('a new store is left as it is', () => {
  const storeDir = mkdtempSync(join(tmpdir(), 'pocketfleet-store-'));
  assert.equal(adoptStore(storeDir, `A${'B'.repeat(55)}`), undefined);
  mkdirSync(join(storeDir, 'jetstream', '$SYS'), { recursive: true });
  assert.equal(adoptStore(storeDir, `A${'B'.repeat(55)}`), undefined);
  rmSync(storeDir, { recursive: true });
});
