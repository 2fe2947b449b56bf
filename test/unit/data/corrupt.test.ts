import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import sharp from 'sharp';
import { openDataset } from '../../../core/data/dataset.ts';
import { IMAGE_BYTES } from '../../../core/data/images/pixels.ts';
import { createDataCache } from '../../../core/data/inspection/data-cache.ts';
import { inspectData } from '../../../core/data/inspection/inspect.ts';
import { skippedImages, skippedPlaces } from '../../../core/data/inspection/skipped.ts';
import { createLoader } from '../../../core/data/loading/loader.ts';
import { dataSchema } from '../../../core/spec/data.ts';
import { loaderArguments } from '../../../core/system/script-arguments.ts';
import { writeLargePack } from '../../support/large-pack.ts';
import { writePack } from '../../support/records.ts';

function folder(context: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'pf-corrupt-'));
  context.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

const grey = (value: number) => Buffer.concat([Buffer.from('P5 8 8 255\n'), Buffer.alloc(64, value)]);

/** Five people with four images each; image i of person p is grey 40 p + i. */
function people(dir: string): string {
  for (let p = 0; p < 5; p++) {
    mkdirSync(join(dir, `p${p}`), { recursive: true });
    for (let i = 0; i < 4; i++) writeFileSync(join(dir, `p${p}`, `${i}.pgm`), grey(40 * p + i));
  }
  return dir;
}

test('with onCorrupt: skip a run has exactly the sound images, and its spec names the others', async (context) => {
  const path = people(join(folder(context), 'people'));
  writeFileSync(join(path, 'p0', '1.pgm'), 'no image');
  writeFileSync(join(path, 'p1', '3.pgm'), grey(1).subarray(0, 50));
  writeFileSync(join(path, 'p4', '0.pgm'), '');
  rmSync(join(path, 'p2', '2.pgm'));
  symlinkSync('nowhere', join(path, 'p2', '2.pgm'));
  const strict = dataSchema.parse({ kind: 'folder', path, holdout: 2 });
  await assert.rejects(inspectData(strict), (error: Error) => {
    for (const name of [
      'p0/1.pgm',
      'p1/3.pgm',
      'p4/0.pgm',
      'p2/2.pgm: is a link to something that is not there',
    ])
      assert.ok(error.message.includes(name), name);
    assert.match(error.message, /leave them out with `data.onCorrupt: skip`/);
    return true;
  });
  const spec = dataSchema.parse({ ...strict, onCorrupt: 'skip' });
  const { facts, skipped, notes } = await inspectData(spec);
  assert.deepEqual(facts, { trainingImages: 9, classes: 3, heldOutImages: 7, heldOutIdentities: 2 });
  assert.match(notes.join('\n'), /4 of 20 images are corrupt and left out \(the first: .*p0\/1.pgm: /);
  assert.deepEqual([...skippedPlaces(skipped)], [1, 7, 10, 16]);
  const run = dataSchema.parse({ ...spec, skipped });
  const dataset = await openDataset(run);
  const pixels = new Uint8Array(IMAGE_BYTES);
  const seen: number[] = [];
  for (let i = 0; i < dataset.training.size; i++) {
    await dataset.training.read(i, pixels);
    seen.push(pixels[0]!);
    assert.equal(dataset.training.label(i), Math.floor(pixels[0]! / 40));
  }
  assert.deepEqual(seen, [0, 2, 3, 40, 41, 42, 80, 81, 83]);
  await dataset.close();
  // The same for every worker: the spec decides, and not what a worker finds.
  const loader = await createLoader({ data: run });
  assert.deepEqual(loader.facts, facts);
  await loader.close();
  // A run that is submitted again brings its list along; a set that has changed since is told.
  assert.deepEqual((await inspectData(run)).skipped, skipped);
  writeFileSync(join(path, 'p0', '2.pgm'), 'no image any more');
  await assert.rejects(inspectData(run), /data.skipped: 4 images are to be left out, but now 5 are corrupt/);
  for (const i of [0, 1, 3]) writeFileSync(join(path, 'p0', `${i}.pgm`), 'no image');
  await assert.rejects(inspectData(spec), /p0 has no image left without the corrupt ones/);
});

test('a list of places comes back as it was, and no other list has its digest', () => {
  for (const places of [[0], [5_822_652], [0, 1, 2, 127, 128, 129, 16_511, 16_512, 2_113_663, 4_000_000]])
    assert.deepEqual([...skippedPlaces(skippedImages(places))], places);
  assert.equal(skippedImages([]), undefined);
  const skipped = skippedImages([3, 9])!;
  assert.throws(
    () => skippedPlaces({ ...skipped, list: skippedImages([3, 8])!.list }),
    /data.skipped: the list names 2 images/,
  );
  assert.ok(skippedImages(Array.from({ length: 10_000 }, (_, i) => i * 580))!.list.length < 32_768);
});

test('a damaged place of a pack costs the records there, also in a set of which only a part is decoded', async (context) => {
  const dir = folder(context);
  const png = await sharp({ create: { width: 4, height: 4, channels: 3, background: '#804020' } })
    .png()
    .toBuffer();
  const records = Array.from({ length: 12 }, (_, i) => ({ key: i + 1, labels: [i >> 1], image: png }));
  const offsets = writePack(dir, records);
  const rec = execFileSync('cat', [join(dir, 'train.rec')]);
  rec.fill(0, offsets.get(4)!, offsets.get(4)! + 20);
  writeFileSync(join(dir, 'train.rec'), rec);
  const spec = { kind: 'recordio', path: dir, holdout: 2 } as const;
  await assert.rejects(
    inspectData(spec, { decodedMax: 1 }),
    /key 4 of .*the record does not lead to a record .*the magic/,
  );
  const { facts, skipped } = await inspectData({ ...spec, onCorrupt: 'skip' });
  assert.deepEqual(facts, { trainingImages: 7, classes: 4, heldOutImages: 4, heldOutIdentities: 2 });
  assert.deepEqual([...skippedPlaces(skipped)], [3]);
  const dataset = await openDataset(dataSchema.parse({ ...spec, onCorrupt: 'skip', skipped }));
  assert.equal(dataset.training.nameOf(3), `key 5 of ${join(dir, 'train.rec')}`);
  await dataset.close();
});

test('every corrupt image of a large set is found by a whole check, which then counts for the sample too', async (context) => {
  const dir = folder(context);
  await writeLargePack(dir, 400, 40);
  const cache = createDataCache(join(dir, 'cache'));
  const spec = { kind: 'recordio', path: dir, holdout: 2 } as const;
  const { facts } = await inspectData(spec, { cache, decodedMax: 100 });
  assert.equal(facts.trainingImages + facts.heldOutImages, 400);
  const rec = execFileSync('cat', [join(dir, 'train.rec')], { maxBuffer: 2 ** 26 });
  const at = rec.indexOf('IDAT', Math.floor(rec.length / 2)) + 8;
  rec.writeUInt32LE(0, at);
  writeFileSync(join(dir, 'train.rec'), rec);
  const whole = await inspectData({ ...spec, onCorrupt: 'skip' }, { cache });
  assert.equal(whole.skipped?.count, 1);
  // What the whole check has found counts for the sample too.
  await assert.rejects(
    inspectData(spec, { cache, decodedMax: 100 }),
    /data.path: image key \d+ of .*the image is corrupt/,
  );
});

test('sixteen images of 67 million pixels are looked at in 350 MB', async (context) => {
  const dir = folder(context);
  const large = await sharp({ create: { width: 8190, height: 8190, channels: 3, background: '#104020' } })
    .png({ compressionLevel: 6 })
    .toBuffer();
  assert.ok(large.length < 2 ** 20);
  for (let i = 0; i < 16; i++) {
    mkdirSync(join(dir, 'faces', `p${i >> 2}`), { recursive: true });
    // One of them ends early.
    writeFileSync(
      join(dir, 'faces', `p${i >> 2}`, `${i}.png`),
      i === 9 ? large.subarray(0, large.length - 2000) : large,
    );
  }
  const program = join(dir, 'look.mjs');
  const inspect = new URL('../../../core/data/inspection/inspect.ts', import.meta.url).href;
  writeFileSync(
    program,
    `import { inspectData } from ${JSON.stringify(inspect)};
    await inspectData({ kind: 'folder', path: ${JSON.stringify(join(dir, 'faces'))}, holdout: 2 }).then(
      () => console.log('sound'),
      (error) => console.log(error.message));
    console.log('MB', process.resourceUsage().maxRSS / 1024);`,
  );
  const { stdout, stderr } = spawnSync(process.execPath, [...loaderArguments(), program], {
    encoding: 'utf8',
  });
  assert.match(stdout, /p2\/9\.png: the image is corrupt/, stderr);
  assert.doesNotMatch(stdout, /p2\/8\.png/);
  const mb = Number(/MB (\S+)/.exec(stdout)?.[1]);
  assert.ok(mb < 350, `${mb} MB`);
});
