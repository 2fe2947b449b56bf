import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
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
import { encodePng } from '../../../core/data/image.ts';
import { inspectData } from '../../../core/data/inspect.ts';
import { openRecordSet } from '../../../core/data/record-set.ts';
import { openRecordFile, parseImageRecord } from '../../../core/data/recordio.ts';
import { checkRecords } from '../../golden/records.ts';
import { frameRecord, writePack } from '../../support/records.ts';

const GOLDEN = new URL('../../../../shared/golden/records', import.meta.url).pathname;

function folder(context: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'pf-records-'));
  context.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

const png = await encodePng({ width: 112, height: 112, rgb: new Uint8Array(112 * 112 * 3).fill(90) });
/** `classes` people with two images each, keys from 1. */
const people = (classes: number) =>
  Array.from({ length: classes * 2 }, (_, i) => ({ key: i + 1, labels: [Math.floor(i / 2)], image: png }));

test('every fact of the record fixtures is met', {
  skip: existsSync(GOLDEN) ? false : 'no ../shared/golden/records',
}, async () => {
  const rows = await checkRecords(GOLDEN, 1);
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
