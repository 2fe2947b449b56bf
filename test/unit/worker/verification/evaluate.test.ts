import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IMAGE_BYTES } from '../../../../core/data/images/pixels.ts';
import { chooseExamples, thinned } from '../../../../worker/verification/evaluate.ts';
import { mirrored, pngOf } from '../../../../worker/verification/images.ts';

const pair = (same: boolean) => ({ a: 0, b: 1, same });

test('examples are the hardest wrong and right pairs of both sorts, hardest first', () => {
  const pairs = [true, true, true, true, false, false, false, false].map(pair);
  //                              same: right, right, wrong, wrong | different: wrong, wrong, right, right
  const distances = Float64Array.of(0.2, 0.9, 1.5, 1.2, 0.1, 0.8, 1.1, 3);
  const chosen = chooseExamples(pairs, { distances, threshold: 1 }, 1);
  assert.deepEqual(chosen, [
    { pair: 2, right: false },
    { pair: 4, right: false },
    { pair: 1, right: true },
    { pair: 6, right: true },
  ]);
});

test('a network without errors gives right examples alone', () => {
  const chosen = chooseExamples([pair(true), pair(false)], {
    distances: Float64Array.of(0.1, 2),
    threshold: 1,
  });
  assert.deepEqual(
    chosen.map(({ right }) => right),
    [true, true],
  );
});

test('a thinned curve keeps its ends and its order', () => {
  const fpr = Array.from({ length: 1001 }, (_, i) => i / 1000);
  const { fpr: kept, tpr } = thinned({ fpr, tpr: fpr.map(Math.sqrt) }, 11);
  assert.deepEqual(
    kept,
    Array.from({ length: 11 }, (_, i) => i / 10),
  );
  assert.equal(tpr[10], 1);
  assert.deepEqual(thinned({ fpr: [0, 1], tpr: [0, 1] }, 11), { fpr: [0, 1], tpr: [0, 1] });
});

test('a batch is mirrored image by image, and twice is the original', () => {
  const images = new Uint8Array(2 * IMAGE_BYTES).map((_, i) => (i * 31) % 251);
  const once = mirrored(images, 2);
  // First pixel of the second image's first row comes from that row's last pixel.
  assert.deepEqual(
    [...once.subarray(IMAGE_BYTES, IMAGE_BYTES + 3)],
    [...images.subarray(IMAGE_BYTES + 111 * 3, IMAGE_BYTES + 112 * 3)],
  );
  assert.deepEqual(mirrored(once, 2), images);
});

test('an image becomes a PNG file', async () => {
  const png = await pngOf(new Uint8Array(IMAGE_BYTES));
  assert.deepEqual([...png.subarray(0, 4)], [0x89, 0x50, 0x4e, 0x47]);
});
