// Artefacts that leave a real JetStream: manifest first, then chunks, cut off at any point and repeated.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { jetstream } from '@nats-io/jetstream';
import { createArtefactRemoval } from '../../core/checkpoint/artefact-removal.ts';
import type { Manifest } from '../../core/checkpoint/manifest.ts';
import { type ArtefactStore, createArtefactStore } from '../../core/checkpoint/store.ts';
import { FleetError } from '../../core/errors.ts';
import { headersOfLast, openBucket, streamManager } from '../../core/net/jetstream.ts';
import { connectNats, ensureStreams, type NatsConnection } from '../../core/net/nats.ts';
import { intercepted } from '../support/intercepted.ts';
import { NAMES } from '../support/names.ts';
import { startNats, type TestNats } from '../support/nats.ts';

let nats: TestNats;
let connection: NatsConnection;
let store: ArtefactStore;
before(async () => {
  nats = await startNats();
  connection = await connectNats({ url: nats.url, name: 'test' });
  await ensureStreams(connection, NAMES);
  store = createArtefactStore({ connection, names: NAMES, deadlineMs: 5_000 });
});
after(async () => {
  await store.close();
  await connection.close();
  await nats.stop();
});

const text = (value: string) => [new TextEncoder().encode(value)];
const key = (run: string, stage: number) => NAMES.checkpointKey(run, stage);

/** A stage whose head is that of every stage of its run. */
async function putStage(run: string, stage: number) {
  return store.putArtefact({
    key: key(run, stage),
    parts: [
      { name: 'backbone', pieces: text(`backbone ${stage} of ${run}`) },
      { name: 'optimizer', pieces: text(`optimizer ${stage} of ${run}`) },
      { name: 'head', pieces: text(`head of ${run}`) },
    ],
  });
}

/** Chunks of a run that have bytes. */
async function chunksOf(run: string): Promise<number> {
  let count = 0;
  for await (const { bytes } of headersOfLast(connection, NAMES.artefactStream, NAMES.chunkSubject(run, '*')))
    count += bytes > 0 ? 1 : 0;
  return count;
}

/** Every part that a manifest of the run names can be read; returns how many there are by stage. */
async function readAll(run: string): Promise<number[]> {
  const parts: number[] = [];
  for (const manifest of await store.listManifests(NAMES.checkpointKey(run, '*'))) {
    const held = manifest.parts.filter(({ chunks }) => chunks !== undefined);
    for (const { name } of held) await store.getPart(manifest, name);
    parts.push(held.length);
  }
  return parts;
}

test('a part goes and the others stay, and a chunk that another stage names stays with it', async () => {
  const removal = createArtefactRemoval({ connection, names: NAMES });
  for (const stage of [1, 2]) await putStage('run-parts', stage);
  assert.equal(await chunksOf('run-parts'), 5);
  assert.equal(await removal.letGo(key('run-parts', 1), ['optimizer', 'head']), true);
  const { chunks, bytes } = await removal.freeRun('run-parts', false);
  assert.deepEqual([chunks, bytes], [1, 'optimizer 1 of run-parts'.length]);
  assert.deepEqual(await readAll('run-parts'), [3, 1]);
  const manifest = (await store.getManifest(key('run-parts', 1)))!;
  await assert.rejects(store.getPart(manifest, 'head'), {
    code: 'notFound',
    message: /^part head of run-parts's stage 1 is not kept any more$/,
  });
  // The same again is nothing.
  assert.equal(await removal.letGo(key('run-parts', 1), ['optimizer', 'head']), false);
  assert.deepEqual(await removal.freeRun('run-parts', false), { chunks: 0, bytes: 0 });
  assert.equal(await removal.letGo(key('run-parts', 1), 'all'), true);
  assert.equal(await removal.letGo(key('run-parts', 2), 'all'), true);
  assert.equal(await removal.letGo(key('run-parts', 2), 'all'), false);
  assert.equal((await removal.freeRun('run-parts', true)).chunks, 4);
  assert.equal(await chunksOf('run-parts'), 0);
  assert.deepEqual(await store.listKeys(NAMES.checkpointKey('run-parts', '*')), []);
  // What was removed can be stored again.
  await putStage('run-parts', 1);
  assert.deepEqual(await readAll('run-parts'), [3]);
});

test('what a put has stored before its manifest is never freed, and is once it is abandoned', async () => {
  const client = jetstream(connection);
  const stray = NAMES.chunkSubject('run-put', 'a'.repeat(64));
  await putStage('run-put', 1);
  await client.publish(stray, 'of a put under way');
  const removal = createArtefactRemoval({ connection, names: NAMES });
  await removal.letGo(key('run-put', 1), ['optimizer']);
  assert.equal(
    (await removal.freeRun('run-put', false)).chunks,
    0,
    'a manifest that was changed says nothing',
  );
  assert.equal((await removal.sweep(() => false)).chunks, 0);
  await putStage('run-put', 2);
  assert.equal(
    (await removal.freeRun('run-put', false)).chunks,
    2,
    'the next stage is stored: it was cut off',
  );
  await client.publish(stray, 'of a put under way');
  const impatient = createArtefactRemoval({ connection, names: NAMES, abandonedMs: 0 });
  const { chunks } = await impatient.sweep(() => false);
  assert.equal(chunks, 1);
  assert.deepEqual(await readAll('run-put'), [2, 3]);
});

test('a manifest that cannot be read protects the chunks of its run, and no others', async () => {
  await putStage('run-garbled', 1);
  await putStage('run-beside', 1);
  const bucket = await openBucket(connection, NAMES.manifestBucket);
  await bucket.put(key('run-garbled', 1), 'no manifest');
  const removal = createArtefactRemoval({ connection, names: NAMES, abandonedMs: 0 });
  await removal.letGo(key('run-beside', 1), 'all');
  await removal.sweep(() => true);
  assert.deepEqual([await chunksOf('run-garbled'), await chunksOf('run-beside')], [3, 0]);
  await assert.rejects(removal.letGo(key('run-garbled', 1), 'all'), {
    code: 'dataLoss',
    message: /is damaged/,
  });
  await bucket.delete(key('run-garbled', 1));
});

test('a chunk that is stored again while it is about to be freed stays', async () => {
  await putStage('run-race', 1);
  await putStage('run-race', 2);
  const subjects: string[] = [];
  for await (const { subject } of headersOfLast(
    connection,
    NAMES.artefactStream,
    NAMES.chunkSubject('run-race', '*'),
  ))
    subjects.push(subject);
  // Between its look at a chunk and its message that frees it somebody stores the chunk again.
  const racing = intercepted(connection, async (subject) => {
    if (subjects.includes(subject)) await jetstream(connection).publish(subject, 'stored again');
  });
  const removal = createArtefactRemoval({ connection: racing, names: NAMES });
  await removal.letGo(key('run-race', 1), 'all');
  assert.deepEqual(await removal.freeRun('run-race', true), { chunks: 0, bytes: 0 });
  assert.equal(await chunksOf('run-race'), 5);
});

/**
 * An embedding run and a student that read the networks of a teacher: one looks each stage up when it needs it, the
 * other has found all of them before and loads them when a block is missing. Stages 2 and 3 are leased to them.
 */
async function readTeacher(run: string) {
  const found = await Promise.all([1, 2, 3].map((stage) => store.getManifest(key(run, stage))));
  let isOver = false;
  let reads = 0;
  /** Of the whole test most reads are over before the removal is; more show nothing new. */
  const ROUNDS_MAX = 6;
  const read = async (manifest: Manifest | undefined, stage: number) => {
    if (manifest === undefined) throw new FleetError('notFound', `${run} has no stage ${stage}`);
    const bytes = await store.getPart(manifest, 'backbone');
    assert.equal(new TextDecoder().decode(Uint8Array.from(bytes)), `backbone ${stage} of ${run}`);
    reads += 1;
  };
  const reader = async (manifestOf: (stage: number) => Promise<Manifest | undefined>) => {
    for (let round = 0; round < ROUNDS_MAX && !(round > 0 && isOver); round++) {
      for (const stage of [2, 3]) await read(await manifestOf(stage), stage);
      // Nobody has a lease of it: it is whole, or it is told to be gone.
      await read(await manifestOf(1), 1).catch((caught: unknown) => {
        if (caught instanceof FleetError)
          assert.ok(['notFound', 'dataLoss'].includes(caught.code), caught.message);
        else throw caught;
      });
    }
  };
  const readers = Promise.all([
    reader((stage) => store.getManifest(key(run, stage))),
    reader(async (stage) => found[stage - 1]),
  ]);
  readers.catch(() => undefined);
  return {
    async stop() {
      isOver = true;
      await readers;
      assert.ok(reads >= 4);
    },
  };
}

test('a removal that is cut off at any request leaves every manifest whole while it is read, and the next one finishes it', async () => {
  let requests = 1;
  for (let cut = 0; cut < requests; cut++) {
    const run = `run-cut-${cut}`;
    for (const stage of [1, 2, 3]) await putStage(run, stage);
    const dying = await connectNats({ url: nats.url, name: 'dying' });
    let count = 0;
    const removal = createArtefactRemoval({
      connection: intercepted(dying, async () => {
        count += 1;
        if (count > cut) await dying.close();
      }),
      names: NAMES,
    });
    const work = async (by: typeof removal) => {
      await by.letGo(key(run, 1), 'all');
      await by.letGo(key(run, 2), ['optimizer', 'head']);
      await by.freeRun(run, false);
    };
    const reading = await readTeacher(run);
    const isCut = await work(removal).then(
      () => false,
      () => true,
    );
    if (!dying.isClosed()) await dying.close();
    if (isCut) requests = cut + 2;
    await reading.stop();
    await readAll(run);
    await work(createArtefactRemoval({ connection, names: NAMES }));
    assert.deepEqual(await readAll(run), [3, 1], `cut at request ${cut}`);
    // The head is named by stage 3.
    assert.equal(await chunksOf(run), 4, `cut at request ${cut}`);
  }
  assert.ok(requests > 8, `${requests} requests`);
});

test('what frees a chunk takes no room for good, in a store that is full to its limit too', async () => {
  const manager = await streamManager(connection);
  const put = (stage: number, byte: number) =>
    store.putArtefact({
      key: key('run-full', stage),
      parts: [
        { name: 'large', pieces: [new Uint8Array(100_000).fill(byte)] },
        { name: 'small', pieces: text(`small ${stage}`) },
      ],
    });
  await put(1, 1);
  const { state } = await manager.streams.info(NAMES.artefactStream);
  await manager.streams.update(NAMES.artefactStream, { max_bytes: state.bytes });
  try {
    await assert.rejects(put(2, 2), { code: 'resourceExhausted' });
    const removal = createArtefactRemoval({ connection, names: NAMES });
    await removal.letGo(key('run-full', 1), 'all');
    assert.equal((await removal.freeRun('run-full', true)).chunks, 2);
  } finally {
    await manager.streams.update(NAMES.artefactStream, { max_bytes: -1 });
  }
  const freed = await manager.direct.getMessage(NAMES.artefactStream, {
    last_by_subj: NAMES.chunkSubject('run-full', '*'),
  });
  assert.equal(freed?.header.get('Nats-TTL'), '60s');
});
