// Embeddings that are kept by image: how many passes they take, and when the rows of a network allow it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IMAGE_BYTES, mirror } from '../../../../core/data/images/pixels.ts';
import { shardSamples } from '../../../../core/data/loading/sampler.ts';
import { rowsBytesOf } from '../../../../core/spec/share.ts';
import { embedByImage } from '../../../../worker/training/by-image.ts';
import { createRowProofs, type EmbedPass } from '../../../../worker/training/row-proof.ts';
import { createTeacherRows } from '../../../../worker/training/teacher-rows.ts';

const SCHEDULE = { images: 12, batch: 8, shards: 2, epochs: 8, stepsTotal: 12, roundSteps: 1 };
const SIZE = { images: 12, flips: 2, embedding: 2 } as const;
const KEY = { network: 'a stage', data: 'a set', device: 'any', group: 4 };

/** Each image has a byte of its own on the left, and another one on the right. */
function imageOf(index: number, flip: boolean): Uint8Array {
  const image = new Uint8Array(IMAGE_BYTES);
  image[0] = index + 1;
  const mirrored = new Uint8Array(IMAGE_BYTES);
  mirror(image, mirrored);
  return flip ? mirrored : image;
}

/** What a network gives whose rows depend on their image alone. */
function rowOf(image: Uint8Array): readonly [number, number] {
  const isMirrored = image[0] === 0;
  const found = isMirrored ? image.find((byte) => byte !== 0)! : image[0]!;
  return [found + (isMirrored ? 0.5 : 0), -found];
}

function passOver(images: Uint8Array): Float32Array {
  const rows: number[] = [];
  for (let at = 0; at < images.length; at += IMAGE_BYTES)
    rows.push(...rowOf(images.subarray(at, at + IMAGE_BYTES)));
  return Float32Array.from(rows);
}

test('two passes over the images serve all epochs and orders of a stage, with the rows of a pass over each batch', async () => {
  const rows = createTeacherRows().of(KEY, SIZE, 1 << 20)!;
  let [computed, kept] = [0, 0];
  const after: number[] = [];
  for (const seed of [1, 2]) {
    for (let step = 0; step < 12; step++) {
      for (const shard of [0, 1]) {
        const samples = shardSamples({ schedule: SCHEDULE, seed, step, shard, flip: true });
        const images = new Uint8Array(samples.length * IMAGE_BYTES);
        for (const [place, { index, flip }] of samples.entries())
          images.set(imageOf(index, flip), place * IMAGE_BYTES);
        const found = await embedByImage({
          ...{ samples, images, rows, flips: 2, embedding: 2 },
          pass: async (batch) => {
            assert.equal(batch.length, images.length, 'passes have one size');
            return passOver(batch);
          },
        });
        assert.deepEqual(found.values, passOver(images));
        computed += found.computed;
        kept += found.kept;
      }
    }
    after.push(computed);
  }
  // 2 x 12 rows; a pass that is not full has places to spare.
  assert.ok(after[0]! >= 24 && after[0]! <= 36, `${after}`);
  assert.equal(after[1], after[0], 'another order needs no pass');
  assert.ok(kept > 2 * 96 - 36);
});

test('rows of the stages that were used last stay within the bound, and those that have no room are not kept', () => {
  const kept = createTeacherRows();
  const bytes = rowsBytesOf(SIZE);
  assert.equal(kept.of(KEY, SIZE, bytes - 1), undefined);
  const first = kept.of(KEY, SIZE, 2 * bytes)!;
  first.keep(3, true, Float32Array.of(1, 2));
  assert.equal(first.has(3, false), false);
  kept.of({ ...KEY, network: 'another' }, SIZE, 2 * bytes);
  assert.ok(kept.of(KEY, SIZE, 2 * bytes)!.has(3, true));
  kept.of({ ...KEY, group: 8 }, SIZE, 2 * bytes);
  kept.of({ ...KEY, data: 'other images' }, SIZE, 2 * bytes);
  assert.equal(kept.of(KEY, SIZE, 2 * bytes)!.has(3, true), false, 'it was let go');
});

const NETWORK = { kind: 'mobilefacenet', embedding: 2 } as const;

test('a proof refuses rows that depend on their place or their neighbours, and is made once', async () => {
  const proofs = createRowProofs();
  let passes = 0;
  const pass =
    (change: (row: [number, number], place: number, images: Uint8Array) => void): EmbedPass =>
    async (batch, images) => {
      passes += 1;
      const values: number[] = [];
      for (let place = 0; place < batch; place++) {
        const image = images.subarray(place * IMAGE_BYTES, (place + 1) * IMAGE_BYTES);
        const row: [number, number] = [image.reduce((sum, byte) => sum + byte, 0), -1];
        change(row, place, images);
        values.push(...row);
      }
      return Float32Array.from(values);
    };
  const even = pass(() => undefined);
  assert.deepEqual(await proofs.of(NETWORK, 8, even), { isProven: true, group: 8 });
  assert.equal(passes, 2);
  await proofs.of(NETWORK, 8, even);
  assert.equal(passes, 2);
  // The kernels of another size give the same bits, or others.
  assert.deepEqual(await proofs.of(NETWORK, 4, even), { isProven: true, group: 8 });
  const other = pass((row) => {
    row[1] = 0;
  });
  const ofSize: EmbedPass = (batch, images) => (batch === 1 ? other : even)(batch, images);
  assert.deepEqual(await proofs.of(NETWORK, 1, ofSize), { isProven: true, group: 1 });

  const leftOver = pass((row, place) => {
    if (place >= 6) row[1] = -0;
  });
  const zero = pass((row, place) => {
    row[1] = place >= 6 ? -0 : 0;
  });
  const network = (embedding: number) => ({ ...NETWORK, embedding });
  for (const [at, odd] of [leftOver, zero].entries())
    assert.deepEqual(await proofs.of(network(at + 3), 8, odd), {
      isProven: false,
      reason: 'in a batch of 8 the same image has other bits in place 6 than in place 0',
    });
  const amongOthers = pass((row, _place, images) => {
    if (images[0] !== images.at(-IMAGE_BYTES)) row[1] = 3;
  });
  assert.deepEqual(await proofs.of(network(9), 8, amongOthers), {
    isProven: false,
    reason: 'in a batch of 8 an image has other bits among other images than among its like',
  });
});
