// Rows of single images between workers, on a real broker: how many images the members of a gang embed between them, and
// what becomes of rows that are damaged or of no use.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../core/clock.ts';
import { IMAGE_BYTES, mirror } from '../../core/data/images/pixels.ts';
import { shardSamples } from '../../core/data/loading/sampler.ts';
import { createLogger } from '../../core/log.ts';
import { connectNats, type NatsConnection } from '../../core/net/nats.ts';
import { integers } from '../../core/rng.ts';
import { createRowSharing } from '../../worker/run/row-sharing.ts';
import { createRowProofs } from '../../worker/training/row-proof.ts';
import { createTeacherFeed } from '../../worker/training/teacher.ts';
import { createTeacherBlocks } from '../../worker/training/teacher-blocks.ts';
import { createTeacherRows } from '../../worker/training/teacher-rows.ts';
import { NAMES } from '../support/names.ts';
import { startNats } from '../support/nats.ts';

const IMAGES = 64;
const EPOCHS = 10;
const SHARDS = 4;
/** Of a shard. */
const BATCH = 4;
const STEPS = (EPOCHS * IMAGES) / (SHARDS * BATCH);
const SCHEDULE = {
  ...{ images: IMAGES, batch: SHARDS * BATCH, shards: SHARDS, epochs: EPOCHS, roundSteps: 1 },
  stepsTotal: STEPS,
};
const EMBEDDING = 2;
const SIZE = { images: IMAGES, flips: 2, embedding: EMBEDDING } as const;
const log = createLogger({ program: 'worker', level: 'fatal' });
const samplesOf = (step: number, shard: number) =>
  shardSamples({ schedule: SCHEDULE, seed: 3, step, shard, flip: true });

const upright = Array.from({ length: IMAGES }, (_, i) => {
  const image = new Uint8Array(IMAGE_BYTES);
  image.set(integers(i, 'an image', 3, 256));
  return image;
});
const turned = upright.map((image) => {
  const other = new Uint8Array(IMAGE_BYTES);
  mirror(image, other);
  return other;
});

/** What a network gives whose rows depend on their image alone. */
function rowsOf(images: Uint8Array): Float32Array {
  const rows: number[] = [];
  for (let at = 0; at < images.length; at += IMAGE_BYTES) {
    let [sum, first] = [0, -1];
    for (let i = 0; i < IMAGE_BYTES; i++) {
      const byte = images[at + i]!;
      sum += byte * (1 + (i % 3));
      if (byte !== 0 && first < 0) first = i;
    }
    rows.push(sum, first);
  }
  return Float32Array.from(rows);
}

/** A member of a gang, with a connection of its own. */
function memberOf(connection: NatsConnection, of: { readonly isShared: boolean; readonly device?: string }) {
  const rows = createTeacherRows();
  const warned: string[] = [];
  let computed = 0;
  const told = { ...log, warn: (text: unknown) => warned.push(String(text)) } as typeof log;
  const feed = createTeacherFeed({
    teacherRunId: 'run-1',
    taught: { schedule: 'single-step', epochs: EPOCHS, teacherStages: 1 },
    ...{ strength: {}, batch: BATCH, embedding: EMBEDDING, order: 'an order', form: 'float32' as const },
    ...{ blocks: createTeacherBlocks({ bytesMax: 1 }), clock: systemClock, begin: () => () => undefined },
    compute: { runGraph: async (_graph: unknown, inputs: Uint8Array[]) => [rowsOf(inputs[2]!)] } as never,
    imageRows: {
      ...{ rows, proofs: createRowProofs(), data: 'a set', device: of.device ?? 'class a', images: IMAGES },
      ...{ flips: 2, isAsked: true, samplesOf, onRefused: (reason: string) => assert.fail(reason) },
      sharing: of.isShared ? createRowSharing({ connection, names: NAMES, rows, log: told }) : undefined,
    },
    onImages: (images, source) => {
      if (source === 'computed') computed += images;
    },
    find: async () => ({
      ...{ digest: 'stage', networkDigest: 'stage', bytes: 0 },
      load: async () => ({
        network: { kind: 'mobilefacenet', embedding: EMBEDDING },
        ...{ weights: new Float32Array(1), running: new Float32Array(1) },
      }),
    }),
    exists: async () => true,
    digestOf: async () => 'stage',
    onWaiting: () => undefined,
  });
  feed.keepRows(1 << 20);
  const { signal } = new AbortController();
  return {
    ...{ warned, close: () => feed.close() },
    computed: () => computed,
    async take(step: number, shard: number) {
      const network = await feed.forEpoch(Math.floor((step * SHARDS * BATCH) / IMAGES), signal);
      const samples = samplesOf(step, shard);
      const images = new Uint8Array(BATCH * IMAGE_BYTES);
      for (const [place, { index, flip }] of samples.entries())
        images.set((flip ? turned : upright)[index]!, place * IMAGE_BYTES);
      const [values] = await network.inputsOf({ step, shard, images });
      assert.deepEqual(values, rowsOf(images), 'the rows of a pass over the batch');
    },
  };
}

/** Images that a gang of so many embeds between its members, in all epochs. */
async function embeddedBy(
  url: string,
  members: number,
  of: { readonly isShared: boolean; readonly devices?: readonly string[] },
): Promise<number> {
  const connections = await Promise.all(
    Array.from({ length: members }, (_, i) => connectNats({ url, name: `worker ${i}` })),
  );
  const gang = connections.map((connection, i) => {
    const device = of.devices?.[i];
    return memberOf(connection, { isShared: of.isShared, ...(device === undefined ? {} : { device }) });
  });
  /** What was told has reached everybody: the broker answers after it has sent what came before. */
  const heard = async () => {
    for (let turn = 0; turn < 2; turn++) await Promise.all(connections.map((one) => one.flush()));
  };
  try {
    for (let step = 0; step < STEPS; step++)
      for (let shard = 0; shard < SHARDS; shard++) {
        await gang[Math.floor((shard * members) / SHARDS)]!.take(step, shard);
        await heard();
      }
    return gang.reduce((sum, member) => sum + member.computed(), 0);
  } finally {
    for (const member of gang) {
      member.close();
      assert.deepEqual(member.warned, []);
    }
    await Promise.all(connections.map((one) => one.close()));
  }
}

test('two and four members embed hardly more images between them than one alone, where they have each other’s rows', async () => {
  const nats = await startNats();
  try {
    const alone = await embeddedBy(nats.url, 1, { isShared: false });
    // Two rows an image; a pass of four that is not full has places to spare.
    assert.ok(alone >= 2 * IMAGES && alone <= 2.5 * IMAGES, `${alone} of ${IMAGES}`);
    for (const members of [1, 2, 4]) {
      const shared = await embeddedBy(nats.url, members, { isShared: true });
      // A member hears nothing before its own first batch: of the first step it misses the shards before its own, each
      // image of which costs it a pass at most.
      const missed = ((members - 1) / 2) * SHARDS * BATCH;
      assert.ok(
        shared >= alone && shared <= alone + missed * BATCH,
        `${members} members: ${shared}, ${alone}`,
      );
    }
    const [two, four] = [
      await embeddedBy(nats.url, 2, { isShared: false }),
      await embeddedBy(nats.url, 4, { isShared: false }),
    ];
    assert.ok(two > 1.5 * alone && four > two, `${alone}, ${two}, ${four} images without`);
    // What another device class computes has other bits.
    const apart = { isShared: true, devices: ['class a', 'class b'] };
    assert.equal(await embeddedBy(nats.url, 2, apart), two);
  } finally {
    await nats.stop();
  }
});

test('rows whose bytes have changed are left out with a warning, and rows of a stage that was let go are not heard', async () => {
  const nats = await startNats();
  const [own, other] = await Promise.all(
    [1, 2].map((i) => connectNats({ url: nats.url, name: `worker ${i}` })),
  );
  const warned: string[] = [];
  const rows = createTeacherRows();
  const subjects: string[] = [];
  const sharing = createRowSharing({
    connection: {
      publish: (subject, bytes) => {
        subjects.push(subject);
        own!.publish(subject, bytes);
      },
      subscribe: (...of) => own!.subscribe(...of),
      isClosed: () => own!.isClosed(),
    },
    ...{ names: NAMES, rows, log: { ...log, warn: (text: unknown) => warned.push(String(text)) } as never },
  });
  const heard = async () => {
    await other!.flush();
    await own!.flush();
  };
  try {
    const key = { network: 'stage', data: 'a set', device: 'class a', group: 4 };
    const kept = rows.of(key, SIZE, 1 << 20)!;
    sharing.follow(key, SIZE);
    const row = { image: 3, isMirrored: true, values: Float32Array.of(1, 2) };
    sharing.tell(key, SIZE, [row]);
    await heard();
    assert.ok(kept.has(3, true), 'what it tells comes back to it too');
    const [subject] = subjects;
    other!.publish(subject!, new Uint8Array(20));
    await heard();
    assert.deepEqual(warned, [
      'rows of embeddings that another worker has sent are left out: their bytes do not have their digest',
    ]);
    // Another stage takes the room of this one.
    rows.of({ ...key, network: 'next' }, SIZE, 2_000);
    assert.equal(rows.kept(key, SIZE), undefined);
    for (let i = 0; i < 2; i++) {
      other!.publish(subject!, new Uint8Array(20));
      await heard();
    }
    assert.equal(warned.length, 1);
    // More rows than a message has room for come in several.
    const wide = { images: 2_000, flips: 2, embedding: 400 } as const;
    const large = rows.of({ ...key, network: 'wide' }, wide, 1 << 24)!;
    sharing.follow({ ...key, network: 'wide' }, wide);
    const many = Array.from({ length: 1_500 }, (_, image) => ({
      ...{ image, isMirrored: false, values: new Float32Array(400).fill(image) },
    }));
    sharing.tell({ ...key, network: 'wide' }, wide, many);
    await heard();
    assert.equal(subjects.length, 1 + 3);
    assert.ok(many.every(({ image }) => large.has(image, false)));
  } finally {
    sharing.close();
    await Promise.all([own!.close(), other!.close()]);
    await nats.stop();
  }
});
