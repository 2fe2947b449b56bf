import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import sharp from 'sharp';
import { openDataset } from '../../../core/data/dataset.ts';
import { naturalOrder } from '../../../core/data/folder.ts';
import { decodeImage, readImage } from '../../../core/data/images/image.ts';
import { fitSquare, IMAGE_BYTES, mirror, SIDE } from '../../../core/data/images/pixels.ts';
import { inspectData } from '../../../core/data/inspection/inspect.ts';

/** A PGM of one grey, 8 x 8. */
const grey = (value: number) =>
  Buffer.concat([Buffer.from('P5\n# one grey\n8 8\n255\n'), Buffer.alloc(64, value)]);

function folder(context: TestContext, files: Record<string, Uint8Array | string>): string {
  const dir = mkdtempSync(join(tmpdir(), 'pf-folder-'));
  context.after(() => rmSync(dir, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), content);
  }
  return dir;
}

test('identities and images are in natural order and the last ones are held out', async (context) => {
  const path = folder(context, {
    's10/1.pgm': grey(100),
    's2/10.pgm': grey(21),
    's2/9.pgm': grey(20),
    's1/a.pgm': grey(10),
    's3/a.pgm': grey(30),
    README: 'not an identity',
    's1/notes.txt': 'not an image',
    '.hidden/x.pgm': grey(0),
  });
  const spec = { kind: 'folder', path, holdout: 2 } as const;
  assert.deepEqual((await inspectData(spec)).facts, {
    trainingImages: 3,
    classes: 2,
    heldOutImages: 2,
    heldOutIdentities: 2,
  });
  const dataset = await openDataset(spec);
  const seen = async (split: 'training' | 'heldOut') => {
    const into = new Uint8Array(IMAGE_BYTES);
    const out: [number, number][] = [];
    for (let i = 0; i < dataset[split].size; i++) {
      await dataset[split].read(i, into);
      out.push([dataset[split].label(i), into[0]!]);
    }
    return out;
  };
  assert.deepEqual(await seen('training'), [
    [0, 10],
    [1, 20],
    [1, 21],
  ]);
  assert.deepEqual(await seen('heldOut'), [
    [0, 30],
    [1, 100],
  ]);
  await dataset.close();
});

test('natural order compares numbers by value and is total', () => {
  assert.deepEqual(
    ['s10', 's9', 's1', 's01', 'a', 's1b', 's123456789012345678901', 's99'].sort(naturalOrder),
    ['a', 's01', 's1', 's1b', 's9', 's10', 's99', 's123456789012345678901'],
  );
});

test('a folder says what is wrong with it', async (context) => {
  const refuse = async (files: Record<string, Uint8Array | string>, reason: RegExp, path?: string) => {
    const dir = folder(context, files);
    await assert.rejects(inspectData({ kind: 'folder', path: path ?? dir, holdout: 2 }), (error: Error) => {
      assert.equal(error.name, 'FleetError');
      assert.match(error.message, reason);
      return true;
    });
  };
  const four = { 'a/1.pgm': grey(1), 'b/1.pgm': grey(2), 'c/1.pgm': grey(3), 'd/1.pgm': grey(4) };
  await refuse({}, /data.path: there is no folder no-such/, 'no-such');
  await refuse({}, /data.path: folder .* has no identity/);
  await refuse({ ...four, 'e/readme.txt': '' }, /identity folder .*e has no image/);
  await refuse({ 'a/1.pgm': grey(1), 'b/1.pgm': grey(1), 'c/1.pgm': grey(1) }, /data.holdout: 3 identities/);
  await refuse(
    { ...four, 'd/2.pgm': grey(1).subarray(0, 40) },
    /d\/2.pgm: PGM\/PPM image: \d+ bytes of samples, 64 needed/,
  );
  await refuse(
    { ...four, 'b/2.jpg': 'not an image' },
    /b\/2.jpg: the image is not PGM, PPM, PNG, JPEG or WebP/,
  );
  await refuse({ ...four, 'c/0.png': '' }, /c\/0.png: the image is empty/);
  const jpeg = await sharp({ create: { width: 64, height: 64, channels: 3, background: '#804020' } })
    .jpeg()
    .toBuffer();
  await refuse({ ...four, 'a/2.jpg': jpeg.subarray(0, jpeg.length - 30) }, /a\/2.jpg: the image is corrupt/);
});

test('PGM and PPM, text and binary, 8 and 16 bits, give the same pixels', async () => {
  const forms = [
    Buffer.from('P2 2 1 # a comment\n255\n10 200'),
    Buffer.from('P5\n2 1\n255\n\x0a\xc8', 'latin1'),
    Buffer.from('P3\n2 1\n255\n10 10 10  200 200 200\n'),
    Buffer.from('P6\n#c\n2 1 255\n\x0a\x0a\x0a\xc8\xc8\xc8', 'latin1'),
    Buffer.concat([Buffer.from('P5 2 1 65535\n'), Buffer.from([10, 10, 200, 200])]), // 10 * 257, 200 * 257
  ];
  for (const form of forms)
    assert.deepEqual(await decodeImage(form), {
      width: 2,
      height: 1,
      rgb: Uint8Array.from([10, 10, 10, 200, 200, 200]),
    });
});

test('a malformed PGM is refused with the place', async () => {
  await assert.rejects(decodeImage(Buffer.from('P5\n0 3\n255\n')), /a size of 0 x 3 pixels/);
  await assert.rejects(decodeImage(Buffer.from('P5\n2 2\n')), /largest value is missing at byte 7/);
  await assert.rejects(decodeImage(Buffer.from('P2\n1 1\n9\n10')), /sample 10 is above the largest value 9/);
});

test('grey, transparent and turned images become upright RGB', async () => {
  const red = { create: { width: 4, height: 2, channels: 3, background: '#ff0000' } } as const;
  const turned = await sharp(red).withMetadata({ orientation: 6 }).png().toBuffer();
  const { width, height } = await decodeImage(turned);
  assert.deepEqual([width, height], [2, 4]);
  const single = await sharp(red).greyscale().png().toBuffer();
  assert.equal((await decodeImage(single)).rgb.length, 24);
  const alpha = await sharp(red).ensureAlpha(0.5).png().toBuffer();
  assert.deepEqual([...(await decodeImage(alpha)).rgb.subarray(0, 3)], [255, 0, 0]);
});

test('an image is fitted by its shorter side and cut about its centre', () => {
  // 336 x 112: left, middle and right thirds of different grey; the middle third must remain, untouched.
  const rgb = new Uint8Array(336 * 112 * 3);
  for (let i = 0; i < rgb.length; i++) rgb[i] = 50 + 50 * Math.floor((Math.floor(i / 3) % 336) / 112);
  const into = new Uint8Array(IMAGE_BYTES);
  fitSquare({ width: 336, height: 112, rgb }, into);
  assert.ok(into.every((value) => value === 100));
});

test('shrinking averages what it leaves out, enlarging keeps a flat image flat', () => {
  const into = new Uint8Array(IMAGE_BYTES);
  // Stripes of one pixel at four times the size: each output pixel averages over whole periods.
  const stripes = new Uint8Array(448 * 448 * 3);
  for (let i = 0; i < stripes.length; i++) stripes[i] = Math.floor(i / 3) % 2 === 0 ? 0 : 200;
  fitSquare({ width: 448, height: 448, rgb: stripes }, into);
  // At the two edges a half period is missing.
  const inner = into.filter((_, i) => Math.floor(i / 3) % SIDE > 0 && Math.floor(i / 3) % SIDE < SIDE - 1);
  assert.ok(inner.every((value) => value === 100));
  fitSquare({ width: 9, height: 31, rgb: new Uint8Array(9 * 31 * 3).fill(77) }, into);
  assert.ok(into.every((value) => value === 77));
});

test('mirroring twice is the image itself', async () => {
  const image = new Uint8Array(IMAGE_BYTES);
  await readImage(grey(40), image);
  for (let i = 0; i < image.length; i++) image[i] = (i * 7919) & 255;
  const once = new Uint8Array(IMAGE_BYTES);
  const twice = new Uint8Array(IMAGE_BYTES);
  mirror(image, once);
  mirror(once, twice);
  assert.deepEqual(twice, image);
  assert.deepEqual(once.subarray(0, 3), image.subarray((SIDE - 1) * 3, SIDE * 3));
});

test('what is no image is passed over with a word, and names of JPEG in any spelling are read', async (context) => {
  const jpeg = await sharp({ create: { width: 8, height: 8, channels: 3, background: '#804020' } })
    .jpeg()
    .toBuffer();
  const path = folder(context, {
    ...{ 'a/1.pgm': grey(1), 'b/1.jfif': jpeg, 'c/1.JPE': jpeg, 'd/1.Jpg': jpeg, 'd/2.pjpeg': jpeg },
    ...{ 'a/2.bmp': '', 'a/3.BMP': '', 'b/2.gif': '', 'c/2.tif': '', 'd/more/x.jpg': jpeg, 'd/notes': '' },
    ...{ 'lost.png': '', 'README.md': '', 'a/.hidden.bmp': '' },
  });
  const { facts, notes } = await inspectData({ kind: 'folder', path, holdout: 2 });
  assert.deepEqual(facts, { trainingImages: 2, classes: 2, heldOutImages: 3, heldOutIdentities: 2 });
  assert.match(
    notes[0]!,
    /^6 entries beside the images of people were passed over: 2 \.bmp, 1 \.gif, 1 \.tif, 1 folder, 1 without extension \(the first: a\/[23]\.(bmp|BMP)\); PGM/,
  );
  assert.match(
    notes[1]!,
    /^1 image lies beside the folders of people and belongs to nobody \(the first: lost.png\)/,
  );
  assert.match(notes[2]!, /^5 of 5 images looked at are not 112 x 112: .* no face is looked for/);
});

test('links that lead nowhere, pipes and names that are not UTF-8 are refused by name', async (context) => {
  const four = { 'a/1.pgm': grey(1), 'b/1.pgm': grey(2), 'c/1.pgm': grey(3), 'd/1.pgm': grey(4) };
  const refuse = async (arrange: (path: string) => void, reason: RegExp) => {
    const path = folder(context, four);
    arrange(path);
    await assert.rejects(inspectData({ kind: 'folder', path, holdout: 2 }), (error: Error) => {
      assert.equal(error.name, 'FleetError');
      assert.match(error.message, reason);
      assert.doesNotMatch(error.message, /ENOENT|ELOOP/);
      return true;
    });
  };
  await refuse(
    (path) => symlinkSync('nowhere', join(path, 'a/2.png')),
    /a\/2.png: is a link to something that is not there/,
  );
  await refuse(
    (path) => symlinkSync('2.png', join(path, 'a/2.png')),
    /a\/2.png: is a link that leads to itself/,
  );
  await refuse((path) => {
    mkdirSync(join(path, 'e/more'), { recursive: true });
    for (const name of ['1.bmp', '2.BMP', 'notes']) writeFileSync(join(path, 'e', name), '');
  }, /\/e has no image \(.*\), only (?=.*2 \.bmp)(?=.*1 folder)(?=.*1 without extension)/);
  await refuse(
    (path) => writeFileSync(join(path, 'a/2\n\u001b[31m.png'), ''),
    /^data.path: image .*\/a\/2\\n\\u001b\[31m\.png: the image is empty\n/,
  );
  await refuse(
    (path) => symlinkSync('nowhere', join(path, 'e')),
    /data.path: .*\/e is a link to something that is not there/,
  );
  await refuse((path) => execFileSync('mkfifo', [join(path, 'b/2.png')]), /b\/2.png: is not a regular file/);
  const latin1 = (path: string, name: string) =>
    Buffer.concat([Buffer.from(`${path}/`), Buffer.from(name, 'latin1')]);
  await refuse(
    (path) => writeFileSync(latin1(path, 'a/Zo\xeb.pgm'), grey(5)),
    /a\/Zo\ufffd.pgm: its name is not UTF-8; rename it/,
  );
  await refuse(
    (path) => mkdirSync(latin1(path, 'Zo\xeb')),
    /folder .*Zo\ufffd cannot be opened: its name is not UTF-8/,
  );
  const path = folder(context, { ...four, 'a/Zo\ufffd.pgm': grey(6) });
  assert.equal((await inspectData({ kind: 'folder', path, holdout: 2 })).facts.trainingImages, 3);
});

test('what is wrong with an image is said in words of our own, the same at each look', async () => {
  const noise = { type: 'gaussian', mean: 128, sigma: 30 } as const;
  const made = sharp({ create: { width: 64, height: 64, channels: 3, background: 'black', noise } });
  for (const format of ['png', 'jpeg', 'webp'] as const) {
    const bytes = await made.clone()[format]().toBuffer();
    for (const kept of [12, 20, bytes.length >> 1, bytes.length - 40])
      await assert.rejects(decodeImage(bytes.subarray(0, kept)), {
        message: 'the image is corrupt (it ends early)',
      });
  }
  const png = await made.clone().png().toBuffer();
  const damaged = Buffer.from(png);
  damaged.fill(0x5a, 300, 340);
  await assert.rejects(decodeImage(damaged), {
    message: 'the image is corrupt (its pixels cannot be decoded)',
  });
  const headless = Buffer.from(png);
  headless.fill(0, 12, 20);
  await assert.rejects(decodeImage(headless), {
    message: 'the image is corrupt (its header cannot be read)',
  });
});
