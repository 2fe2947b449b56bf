// Artefacts in a real JetStream: stored once, verified on arrival, kept through a broker that is killed in between.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { type ArtefactStore, createArtefactStore } from '../../core/checkpoint/store.ts';
import { systemClock } from '../../core/clock.ts';
import { sha256Hex } from '../../core/digest.ts';
import { FleetError } from '../../core/errors.ts';
import { connectNats, ensureStreams, type NatsConnection } from '../../core/net/nats.ts';
import { NAMES } from '../support/names.ts';
import { startNats, type TestNats } from '../support/nats.ts';

let nats: TestNats;
let connection: NatsConnection;
let store: ArtefactStore;
before(async () => {
  nats = await startNats({ token: 'artefact-token' });
  connection = await connectNats({ url: nats.url, token: nats.token, name: 'artefacts' });
  await ensureStreams(connection, NAMES);
  store = createArtefactStore({ connection, names: NAMES, deadlineMs: 20_000 });
});
after(async () => {
  await connection.close();
  await nats.stop();
});

function bytesOfLength(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

async function put(key: string, value: string): Promise<void> {
  await (await new Kvm(connection).open(NAMES.manifestBucket)).put(key, value);
}

const chunksStored = async (): Promise<number> =>
  (await (await jetstreamManager(connection)).streams.info(NAMES.artefactStream)).state.messages;

const rejectsWith = (code: string, pattern: RegExp) => (error: unknown) =>
  error instanceof FleetError && error.code === code && pattern.test(error.message);

test('several programs may create the streams at once, and again', async () => {
  const connections = await Promise.all(
    [0, 1, 2].map((i) => connectNats({ url: nats.url, token: nats.token, name: `racer ${i}` })),
  );
  await Promise.all(connections.map((each) => ensureStreams(each, NAMES)));
  const manager = await jetstreamManager(connection);
  for (const name of [NAMES.journalStream, NAMES.artefactStream, NAMES.historyStream, NAMES.logStream])
    assert.equal((await manager.streams.info(name)).config.storage, 'file');
  await Promise.all(connections.map((each) => each.close()));
});

test('artefacts of no bytes, of one chunk and of many come back with their metadata', async () => {
  for (const [stage, length] of [0, 1, 512 * 1024, 512 * 1024 + 1, 5_000_000].entries()) {
    const bytes = bytesOfLength(length, stage + 1);
    const key = NAMES.checkpointKey('run-sizes', stage);
    const stored = await store.putArtefact({ key, bytes, metadata: { step: String(stage) } });
    assert.equal(stored.digest, sha256Hex(bytes));
    assert.ok(Math.abs(stored.storedAtMs - systemClock.now()) < 60_000);
    const read = await store.getArtefact(key);
    assert.deepEqual(read.manifest, stored);
    assert.deepEqual(read.manifest.metadata, { step: String(stage) });
    assert.ok(Buffer.from(read.bytes).equals(bytes));
  }
  const listed = await store.listManifests(NAMES.checkpointKey('run-sizes', '*'));
  assert.deepEqual(
    listed.map(({ metadata }) => metadata.step),
    ['0', '1', '2', '3', '4'],
  );
});

test('storing the same bytes again is no work; other bytes under the key are dataLoss that names both', async () => {
  const key = NAMES.checkpointKey('run-again', 1);
  const bytes = bytesOfLength(1_200_000, 7);
  const first = await store.putArtefact({ key, bytes });
  const before = await chunksStored();
  assert.deepEqual(await store.putArtefact({ key, bytes }), first);
  assert.equal(await chunksStored(), before);
  const other = bytes.slice();
  other[999_999]! ^= 1;
  await assert.rejects(
    store.putArtefact({ key, bytes: other }),
    rejectsWith('dataLoss', new RegExp(`${first.digest}.*${sha256Hex(other)}`)),
  );
  assert.ok(Buffer.from((await store.getArtefact(key)).bytes).equals(bytes));
});

test('two workers that store a key at the same time both succeed', async () => {
  const key = NAMES.checkpointKey('run-race', 1);
  const bytes = bytesOfLength(700_000, 8);
  const [a, b] = await Promise.all([store.putArtefact({ key, bytes }), store.putArtefact({ key, bytes })]);
  assert.deepEqual(a, b);
});

test('bytes that were changed, shortened or lost in the store are dataLoss that says where', async () => {
  const key = NAMES.checkpointKey('run-damaged', 1);
  const bytes = bytesOfLength(1_300_000, 9);
  const { digest } = await store.putArtefact({ key, bytes });
  const subject = NAMES.artefactChunkSubject(digest, 1);
  const chunk = bytes.slice(512 * 1024, 2 * 512 * 1024);
  const client = jetstream(connection);
  chunk[17]! ^= 4;
  await client.publish(subject, chunk);
  await assert.rejects(
    store.getArtefact(key),
    rejectsWith('dataLoss', /stored bytes of test\.checkpoint\.run-damaged\.1/),
  );
  await client.publish(subject, chunk.subarray(1));
  await assert.rejects(
    store.getArtefact(key),
    rejectsWith('dataLoss', /chunk 1 .* has 524287 bytes instead of 524288/),
  );
  const lost = { digest: 'f'.repeat(64), bytes: 700_000, chunkBytes: 512 * 1024, metadata: {} };
  await put(NAMES.checkpointKey('run-damaged', 2), JSON.stringify(lost));
  await assert.rejects(
    store.getArtefact(NAMES.checkpointKey('run-damaged', 2)),
    rejectsWith('dataLoss', /chunk [01] .* is not stored any more/),
  );
});

test('a manifest that somebody else has written is dataLoss in one sentence at once, never a wait', async () => {
  for (const [stage, value] of ['seven b', '', 'null', '{"digest":"x"}'].entries()) {
    const key = NAMES.checkpointKey('run-foreign', stage + 1);
    await put(key, value);
    const named = rejectsWith('dataLoss', new RegExp(`^[^\n]*manifest of ${key} is damaged[^\n]*$`));
    await assert.rejects(store.getManifest(key), named);
    await assert.rejects(store.getArtefact(key), named);
    await assert.rejects(store.watchManifest(key, AbortSignal.timeout(10_000)), named);
    await assert.rejects(store.putArtefact({ key, bytes: Uint8Array.of(1), onWait: assert.fail }), named);
    await assert.rejects(
      store.listManifests(NAMES.checkpointKey('run-foreign', '*')),
      rejectsWith('dataLoss', /damaged/),
    );
  }
});

test('what was never stored is notFound, and its manifest undefined', async () => {
  assert.equal(await store.getManifest(NAMES.evaluationKey('nobody')), undefined);
  await assert.rejects(
    store.getArtefact(NAMES.evaluationKey('nobody')),
    rejectsWith('notFound', /evaluation\.nobody/),
  );
  assert.deepEqual(await store.listManifests(NAMES.checkpointKey('nobody', '*')), []);
});

test('a watch answers at once for a key that exists, and soon after another appears', async () => {
  const key = NAMES.checkpointKey('run-watched', 2);
  const controller = new AbortController();
  const watch = store.watchManifest(key, controller.signal);
  await store.putArtefact({ key: NAMES.checkpointKey('run-watched', 1), bytes: Uint8Array.of(1) });
  const storedAt = systemClock.monotonic();
  const stored = await store.putArtefact({ key, bytes: Uint8Array.of(1, 2, 3) });
  assert.deepEqual(await watch, stored);
  assert.ok(systemClock.monotonic() - storedAt < 1_500, 'the watch, not the second look, has seen it');
  assert.deepEqual(await store.watchManifest(key, controller.signal), stored);
});

test('a watch ends with the signal that stops it', async () => {
  const controller = new AbortController();
  const watch = store.watchManifest('checkpoint.never.1', controller.signal);
  const reason = new FleetError('cancelled', 'the run was released');
  controller.abort(reason);
  await assert.rejects(watch, reason);
});

test('a broker that is killed and started again keeps what it has acknowledged, and work in flight goes on', async () => {
  const kept = NAMES.checkpointKey('run-restart', 1);
  const bytes = bytesOfLength(900_000, 10);
  const manifest = await store.putArtefact({ key: kept, bytes });
  const controller = new AbortController();
  const key = NAMES.checkpointKey('run-restart', 2);
  const watch = store.watchManifest(key, controller.signal);
  await nats.kill();
  const read = store.getArtefact(kept);
  const put = store.putArtefact({ key, bytes: bytesOfLength(1_500_000, 11) });
  await nats.restart();
  assert.deepEqual((await read).manifest, manifest);
  assert.ok(Buffer.from((await read).bytes).equals(bytes));
  assert.deepEqual(await watch, await put);
  assert.deepEqual(await store.putArtefact({ key: kept, bytes }), manifest);
});

test('a broker that stays away is unavailable after the deadline', async () => {
  const impatient = createArtefactStore({ connection, names: NAMES, deadlineMs: 300 });
  await nats.kill();
  await assert.rejects(
    impatient.putArtefact({ key: 'evaluation.away', bytes: Uint8Array.of(1) }),
    rejectsWith('unavailable', /reading the manifest of evaluation\.away/),
  );
  await nats.restart();
  assert.equal(await store.getManifest('evaluation.away'), undefined);
});
