import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDataset } from '../../../../core/data/dataset.ts';
import { IMAGE_BYTES, mirror, scaleShorter } from '../../../../core/data/images/pixels.ts';
import { createLoader } from '../../../../core/data/loading/loader.ts';
import { shardSamples } from '../../../../core/data/loading/sampler.ts';
import { halvesOf } from '../../../../core/search/halves.ts';
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

test('a set that cannot be divided strictly is refused with the first person who has too few images', async () => {
  const loader = await createLoader({ data: { ...data, images: 3 } });
  try {
    await assert.rejects(loader.halves({ seed: 4, stratify: 'strict' }), {
      code: 'invalidArgument',
      message: /^halves\.stratify: strict: synthetic identity 0 has 3 images, and \d more have fewer than 4/,
    });
  } finally {
    await loader.close();
  }
});

test('batches of the two halves of a search: scaled, cut out and mirrored, and as they are', async () => {
  const loader = await createLoader({ data });
  const dataset = await openDataset(data);
  const labels = Array.from({ length: 16 }, (_, index) => dataset.training.label(index));
  const places = halvesOf({ labels, seed: 4 });
  const half = { ...schedule, images: 8, stepsTotal: 3 };
  try {
    assert.deepEqual(await loader.halves({ seed: 4, stratify: 'strict' }), {
      weights: 8,
      alphas: 8,
      single: 0,
    });
    const offsets = new Set<string>();
    for (const name of ['weights', 'alphas'] as const)
      for (const shard of [0, 1]) {
        const cropped = name === 'weights';
        const request = { schedule: half, seed: 3, flip: cropped, step: 1, shard };
        const batch = await loader.batch({
          ...request,
          half: { half: name, seed: 4 },
          ...(cropped ? { cropFrom: 128 } : {}),
        });
        const samples = shardSamples({ ...request, half: name, crop: cropped });
        assert.deepEqual(
          [...batch.indices],
          samples.map(({ index }) => index),
        );
        for (const [i, { index, flip, crop }] of samples.entries()) {
          const image = places[name][index]!;
          assert.equal(batch.labels[i], labels[image]);
          const rgb = new Uint8Array(IMAGE_BYTES);
          await dataset.training.read(image, rgb);
          const scaled = cropped
            ? scaleShorter({ width: 112, height: 112, rgb }, 128)
            : { width: 112, height: 112, rgb };
          const [left, top] = (crop ?? [0, 0]).map((at) => Math.floor(at * 17));
          offsets.add(`${left}/${top}`);
          // A plain second way: pixel by pixel, read from the right where it is mirrored.
          const got = batch.images.subarray(i * IMAGE_BYTES, (i + 1) * IMAGE_BYTES);
          for (let y = 0; y < 112; y++)
            for (let x = 0; x < 112; x++) {
              const from = ((y + top!) * scaled.width + left! + (flip ? 111 - x : x)) * 3;
              const to = (y * 112 + x) * 3;
              if (got[to] !== scaled.rgb[from] || got[to + 2] !== scaled.rgb[from + 2])
                assert.fail(`${name}, image ${i}, pixel ${x}/${y}`);
            }
        }
      }
    assert.ok(offsets.size >= 7, `${[...offsets].join(' ')}`);
    await assert.rejects(
      loader.batch({ schedule, seed: 3, flip: false, step: 0, shard: 0, half: { half: 'alphas', seed: 4 } }),
      /planned for 16 training images in the half of the alphas, but this worker's data set has 8/,
    );
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
