import assert from 'node:assert/strict';
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { encodePng } from '../../../core/data/images/image.ts';
import { createDataCache } from '../../../core/data/inspection/data-cache.ts';
import { inspectData } from '../../../core/data/inspection/inspect.ts';
import { risingOrder } from '../../../core/data/ordering.ts';
import { openRecordSet } from '../../../core/data/packs/record-set.ts';
import { readRecordTable } from '../../../core/data/packs/record-table.ts';
import { openRecordFile, parseImageRecord } from '../../../core/data/packs/recordio.ts';
import type { DataProgress, ProgressPace } from '../../../core/data/progress-pace.ts';
import { unpackGolden } from '../../golden/packed-folder.ts';
import { checkRecords } from '../../golden/records.ts';
import { writeLargePack } from '../../support/large-pack.ts';
import { frameRecord, writePack } from '../../support/records.ts';

function folder(context: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'pf-records-'));
  context.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

const png = await encodePng({ width: 112, height: 112, rgb: new Uint8Array(112 * 112 * 3).fill(90) });
/** `classes` people with two images each, keys from 1. */
const people = (classes: number) =>
  Array.from({ length: classes * 2 }, (_, i) => ({ key: i + 1, labels: [Math.floor(i / 2)], image: png }));

test('every fact of the record fixtures is met', async (context) => {
  const dir = folder(context);
  unpackGolden(['records'], dir);
  const rows = await checkRecords(join(dir, 'records'), 1);
  assert.ok(rows.length > 1800);
  assert.deepEqual(
    rows.filter((row) => !row.ok),
    [],
  );
});

test('records of any bytes, magic words at any place included, come back as they were written', async (context) => {
  const path = join(folder(context), 'any.rec');
  const word = fc.constantFrom(0x0a, 0x23, 0xd7, 0xce, 0);
  const magic = fc.constant([0x0a, 0x23, 0xd7, 0xce]);
  const payload = fc
    .array(fc.oneof(magic, magic, fc.array(word, { maxLength: 3 })), { maxLength: 8 })
    .map((parts) => Buffer.from(parts.flat()));
  await fc.assert(
    fc.asyncProperty(fc.array(payload, { minLength: 1, maxLength: 6 }), async (payloads) => {
      writeFileSync(path, Buffer.concat(payloads.map(frameRecord)));
      const file = await openRecordFile(path);
      const read: Buffer[] = [];
      for await (const record of file.records()) read.push(record.payload);
      await file.close();
      assert.deepEqual(
        read.map((b) => b.toString('hex')),
        payloads.map((b) => b.toString('hex')),
      );
    }),
    { numRuns: 100 },
  );
});

test('a pack without header record has an image at every key', async (context) => {
  const dir = folder(context);
  writePack(dir, people(5));
  assert.deepEqual((await inspectData({ kind: 'recordio', path: dir, holdout: 2 })).facts, {
    trainingImages: 6,
    classes: 3,
    heldOutImages: 4,
    heldOutIdentities: 2,
  });
});

test('a pack says what is wrong with it', async (context) => {
  const refuse = async (reason: RegExp, arrange: (dir: string) => void) => {
    const dir = folder(context);
    arrange(dir);
    await assert.rejects(inspectData({ kind: 'recordio', path: dir, holdout: 2 }), (error: Error) => {
      assert.equal(error.name, 'FleetError');
      assert.match(error.message, reason);
      return true;
    });
  };
  await refuse(/there is no train.rec/, () => undefined);
  await refuse(/key 3 has label 1.5, which is not a class number/, (dir) => {
    const records = people(5);
    records[2] = { ...records[2]!, labels: [1.5] };
    writePack(dir, records);
  });
  await refuse(/key 3 has label -1,/, (dir) => {
    const records = people(5);
    records[2] = { ...records[2]!, labels: [-1] };
    writePack(dir, records);
  });
  await refuse(/key 9 has label 4, but property counts 4 classes \(0..3\)/, (dir) => {
    writePack(dir, people(5), '4,112,112\n');
  });
  await refuse(/11 classes, but only 10 images/, (dir) => {
    writePack(dir, people(5), '11,112,112\n');
  });
  await refuse(/class 5 of 6 has no image/, (dir) => {
    writePack(dir, people(5), '6,112,112\n');
  });
  await refuse(/3 identities, of which 2 are to be held out, leave 1 for training/, (dir) => {
    writePack(dir, people(3));
  });
  await refuse(/key 4 of .*train.rec: the image is corrupt/, (dir) => {
    const records = people(5);
    records[3] = { ...records[3]!, image: png.subarray(0, png.length - 40) };
    writePack(dir, records);
  });
});

test('an index that does not belong to the pack is refused', async (context) => {
  const dir = folder(context);
  const offsets = writePack(dir, people(5));
  const index = readFileSync(join(dir, 'train.idx'), 'utf8');
  const set = () => openRecordSet(dir);
  writeFileSync(join(dir, 'train.idx'), index.replace(`2\t${offsets.get(2)}`, `2\t${offsets.get(2)! + 4}`));
  await assert.rejects(set, /key 2 of train.idx does not lead to a record .*not of one pack/);
  writeFileSync(join(dir, 'train.idx'), `${index}11\t99999996\n`);
  await assert.rejects(set, /key 11 at byte 99999996 of train.rec, which has/);
  writeFileSync(join(dir, 'train.idx'), `${index}1\t0\n`);
  await assert.rejects(set, /has key 1 twice/);
  writeFileSync(join(dir, 'train.idx'), 'one\ttwo\n');
  await assert.rejects(set, /line 1 is "one\\ttwo", not "key TAB offset"/);
  writeFileSync(join(dir, 'train.idx'), index);
  truncateSync(join(dir, 'train.rec'), offsets.get(10)! + 60);
  await assert.rejects(set, /key 10 of train.idx does not lead to a record .*ends beyond the file/);
  truncateSync(join(dir, 'train.rec'), offsets.get(10)! + 20);
  await assert.rejects(set, /ends beyond the file/);
});

test('reading a pack of 2 GB takes the memory of one record', async (context) => {
  const dir = folder(context);
  // 64 records of 32 MB of zeros; the file is sparse, so it takes no room on the disk.
  const length = 32 * 2 ** 20;
  const handle = openSync(join(dir, 'train.rec'), 'w');
  const lines: string[] = [];
  for (let i = 0; i < 64; i++) {
    const head = Buffer.alloc(32);
    head.writeUInt32LE(0xced7230a, 0);
    head.writeUInt32LE(length, 4);
    head.writeFloatLE(i >> 1, 12);
    writeSync(handle, head, 0, 32, i * (length + 8));
    lines.push(`${i}\t${i * (length + 8)}\n`);
  }
  ftruncateSync(handle, 64 * (length + 8));
  closeSync(handle);
  writeFileSync(join(dir, 'train.idx'), lines.join(''));
  const before = process.memoryUsage().rss;
  const set = await openRecordSet(dir);
  assert.equal(set.size, 64);
  assert.ok(process.memoryUsage().rss - before < 100 * 2 ** 20, 'the index alone must not read images');
  for (const i of [0, 31, 63]) {
    const record = await set.file.readAt(i * (length + 8));
    assert.equal(parseImageRecord(record.payload, { path: dir, offset: 0 }).labels[0], i >> 1);
  }
  assert.ok(process.memoryUsage().rss - before < 300 * 2 ** 20, `${process.memoryUsage().rss - before}`);
  await set.close();
});

test('labels that are no classes are refused with what was found, or numbered in rising order', async (context) => {
  const packs: readonly (readonly [string, readonly number[], string | undefined, RegExp, string])[] = [
    [
      'counted from 1',
      [1, 2, 3, 4, 5],
      undefined,
      /class 0 of 6 has no image, labels begin with 1; its 10 images have 5 different labels, 1-5: with `data.labels: renumber`/,
      '1-5',
    ],
    [
      'with gaps',
      [0, 2, 3, 7, 9],
      undefined,
      /class 1 of 10 has no image; .* 0, 2-3, 7 and 1 more ranges/,
      '0, 2-3, 7, 9',
    ],
    ['property too large', [0, 1, 2, 3, 4], '8,112,112', /class 5 of 8 has no image/, ''],
    [
      'property too small',
      [0, 1, 2, 3, 4],
      '4,112,112',
      /key 9 has label 4, but property counts 4 classes/,
      '',
    ],
    ['far apart', [16_000_000, 3, 70, 5, 9], undefined, /only 10 images/, '3, 5, 9, 70, 16000000'],
  ];
  for (const [name, labels, property, reason, map] of packs) {
    const dir = folder(context);
    const records = people(5).map((record, i) => ({ ...record, labels: [labels[i >> 1]!] }));
    writePack(dir, records, property);
    const spec = { kind: 'recordio', path: dir, holdout: 2 } as const;
    await assert.rejects(inspectData(spec), (error: Error) => {
      assert.match(error.message, reason, name);
      assert.match(error.message, /`data.labels: renumber`/);
      return true;
    });
    const renumbered = { ...spec, labels: 'renumber' } as const;
    const { facts, notes } = await inspectData(renumbered);
    assert.deepEqual(facts, { trainingImages: 6, classes: 3, heldOutImages: 4, heldOutIdentities: 2 }, name);
    assert.equal(notes.length, map === '' ? 0 : 1);
    const set = await openRecordSet(dir, { labels: 'renumber' });
    assert.equal(set.labelMap ?? '', map);
    const sorted = [...new Set(labels)].sort((a, b) => a - b);
    for (let i = 0; i < set.size; i++) assert.equal(sorted[set.label(i)], labels[i >> 1], name);
    await set.close();
  }
});

test('a pack is read once for its labels: in blocks, and again from the cache until a file changes', async (context) => {
  const dir = folder(context);
  await writeLargePack(dir, 20_000, 500);
  const cache = createDataCache(join(dir, 'cache'));
  const seen: string[] = [];
  const pace = { step: (at: DataProgress) => void seen.push(at.doing) } as unknown as ProgressPace;
  const first = await readRecordTable(dir, { cache, pace });
  assert.equal(first.labelsFrom, 'records');
  assert.ok(seen.includes('reading labels'));
  seen.length = 0;
  const again = await readRecordTable(dir, { cache, pace });
  assert.ok(!seen.includes('reading labels'));
  assert.deepEqual(again, first);
  assert.ok(again.labels.buffer instanceof SharedArrayBuffer, 'threads share it');
  // The class ranges give the same table without reading the images.
  const ranges = await readRecordTable(dir, { rangesFromBytes: 0, pace });
  assert.equal(ranges.labelsFrom, 'identities');
  assert.ok(!seen.includes('reading labels'));
  assert.deepEqual(ranges.labels, first.labels);
  // A pack whose images contradict the ranges is read image by image.
  const rec = readFileSync(join(dir, 'train.rec'));
  rec.writeFloatLE(7, first.offsets[0]! + 12);
  rec.writeFloatLE(0, first.offsets[400]! + 12);
  writeFileSync(join(dir, 'train.rec'), rec);
  const contradicting = await readRecordTable(dir, { rangesFromBytes: 0, cache, pace });
  assert.equal(contradicting.labelsFrom, 'records');
  assert.deepEqual([contradicting.labels[0], contradicting.labels[400]], [7, 0]);
  assert.notEqual(contradicting.identity, first.identity);
});

test('an image whose label is not what its class range implies is found when it is read', async (context) => {
  const dir = folder(context);
  await writeLargePack(dir, 20_000, 5000);
  const table = await readRecordTable(dir, { rangesFromBytes: 0 });
  const rec = readFileSync(join(dir, 'train.rec'));
  // Neither the first nor the last of its identity, which are those that are sampled.
  rec.writeFloatLE(3, table.offsets[10_001]! + 12);
  writeFileSync(join(dir, 'train.rec'), rec);
  const set = await openRecordSet(dir, { rangesFromBytes: 0 });
  assert.equal(set.table.labelsFrom, 'identities');
  await assert.rejects(set.read(10_001), /the record has label 3, but its identity record gives 2500/);
  await set.read(10_002);
  await set.close();
});

test('an index in any order of keys and offsets gives the same images', async (context) => {
  const [sorted, shuffled] = [folder(context), folder(context)];
  writePack(sorted, people(6));
  // Records in the reverse order of their keys, and the lines of the index in yet another.
  const offsets = writePack(shuffled, people(6).reverse());
  const lines = [...offsets].map(([key, at]) => `${key}\t${at}\r\n`);
  writeFileSync(join(shuffled, 'train.idx'), [...lines.slice(5), '\r\n', ...lines.slice(0, 5)].join(''));
  const tables = await Promise.all([sorted, shuffled].map((dir) => readRecordTable(dir)));
  assert.deepEqual(tables[0]!.labels, tables[1]!.labels);
  assert.equal(tables[1]!.firstKey, 1);
  const values = Float64Array.from({ length: 2000 }, (_, i) => ((i * 7919) % 2000) * 2 ** 24);
  const order = risingOrder(values)!;
  assert.deepEqual(
    Array.from(order, (i) => values[i]!),
    [...values].sort((a, b) => a - b),
  );
  assert.equal(risingOrder(Float64Array.of(1, 1, 5)), undefined);
});
