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
  limitedStreams,
  reserveOf,
  sharesOf,
} from '../../core/net/store-limits.ts';
import { startLocalCoordinator } from '../support/coordinator-in-process.ts';
import { NAMES, namesOn } from '../support/names.ts';
import { startNats, type TestNats } from '../support/nats.ts';
import { assertNothingLeft, until } from '../support/processes.ts';

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
    limitedStreams(NAMES).map(async (name) => (await manager.streams.info(name)).config.max_bytes),
  );
};

test('the limit of a server that does not name it is found, and the streams share it less the reserve', async () => {
  await ensureStreams(connection, NAMES);
  const found = await findStoreLimit(connection, NAMES);
  assert.ok(found !== undefined && found <= LIMIT && found > LIMIT * 0.98, `${found} of ${LIMIT}`);
  const reserve = reserveOf(found);
  await applyShares(connection, NAMES, sharesOf(found, reserve));
  const total = (await limitsNow()).reduce((sum, bytes) => sum + bytes, 0);
  assert.ok(Math.abs(total - (found - reserve)) < 10);
  assert.equal(
    await findStoreLimit(connection, NAMES, 8 << 20),
    8 << 20,
    'a configured limit below it counts',
  );
  const manager = await jetstreamManager(connection);
  assert.equal((await manager.streams.info(NAMES.journalStream)).config.max_bytes, -1);
});

test('streams made without limits and protection get both', async () => {
  const manager = await jetstreamManager(connection);
  for (const name of [...limitedStreams(NAMES), NAMES.journalStream]) await manager.streams.delete(name);
  await manager.streams.add({ name: NAMES.journalStream, subjects: [NAMES.journalSubject] });
  await manager.streams.add({
    name: NAMES.artefactStream,
    subjects: [NAMES.chunkSubjects],
    discard: 'new' as const,
  });
  await ensureStreams(connection, NAMES);
  await applyShares(connection, NAMES, sharesOf(LIMIT * 0.9, LIMIT * 0.1));
  assert.ok((await limitsNow()).every((bytes) => bytes > 0));
  for (const name of [NAMES.artefactStream, NAMES.historyStream, NAMES.logStream, NAMES.journalStream]) {
    const { config } = await manager.streams.info(name);
    assert.deepEqual([config.deny_delete, config.deny_purge], [true, true], name);
  }
  await assert.rejects(manager.streams.purge(NAMES.journalStream), { name: 'JetStreamApiError' });
});

test('checkpoints that fill their part end as resourceExhausted, and the journal still takes messages', async () => {
  const store = createArtefactStore({ connection, names: NAMES, deadlineMs: 20_000 });
  const bytes = new Uint8Array(3 << 20);
  const fill = async () => {
    for (let stage = 1; stage <= 6; stage++) {
      for (let at = 0; at < bytes.length; at += 4_096) bytes[at] = stage + (at >> 19) * 16;
      await store.putArtefact({
        key: NAMES.checkpointKey('run-1', stage),
        parts: [{ name: 'all', pieces: [bytes] }],
      });
    }
  };
  await assert.rejects(fill(), {
    code: 'resourceExhausted',
    message: /^storing chunk \d of part all of run-1's stage \d: /,
  });
  await jetstream(connection).publish(NAMES.journalSubject, 'x'.repeat(200_000));
  const seen: (string | undefined)[] = [];
  const patient = store.putArtefact({
    key: NAMES.checkpointKey('run-2', 1),
    parts: [{ name: 'all', pieces: [bytes.fill(7)] }],
    onWait: (trouble) => seen.push(trouble?.code),
  });
  await until('a patient put tells that it waits', () => seen.includes('resourceExhausted'));
  await nats.restart({ storeBytesMax: 4 * LIMIT });
  await until('the broker is back', () =>
    findStoreLimit(connection, NAMES).then(
      (found) => applyShares(connection, NAMES, sharesOf(found!, LIMIT)).then(() => true),
      () => false,
    ),
  );
  await patient;
  assert.equal(seen.at(-1), undefined, 'and that it goes on');
  const two = new AbortController();
  const signal = two.signal;
  two.abort(new FleetError('cancelled', 'released'));
  await assert.rejects(store.putArtefact({ key: 'evaluation.x', parts: [], signal, onWait: () => 0 }), {
    code: 'cancelled',
  });
  await store.close();
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

test('a leader corrects the shares when the limit of the broker has changed; one below what the streams have is named, and harms nothing', async (t) => {
  const own = await startNats({ storeBytesMax: LIMIT });
  const coordinator = await startLocalCoordinator({ natsUrl: own.url });
  const looking = await connectNats({ url: own.url, name: 'looking' });
  t.after(async () => {
    await looking.close();
    await coordinator.close();
    await own.stop();
    await assertNothingLeft([own.pid], [own.port]);
  });
  const names = await namesOn(looking);
  const shared = async () => {
    const manager = await jetstreamManager(looking);
    const limits = limitedStreams(names).map(
      async (name) => (await manager.streams.info(name)).config.max_bytes,
    );
    return (await Promise.all(limits)).reduce((sum, bytes) => sum + bytes, 0);
  };
  /** The limit is found to 1/64, and what is left of it is the journal's. */
  const untilShares = (limit: number) =>
    until(
      `the streams share ${limit}`,
      async () => {
        const total = await shared().catch(() => 0);
        const whole = limit - reserveOf(limit);
        return total <= whole && total > whole * (1 - 2 ** -5);
      },
      30_000,
    );
  await untilShares(LIMIT);
  await own.restart({ storeBytesMax: LIMIT / 2 });
  await until('the lowered limit is named', () =>
    findStoreLimit(looking, names).then(
      () => false,
      ({ code, message }) =>
        code === 'failedPrecondition' && /^the streams of this fleet have 1\d{7} bytes /.test(message),
    ),
  );
  await own.restart({ storeBytesMax: 3 * LIMIT });
  await untilShares(3 * LIMIT);
  assert.equal(coordinator.failure(), undefined);
});

test('a leader corrects the shares when the limit of its account is changed under its connection', async (t) => {
  const accounts = (bytes: number) =>
    `accounts { FLEET: { jetstream: { max_mem: 64MB, max_file: ${bytes} }, users: [{ user: fleet, password: word }] } }\nno_auth_user: fleet\n`;
  const own = await startNats({ config: accounts(LIMIT) });
  const coordinator = await startLocalCoordinator({ natsUrl: own.url });
  const looking = await connectNats({ url: own.url, name: 'looking' });
  t.after(async () => {
    await looking.close();
    await coordinator.close();
    await own.stop();
    await assertNothingLeft([own.pid], [own.port]);
  });
  const names = await namesOn(looking);
  const untilArtefacts = (limit: number) =>
    until(
      `artefacts have their share of ${limit}`,
      async () => {
        const manager = await jetstreamManager(looking);
        const info = await manager.streams.info(names.artefactStream).catch(() => undefined);
        return info?.config.max_bytes === sharesOf(limit, reserveOf(limit)).artefacts;
      },
      30_000,
    );
  await untilArtefacts(LIMIT);
  await own.reload(accounts(2 * LIMIT));
  await untilArtefacts(2 * LIMIT);
  assert.equal(coordinator.failure(), undefined);
});
