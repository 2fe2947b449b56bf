import assert from 'node:assert/strict';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { GOLDEN, packFolder, unpackFolder, unpackGolden } from './packed-folder.ts';

/** What a clone may grow by. */
const FOLDER_BYTES_MAX = 12_000_000;

const top = mkdtempSync(join(tmpdir(), 'pocketfleet-packed-'));
after(() => rmSync(top, { recursive: true }));
const folder = (): string => mkdtempSync(join(top, 'f-'));

test('a folder comes back from its packed form byte for byte, and the one of this repository is small', () => {
  const [plain, packed, again] = [folder(), folder(), folder()];
  unpackGolden(['arcface.safetensors', 'iresnet-w64-formula.safetensors', 'genotype-decode.json'], plain);
  mkdirSync(join(plain, 'set', 'inner'), { recursive: true });
  writeFileSync(join(plain, 'set', 'inner', 'data'), Buffer.alloc(100_000, 'ab'));
  writeFileSync(join(plain, 'set', 'property'), '5,112,112\n');
  writeFileSync(join(plain, 'README.md'), 'a note');
  packFolder({ from: plain, into: packed, without: ['genotype-decode.json'] });
  assert.deepEqual(readdirSync(packed).sort(), [
    'SHA256SUMS',
    'arcface.safetensors',
    'iresnet-w64-formula.safetensors.packed',
    'set.packed',
  ]);
  assert.deepEqual(unpackFolder(packed, again), []);
  const left = ['README.md', 'genotype-decode.json'];
  assert.deepEqual(
    contents(again),
    contents(plain).filter(({ path }) => !left.includes(path)),
  );
  const bytes = contents(GOLDEN).reduce((sum, file) => sum + file.bytes, 0);
  assert.ok(bytes <= FOLDER_BYTES_MAX, `the fixtures take ${bytes} bytes`);
});

test('each fixture that is damaged, missing or strange is named, and the others are there', () => {
  const [broken, plain] = [folder(), folder()];
  cpSync(realpathSync(GOLDEN), broken, {
    recursive: true,
    filter: (path) => !/(supernet|train|pocketnet)/.test(path),
  });
  const change = (name: string, by: (bytes: Buffer) => Buffer) =>
    writeFileSync(join(broken, name), by(readFileSync(join(broken, name))));
  change('arcface.safetensors', (bytes) => bytes.fill(bytes.at(-1)! ^ 1, bytes.length - 1));
  change('records.packed', (bytes) => bytes.subarray(0, 1000));
  change('iresnet-w64-formula.safetensors.packed', (bytes) => bytes.fill(bytes[70_000]! ^ 1, 70_000, 70_001));
  change('SHA256SUMS', (bytes) => Buffer.from(bytes.toString().replace(/^.*kd\.safetensors\n/m, '')));
  const damages = unpackFolder(broken, plain);
  const reasons = Object.fromEntries(damages.map(({ entry, reason }) => [entry, reason]));
  assert.match(reasons['arcface.safetensors']!, /^arcface\.safetensors is damaged: its SHA-256/);
  assert.match(reasons.records!, /^records\.packed is damaged: /);
  assert.match(
    reasons['iresnet-w64-formula.safetensors']!,
    /^iresnet-w64-formula\.safetensors\S* is damaged: /,
  );
  assert.match(reasons['kd.safetensors']!, /^kd\.safetensors has no line in SHA256SUMS/);
  assert.match(reasons['supernet-tiny.safetensors']!, /^supernet-tiny\.safetensors is missing/);
  assert.deepEqual(readdirSync(plain).sort(), [
    'genotype-decode.json',
    'iresnet-tiny.safetensors',
    'screening.json',
    'verification.json',
  ]);
});

function contents(dir: string): { path: string; bytes: number; text: string }[] {
  return readdirSync(dir, { recursive: true })
    .map((path) => join(dir, String(path)))
    .filter((path) => statSync(path).isFile())
    .sort()
    .map((path) => {
      const bytes = readFileSync(path);
      return { path: path.slice(dir.length + 1), bytes: bytes.length, text: bytes.toString('latin1') };
    });
}
