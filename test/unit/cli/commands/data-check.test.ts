import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { encodePng } from '../../../../core/data/images/image.ts';
import { writeLargePack } from '../../../support/large-pack.ts';
import { assertNothingLeft, isRunning, startProgram, until } from '../../../support/processes.ts';
import { writePack } from '../../../support/records.ts';

const folder = mkdtempSync(join(tmpdir(), 'pf-data-check-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const cli = fileURLToPath(new URL('../../../../bin/pocketfleet.mjs', import.meta.url));
const start = (...argv: string[]) =>
  startProgram(process.execPath, [cli, 'data', 'check', ...argv], {
    env: { XDG_CACHE_HOME: join(folder, 'cache') },
  });

const png = await encodePng({ width: 112, height: 112, rgb: new Uint8Array(112 * 112 * 3).fill(90) });

test('data check names every corrupt image of a folder, a pack and a .bin set', async () => {
  const faces = join(folder, 'faces');
  for (const name of ['a/1.png', 'a/2.png', 'b/1.png', 'c/1.png', 'd/1.png']) {
    mkdirSync(join(faces, name, '..'), { recursive: true });
    writeFileSync(join(faces, name), png);
  }
  writeFileSync(join(faces, 'b/2.jpg'), 'no image');
  writeFileSync(join(faces, 'c/2.png'), png.subarray(0, png.length - 30));
  writeFileSync(join(faces, 'd/2.heic'), '');
  const pack = join(folder, 'pack');
  mkdirSync(pack);
  // Counted from 1: that is told, and does not keep the images from being looked at.
  const records = Array.from({ length: 8 }, (_, i) => ({ key: i + 1, labels: [1 + (i >> 1)], image: png }));
  writePack(
    pack,
    records.map((record, i) => (i === 4 ? { ...record, image: Buffer.from('x') } : record)),
  );
  const bin = join(folder, 'pairs.bin');
  const short = (image: Uint8Array) => Buffer.concat([Buffer.from('C'), Buffer.of(image.length), image]);
  assert.ok(png.length > 255);
  const long = (image: Uint8Array) => {
    const size = Buffer.alloc(4);
    size.writeUInt32LE(image.length);
    return Buffer.concat([Buffer.from('B'), size, image]);
  };
  const text = (value: string) => Buffer.from(value, 'latin1');
  writeFileSync(
    bin,
    Buffer.concat([text('\x80\x03]('), long(png), short(text('no')), text('e](\x88e\x86.')]),
  );
  const programs = [start(faces), start(pack), start(bin, '--json')];
  const endings = await Promise.all(programs.map(({ ended }) => ended));
  assert.deepEqual(
    endings.map(({ code }) => code),
    [1, 1, 1],
  );
  const [ofFaces, ofPack, ofBin] = programs.map((program) => program.output());
  assert.match(ofFaces!, /^\S*faces\/b\/2\.jpg: the image is not PGM/m);
  assert.match(ofFaces!, /^\S*faces\/c\/2\.png: the image is corrupt/m);
  assert.match(ofFaces!, /^note: 1 entry .* 1 \.heic/m);
  assert.match(ofFaces!, /faces: 7 images of 4 people, 2 are corrupt/);
  assert.match(ofPack!, /^key 5 of \S*train\.rec: the image is not PGM/m);
  assert.match(ofPack!, /^note: .*labels begin with 1/m);
  assert.match(ofPack!, /pack: 8 images of 4 classes, 1 is corrupt/);
  assert.match(ofBin!, /"name": "image 1 of \S*pairs\.bin \(pair 0\)"/);
  await assertNothingLeft(
    programs.map(({ pid }) => pid),
    [],
  );
});

test('data check says what is no data set, shows where it is, and Ctrl-C ends it with all it started', async () => {
  const large = join(folder, 'large');
  mkdirSync(large);
  await writeLargePack(large, 60_000, 600);
  const [none, looking] = [start(join(folder, 'nothing-here')), start(large)];
  assert.equal((await none.ended).code, 1);
  assert.match(none.output(), /nothing-here/);
  await looking.untilOutput(/large: .+ of .+, \d+ %/, 60_000);
  const children = readFileSync(`/proc/${looking.pid}/task/${looking.pid}/children`, 'utf8')
    .trim()
    .split(' ')
    .map(Number);
  assert.ok(children.length > 0 && children.every(isRunning));
  const ending = await looking.stop('SIGINT', 20_000);
  assert.equal(ending.code, 130);
  await until('every process has ended', () => !children.some(isRunning));
  await assertNothingLeft([none.pid, looking.pid, ...children], []);
});
