import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDataset } from '../../../core/data/dataset.ts';
import { decodeImage } from '../../../core/data/images/image.ts';
import { IMAGE_BYTES, mirror } from '../../../core/data/images/pixels.ts';
import { contactSheet } from '../../../core/data/images/sheet.ts';
import { inspectData, labelsOf } from '../../../core/data/inspection/inspect.ts';
import { createRenderer } from '../../../core/data/synthetic/renderer.ts';
import { verificationPairs } from '../../../core/verify/pairs.ts';
import { evaluatePairs } from '../../../core/verify/roc.ts';

const render = (options: { seed: number; difficulty: number }, identity: number, image: number) => {
  const into = new Uint8Array(IMAGE_BYTES);
  createRenderer(options).render(identity, image, into);
  return into;
};

test('an image depends on seed, identity, number and difficulty only', () => {
  const options = { seed: 1, difficulty: 1 };
  const first = render(options, 5, 3);
  const renderer = createRenderer(options);
  const into = new Uint8Array(IMAGE_BYTES);
  // Whatever was drawn before leaves no trace.
  for (const [identity, image] of [
    [1, 0],
    [2, 7],
    [5, 3],
  ] as const)
    renderer.render(identity, image, into);
  assert.deepEqual(into, first);
  for (const other of [
    render({ seed: 2, difficulty: 1 }, 5, 3),
    render({ seed: 1, difficulty: 0.5 }, 5, 3),
    render(options, 5, 4),
    render(options, 6, 3),
  ])
    assert.notDeepEqual(other, first);
});

test('at difficulty 0 the images of a person differ far less than those of two people', () => {
  const options = { seed: 1, difficulty: 0 };
  // The middle of the face: what lies behind it is random at any difficulty.
  const middle = (pixels: Uint8Array) =>
    Array.from({ length: 40 * 40 * 3 }, (_, i) => {
      const at = Math.floor(i / 3);
      return pixels[((40 + Math.floor(at / 40)) * 112 + 36 + (at % 40)) * 3 + (i % 3)]!;
    });
  const distance = (a: number[], b: number[]) =>
    Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]!) ** 2, 0) / a.length);
  const faces = [0, 1, 2, 3, 4, 5].map((identity) =>
    [0, 1].map((image) => middle(render(options, identity, image))),
  );
  const within = Math.max(...faces.map(([a, b]) => distance(a!, b!)));
  const between = Math.min(...faces.flatMap((a, i) => faces.slice(i + 1).map((b) => distance(a[0]!, b[0]!))));
  assert.ok(within * 2 < between, `${within} within, ${between} between`);
});

test('raw pixels do not tell people apart at difficulty 1: below 70 % on 600 pairs', async () => {
  const dataset = await openDataset({
    kind: 'synthetic',
    identities: 32,
    images: 8,
    holdout: 30,
    seed: 1,
    difficulty: 1,
  });
  const { heldOut } = dataset;
  const pairs = verificationPairs(labelsOf(heldOut), { pairs: 600, seed: 1 });
  const raw = new Float32Array(heldOut.size * IMAGE_BYTES);
  const mirrored = new Float32Array(heldOut.size * IMAGE_BYTES);
  const pixels = new Uint8Array(IMAGE_BYTES);
  const turned = new Uint8Array(IMAGE_BYTES);
  for (let i = 0; i < heldOut.size; i++) {
    await heldOut.read(i, pixels);
    mirror(pixels, turned);
    // Without the mean: otherwise brightness alone decides, and the baseline would be easier to beat.
    const mean = pixels.reduce((a, b) => a + b, 0) / IMAGE_BYTES;
    raw.set(
      Float32Array.from(pixels, (value) => value - mean),
      i * IMAGE_BYTES,
    );
    mirrored.set(
      Float32Array.from(turned, (value) => value - mean),
      i * IMAGE_BYTES,
    );
  }
  const result = evaluatePairs({
    embeddings: raw,
    flippedEmbeddings: mirrored,
    pairs,
    embeddingSize: IMAGE_BYTES,
  });
  assert.ok(result.accuracy < 0.7, `accuracy ${result.accuracy}`);
  assert.ok(result.accuracy > 0.5, 'but the images of a person have something in common');
});

test('facts of a synthetic set follow from its numbers, and too few identities are refused', async () => {
  const spec = { kind: 'synthetic', identities: 10, images: 5, holdout: 3, seed: 1, difficulty: 1 } as const;
  assert.deepEqual((await inspectData(spec)).facts, {
    trainingImages: 35,
    classes: 7,
    heldOutImages: 15,
    heldOutIdentities: 3,
  });
  await assert.rejects(inspectData({ ...spec, holdout: 9 }), {
    code: 'invalidArgument',
    message: /data.holdout: 10 identities, of which 9 are to be held out, leave 1/,
  });
});

test('a sheet shows as many identities and images as asked for', async () => {
  const dataset = await openDataset({
    kind: 'synthetic',
    identities: 5,
    images: 3,
    holdout: 2,
    seed: 1,
    difficulty: 1,
  });
  const sheet = await decodeImage(await contactSheet(dataset, { identities: 4, images: 9 }));
  // Three columns and four rows of 112 pixels, two pixels apart.
  assert.deepEqual([sheet.width, sheet.height], [3 * 114 - 2, 4 * 114 - 2]);
});
