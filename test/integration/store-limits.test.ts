// What each stream may take of a real nats-server with a limit, and that the journal keeps its room when the rest is full.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { createArtefactStore } from '../../core/checkpoint/store.ts';
import { FleetError } from '../../core/errors.ts';
import { connectNats, ensureStreams, type NatsConnection } from '../../core/net/nats.ts';
import {
  applyShares,
  findStoreLimit,
  LIMITED_STREAMS,
  reserveOf,
  sharesOf,
} from '../../core/net/store-limits.ts';
import { checkpointKey, JOURNAL_STREAM, JOURNAL_SUBJECT } from '../../core/net/subjects.ts';
import { startNats, type TestNats } from '../support/nats.ts';
import { until } from '../support/processes.ts';

const LIMIT = 12 << 20;
let nats: TestNats;
let connection: NatsConnection;
before(async () => {
  nats = await startNats({ storeBytesMax: LIMIT });
  connection = await connectNats({ url: nats.url, name: 'limits' });
});
after(async () => {
  await connection.close();
  await nats.stop();
});

const limitsNow = async () => {
  const manager = await jetstreamManager(connection);
  return Promise.all(
    LIMITED_STREAMS.map(async (name) => (await manager.streams.info(name)).config.max_bytes),
  );
};

test('the limit of a server that does not name it is found, and the streams share it less the reserve', async () => {
  await ensureStreams(connection);
  const found = await findStoreLimit(connection);
  assert.ok(found !== undefined && found <= LIMIT && found > LIMIT * 0.98, `${found} of ${LIMIT}`);
  const reserve = reserveOf(found);
  await applyShares(connection, sharesOf(found, reserve));
  const total = (await limitsNow()).reduce((sum, bytes) => sum + bytes, 0);
  assert.ok(Math.abs(total - (found - reserve)) < 10);
  assert.equal(await findStoreLimit(connection, 8 << 20), 8 << 20, 'a configured limit below it counts');
  const manager = await jetstreamManager(connection);
  assert.equal((await manager.streams.info(JOURNAL_STREAM)).config.max_bytes, -1);
});

test('streams made without limits and protection get both', async () => {
  const manager = await jetstreamManager(connection);
  for (const name of [...LIMITED_STREAMS, JOURNAL_STREAM]) await manager.streams.delete(name);
  await manager.streams.add({ name: JOURNAL_STREAM, subjects: [JOURNAL_SUBJECT] });
  await manager.streams.add({ name: 'PF_ARTEFACTS', subjects: ['pf.artefact.*.*'], discard: 'new' as const });
  await ensureStreams(connection);
  await applyShares(connection, sharesOf(LIMIT * 0.9, LIMIT * 0.1));
  assert.ok((await limitsNow()).every((bytes) => bytes > 0));
  for (const name of ['PF_ARTEFACTS', 'PF_HISTORY', 'PF_LOGS', JOURNAL_STREAM]) {
    const { config } = await manager.streams.info(name);
    assert.deepEqual([config.deny_delete, config.deny_purge], [true, true], name);
  }
  await assert.rejects(manager.streams.purge(JOURNAL_STREAM), { name: 'JetStreamApiError' });
});

test('checkpoints that fill their part end as resourceExhausted, and the journal still takes messages', async () => {
  const store = createArtefactStore({ connection, deadlineMs: 20_000 });
  const bytes = new Uint8Array(3 << 20);
  const fill = async () => {
    for (let stage = 1; stage <= 6; stage++) {
      bytes[0] = stage;
      await store.putArtefact({ key: checkpointKey('run-1', stage), bytes });
    }
  };
  await assert.rejects(fill(), {
    code: 'resourceExhausted',
    message: /^storing chunk \d of checkpoint\.run-1\.\d: /,
  });
  await jetstream(connection).publish(JOURNAL_SUBJECT, 'x'.repeat(200_000));
  const seen: (string | undefined)[] = [];
  const patient = store.putArtefact({
    key: checkpointKey('run-2', 1),
    bytes: bytes.fill(7),
    onWait: (trouble) => seen.push(trouble?.code),
  });
  await until('a patient put tells that it waits', () => seen.includes('resourceExhausted'));
  await nats.restart({ storeBytesMax: 4 * LIMIT });
  await until('the broker is back', () =>
    findStoreLimit(connection).then(
      (found) => applyShares(connection, sharesOf(found!, LIMIT)).then(() => true),
      () => false,
    ),
  );
  await patient;
  assert.equal(seen.at(-1), undefined, 'and that it goes on');
  const two = new AbortController();
  const signal = two.signal;
  two.abort(new FleetError('cancelled', 'released'));
  await assert.rejects(store.putArtefact({ key: 'evaluation.x', bytes, signal, onWait: () => 0 }), {
    code: 'cancelled',
  });
});

test('shares and reserve: everything is given out once, and small stores keep half for work', () => {
  for (const limit of [1 << 20, 1 << 30, 2 ** 43]) {
    const shares = sharesOf(limit, reserveOf(limit));
    const sum = Object.values(shares).reduce((total, bytes) => total + bytes, 0);
    assert.equal(sum + reserveOf(limit), limit);
  }
  assert.equal(reserveOf(2 ** 43), 2 ** 31);
  assert.equal(reserveOf(1 << 20, 1 << 30), 1 << 19);
});
