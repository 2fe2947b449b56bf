// Artefacts in a real JetStream: stored once, verified on arrival, kept through a broker that is killed in between.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import type { Checkpoint } from '../../core/checkpoint/checkpoint.ts';
import { checkpointArtefact, loadCheckpoint, loadNetwork } from '../../core/checkpoint/checkpoint-store.ts';
import { type ArtefactStore, createArtefactStore } from '../../core/checkpoint/store.ts';
import { systemClock } from '../../core/clock.ts';
import { digest64, sha256Hex } from '../../core/digest.ts';
import { FleetError } from '../../core/errors.ts';
import { connectNats, ensureStreams, type NatsConnection } from '../../core/net/nats.ts';
import { stateDigest } from '../../core/state-vectors.ts';
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
  await store.close();
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

/** Sequence of the chunk that was stored last. */
const lastChunk = async (): Promise<number> =>
  (await (await jetstreamManager(connection)).streams.info(NAMES.artefactStream)).state.last_seq;

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

/** An artefact of two parts, of which the second has a few bytes. */
const artefactOf = (bytes: Uint8Array) => ({
  parts: [
    { name: 'large', pieces: [bytes.subarray(0, 10), bytes.subarray(10)] },
    { name: 'small', pieces: [Uint8Array.of(1, 2, 3)] },
  ],
});
const get = async (key: string, part = 'large'): Promise<Uint8Array> => {
  const manifest = await store.getManifest(key);
  assert.ok(manifest !== undefined);
  return store.getPart(manifest, part);
};

test('parts of no bytes, of one chunk and of many come back, each alone, with their metadata', async () => {
  for (const [stage, length] of [0, 1, 512 * 1024, 512 * 1024 + 1, 5_000_000].entries()) {
    const bytes = bytesOfLength(length, stage + 1);
    const key = NAMES.checkpointKey('run-sizes', stage);
    const stored = await store.putArtefact({ key, ...artefactOf(bytes), metadata: { step: String(stage) } });
    assert.equal(stored.bytes, length + 3);
    assert.ok(Math.abs(stored.storedAtMs - systemClock.now()) < 60_000);
    assert.deepEqual(await store.getManifest(key), stored);
    assert.deepEqual(stored.metadata, { step: String(stage) });
    assert.ok(Buffer.compare(await store.getPart(stored, 'large'), bytes) === 0);
    assert.deepEqual([...(await store.getPart(stored, 'small'))], [1, 2, 3]);
    await assert.rejects(
      store.getPart(stored, 'other'),
      rejectsWith('notFound', /^run-sizes's stage \d has no part other; it has large, small$/),
    );
  }
  const filter = NAMES.checkpointKey('run-sizes', '*');
  assert.deepEqual(
    (await store.listManifests(filter)).map(({ metadata }) => metadata.step),
    ['0', '1', '2', '3', '4'],
  );
  assert.deepEqual(
    (await store.listKeys(filter)).sort(),
    [0, 1, 2, 3, 4].map((stage) => NAMES.checkpointKey('run-sizes', stage)),
  );
});

test('storing the same again stores nothing; anything else under the key is dataLoss that names both', async () => {
  const key = NAMES.checkpointKey('run-again', 1);
  const bytes = bytesOfLength(1_200_000, 7);
  const first = await store.putArtefact({ key, ...artefactOf(bytes) });
  const before = await lastChunk();
  assert.deepEqual(await store.putArtefact({ key, ...artefactOf(bytes) }), first);
  assert.equal(await lastChunk(), before);
  const other = bytes.slice();
  other[999_999]! ^= 1;
  await assert.rejects(
    store.putArtefact({ key, ...artefactOf(other) }),
    rejectsWith('dataLoss', new RegExp(`is stored with digest ${first.digest} and was to be stored with`)),
  );
  assert.ok(Buffer.compare(await get(key), bytes) === 0);
});

test('two workers that store a key at the same time both succeed', async () => {
  const key = NAMES.checkpointKey('run-race', 1);
  const artefact = { key, ...artefactOf(bytesOfLength(700_000, 8)) };
  const [a, b] = await Promise.all([store.putArtefact(artefact), store.putArtefact(artefact)]);
  assert.deepEqual(a, b);
});

test('bytes that were changed, shortened or lost are dataLoss that names the chunk, and whoever has the right ones mends them', async () => {
  const key = NAMES.checkpointKey('run-damaged', 1);
  const artefact = { key, ...artefactOf(bytesOfLength(1_300_000, 9)) };
  const manifest = await store.putArtefact(artefact);
  const subject = NAMES.chunkSubject('run-damaged', manifest.parts[0]!.chunks![1]!);
  const chunk = bytesOfLength(1_300_000, 9).slice(512 * 1024, 2 * 512 * 1024);
  const client = jetstream(connection);
  const where = "^chunk 1 of part large of run-damaged's stage 1";
  chunk[17]! ^= 4;
  for (const [stored, what] of [
    [chunk, 'is damaged: its bytes have another digest than its name$'],
    [chunk.subarray(1), 'has 524287 bytes instead of 524288$'],
    [new Uint8Array(0), 'is not stored any more$'],
  ] as const) {
    await client.publish(subject, stored);
    await assert.rejects(get(key), rejectsWith('dataLoss', new RegExp(`${where} ${what}`)));
    // A part beside it can be read all the same.
    assert.deepEqual([...(await get(key, 'small'))], [1, 2, 3]);
    const before = await lastChunk();
    assert.deepEqual(await store.putArtefact(artefact), manifest);
    assert.equal(await lastChunk(), before + 1, 'only the damaged chunk is stored again');
    assert.ok(Buffer.compare(await get(key), bytesOfLength(1_300_000, 9)) === 0);
  }
});

test('a checkpoint goes to the store and comes back bit for bit, its network alone without the rest', async () => {
  const network = { kind: 'test' };
  const weights = Float32Array.of(1, -0, 1e-45, 7, 8);
  const checkpoint: Checkpoint = {
    vectors: [
      { name: 'weights', values: weights },
      { name: 'momentum', values: Float32Array.of(0.5, Number.NaN, Infinity, 1, 2) },
      { name: 'running', values: Float32Array.of(0, 1) },
    ],
    spec: { name: 'a', kind: 'teacher' },
    network,
    preprocessing: { mean: 127.5 },
    step: 123,
    epoch: 2,
    stage: 2,
    deviceClass: 'cpu avx2 threads=1 tf=2.21',
    ledgerDigest: 'a'.repeat(64),
    teacherDigest: 'b'.repeat(64),
    labelMap: '0-9,11',
  };
  const key = NAMES.checkpointKey('run-state', 2);
  const manifest = await store.putArtefact({ key, ...(await checkpointArtefact(store, checkpoint, 3)) });
  assert.deepEqual(
    manifest.parts.map(({ name, bytes }) => [name, bytes]),
    [
      ['backbone', 20],
      ['optimizer', 20],
      ['head', 8],
      ['labels', 6],
    ],
  );
  assert.equal(manifest.metadata.state_digest, stateDigest(checkpoint.vectors));
  const { weightsDigest, ...loaded } = await loadCheckpoint(store, manifest);
  assert.deepEqual(loaded, checkpoint);
  assert.ok(Object.is(loaded.vectors[0]!.values[1], -0));
  assert.equal(weightsDigest, digest64(weights));
  // Optimiser and head are gone: a student and an export need neither.
  for (const part of ['optimizer', 'head'])
    for (const chunk of manifest.parts.find(({ name }) => name === part)!.chunks!)
      await jetstream(connection).publish(NAMES.chunkSubject('run-state', chunk), '');
  const { weights: backbone, running, ...facts } = await loadNetwork(store, manifest, () => 3);
  assert.deepEqual([...backbone, ...running], [1, -0, Math.fround(1e-45), 0, 1]);
  assert.deepEqual(facts, { network, step: 123, weightsDigest, labelMap: '0-9,11' });
  await assert.rejects(
    loadCheckpoint(store, manifest),
    rejectsWith('dataLoss', /^chunk 0 of part optimizer of run-state's stage 2 is not stored any more$/),
  );
  await assert.rejects(
    loadNetwork(store, manifest, () => 4),
    rejectsWith('dataLoss', /backbone of 3/),
  );
});

test('equal states are equal artefacts, whatever the order of keys', async () => {
  const base = { vectors: [], preprocessing: {}, step: 1, epoch: 1, stage: 1, deviceClass: 'x', network: {} };
  const vectors = [{ name: 'weights', values: Float32Array.of(1) }];
  const [a, b] = await Promise.all(
    [
      { name: 'a', kind: 'teacher' },
      { kind: 'teacher', name: 'a' },
    ].map((spec) => checkpointArtefact(store, { ...base, vectors, spec }, 1)),
  );
  assert.deepEqual(a, b);
});

test('a checkpoint that an earlier release stored as one file is read, its network too', async () => {
  const file = readFileSync(new URL('../fixtures/checkpoint/sgd-v1.safetensors', import.meta.url));
  const digest = sha256Hex(file);
  const client = jetstream(connection);
  for (let chunk = 0; chunk * 1_000 < file.length; chunk++)
    await client.publish(
      NAMES.blobChunkSubject(digest, chunk),
      file.subarray(chunk * 1_000, (chunk + 1) * 1_000),
    );
  const key = NAMES.checkpointKey('run-old', 1);
  await put(key, JSON.stringify({ digest, bytes: file.length, chunkBytes: 1_000, metadata: {} }));
  const manifest = await store.getManifest(key);
  assert.ok(manifest !== undefined);
  const loaded = await loadCheckpoint(store, manifest);
  assert.equal(stateDigest(loaded.vectors), '900736cb5e8c6086');
  const network = await loadNetwork(store, manifest, () => 9);
  assert.deepEqual([...network.weights], [...loaded.vectors[0]!.values.subarray(0, 9)]);
  const changed = Uint8Array.from(file.subarray(0, 1_000));
  changed[999]! ^= 1;
  await client.publish(NAMES.blobChunkSubject(digest, 0), changed);
  await assert.rejects(
    loadCheckpoint(store, manifest),
    rejectsWith('dataLoss', /^the stored bytes of run-old's stage 1 have digest/),
  );
});

test('a manifest that somebody else has written is dataLoss in one sentence at once, never a wait', async () => {
  for (const [stage, value] of ['seven b', '', 'null', '{"digest":"x"}'].entries()) {
    const key = NAMES.checkpointKey('run-foreign', stage + 1);
    await put(key, value);
    const named = rejectsWith('dataLoss', new RegExp(`^[^\n]*manifest of ${key} is damaged[^\n]*$`));
    await assert.rejects(store.getManifest(key), named);
    await assert.rejects(store.watchManifest(key, AbortSignal.timeout(10_000)), named);
    await assert.rejects(
      store.putArtefact({ key, ...artefactOf(Uint8Array.of(1)), onWait: assert.fail }),
      named,
    );
    await assert.rejects(
      store.listManifests(NAMES.checkpointKey('run-foreign', '*')),
      rejectsWith('dataLoss', /damaged/),
    );
  }
});

test('what was never stored has no manifest', async () => {
  assert.equal(await store.getManifest(NAMES.evaluationKey('nobody')), undefined);
  assert.deepEqual(await store.listManifests(NAMES.checkpointKey('nobody', '*')), []);
});

test('a watch answers at once for a key that exists, and soon after another appears', async () => {
  const key = NAMES.checkpointKey('run-watched', 2);
  const controller = new AbortController();
  const watch = store.watchManifest(key, controller.signal);
  await store.putArtefact({ key: NAMES.checkpointKey('run-watched', 1), ...artefactOf(Uint8Array.of(1)) });
  const storedAt = systemClock.monotonic();
  const stored = await store.putArtefact({ key, ...artefactOf(Uint8Array.of(1, 2, 3)) });
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
  const manifest = await store.putArtefact({ key: kept, ...artefactOf(bytes) });
  const controller = new AbortController();
  const key = NAMES.checkpointKey('run-restart', 2);
  const watch = store.watchManifest(key, controller.signal);
  await nats.kill();
  const read = store.getPart(manifest, 'large');
  const put = store.putArtefact({ key, ...artefactOf(bytesOfLength(1_500_000, 11)) });
  await nats.restart();
  assert.ok(Buffer.compare(await read, bytes) === 0);
  assert.deepEqual(await watch, await put);
  assert.deepEqual(await store.putArtefact({ key: kept, ...artefactOf(bytes) }), manifest);
});

test('a broker that stays away is unavailable after the deadline', async () => {
  const impatient = createArtefactStore({ connection, names: NAMES, deadlineMs: 300 });
  await nats.kill();
  await assert.rejects(
    impatient.putArtefact({ key: 'evaluation.away', ...artefactOf(Uint8Array.of(1)) }),
    rejectsWith('unavailable', /reading the manifest of evaluation\.away/),
  );
  await impatient.close();
  await nats.restart();
  assert.equal(await store.getManifest('evaluation.away'), undefined);
});
