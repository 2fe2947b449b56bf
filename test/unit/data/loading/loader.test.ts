import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDataset } from '../../../../core/data/dataset.ts';
import { IMAGE_BYTES, mirror } from '../../../../core/data/images/pixels.ts';
import { createLoader } from '../../../../core/data/loading/loader.ts';
import { shardSamples } from '../../../../core/data/loading/sampler.ts';
import type { DataSpec } from '../../../../core/spec/data.ts';
import type { Schedule } from '../../../../core/spec/schedule.ts';

const data: DataSpec = { kind: 'synthetic', identities: 6, images: 4, holdout: 2, seed: 1, difficulty: 1 };
const schedule: Schedule = { images: 16, batch: 8, shards: 2, epochs: 3, stepsTotal: 6, roundSteps: 1 };

test('a batch holds the images, mirrorings and labels that the sampler names', async () => {
  const loader = await createLoader({ data });
  const dataset = await openDataset(data);
  try {
    assert.deepEqual(loader.facts, {
      trainingImages: 16,
      classes: 4,
      heldOutImages: 8,
      heldOutIdentities: 2,
    });
    let mirrored = 0;
    for (let step = 0; step < schedule.stepsTotal; step++)
      for (let shard = 0; shard < 2; shard++) {
        const request = { schedule, seed: 3, flip: true, step, shard };
        const { images, labels } = await loader.batch(request);
        assert.equal(images.length, 4 * IMAGE_BYTES);
        for (const [i, sample] of shardSamples(request).entries()) {
          const drawn = new Uint8Array(IMAGE_BYTES);
          await dataset.training.read(sample.index, drawn);
          const want = new Uint8Array(IMAGE_BYTES);
          if (sample.flip) mirror(drawn, want);
          else want.set(drawn);
          mirrored += sample.flip ? 1 : 0;
          assert.ok(Buffer.from(images.subarray(i * IMAGE_BYTES, (i + 1) * IMAGE_BYTES)).equals(want));
          assert.equal(labels[i], dataset.training.label(sample.index));
        }
      }
    assert.ok(mirrored > 0 && mirrored < 48);
  } finally {
    await loader.close();
    await dataset.close();
  }
});

test('batches asked for in any order, twice, and with a bound too small for them are the same bytes', async () => {
  const request = (step: number, shard: number) => ({ schedule, seed: 3, flip: true, step, shard });
  const one = await createLoader({ data });
  // Room for one batch: each one begun ahead takes the place of another.
  const aheadBytes = (schedule.batch / schedule.shards) * IMAGE_BYTES;
  const two = await createLoader({ data, threads: 2, aheadBytes, cacheBytes: 3 * IMAGE_BYTES });
  try {
    const places = [0, 1, 2, 3, 4, 5].flatMap((step) => [request(step, 0), request(step, 1)]);
    const inOrder = await Promise.all(places.map((place) => one.batch(place)));
    const backwards = await Promise.all([...places].reverse().map((place) => two.batch(place)));
    const again = await Promise.all(places.map((place) => two.batch(place)));
    assert.deepEqual(inOrder, backwards.reverse());
    assert.deepEqual(inOrder, again);
  } finally {
    await one.close();
    await two.close();
  }
});

test('held-out images come in the order of the split, unmirrored, with their labels', async () => {
  const loader = await createLoader({ data });
  const dataset = await openDataset(data);
  try {
    const images = await loader.heldOutImages(3, 4);
    const want = new Uint8Array(4 * IMAGE_BYTES);
    for (let i = 0; i < 4; i++)
      await dataset.heldOut.read(3 + i, want.subarray(i * IMAGE_BYTES, (i + 1) * IMAGE_BYTES));
    assert.ok(Buffer.from(images).equals(want));
    assert.deepEqual([...(await loader.heldOutLabels())], [0, 0, 0, 0, 1, 1, 1, 1]);
    await assert.rejects(loader.heldOutImages(7, 2), /image 8 of a split with 8 images/);
  } finally {
    await loader.close();
    await dataset.close();
  }
});

test('a schedule for another data set is refused with both sizes', async () => {
  const loader = await createLoader({ data });
  try {
    const other = { ...schedule, images: 17 };
    await assert.rejects(
      loader.batch({ schedule: other, seed: 1, flip: true, step: 0, shard: 0 }),
      /planned for 17 training images, but this worker's data set has 16/,
    );
  } finally {
    await loader.close();
  }
});

test('a loader of data that is not there fails with the reason and leaves no thread', async () => {
  await assert.rejects(
    createLoader({ data: { kind: 'folder', path: 'no-such-folder', holdout: 2 } }),
    /data.path: there is no folder no-such-folder/,
  );
});

test('closing rejects what is still asked for, and what is asked for afterwards', async () => {
  const loader = await createLoader({ data });
  const pending = [0, 1].map((shard) => loader.batch({ schedule, seed: 1, flip: true, step: 0, shard }));
  const settled = Promise.allSettled(pending);
  await loader.close();
  for (const outcome of await settled) {
    assert.equal(outcome.status, 'rejected');
    assert.equal(outcome.reason.code, 'cancelled');
  }
  await assert.rejects(loader.heldOutImages(0, 1), { code: 'cancelled' });
});
