// Results are written whole: a reader, a second writer, a full folder or a device in the place meets no half file and no
// left-over under a temporary name.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import {
  checkFilePlace,
  checkFolderPlace,
  temporaryBeside,
  writeFolder,
  writeOutput,
} from '../../../coordinator/cli/output-file.ts';

const root = mkdtempSync(join(tmpdir(), 'pf-output-'));
after(() => rmSync(root, { recursive: true }));
let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(root, 'case-'));
});
const names = () => readdirSync(dir).sort();

test('a thousand temporary names beside one path are a thousand names', () => {
  const made = new Set(Array.from({ length: 1000 }, () => temporaryBeside('/a/b/net.onnx')));
  assert.equal(made.size, 1000);
  for (const name of made) assert.match(name, /^\/a\/b\/[^/]{1,60}$/);
});

test('writers of one file at the same time each leave a whole file, and nothing else', async () => {
  const contents = Array.from({ length: 8 }, (_, i) => Buffer.alloc(300_000, i));
  const path = join(dir, 'sub', 'net.onnx');
  await Promise.all(contents.map((content) => writeOutput(path, content)));
  const left = readFileSync(path);
  assert.ok(contents.some((content) => content.equals(left)));
  assert.deepEqual(readdirSync(join(dir, 'sub')), ['net.onnx']);
});

test('looking at a place leaves nothing there, and what was there stays', async () => {
  await checkFilePlace(join(dir, 'a', 'b', 'net.onnx'));
  assert.deepEqual(names(), []);
  mkdirSync(join(dir, 'a'));
  await checkFilePlace(join(dir, 'a', 'b', 'net.onnx'));
  assert.deepEqual(names(), ['a']);
  assert.deepEqual(readdirSync(join(dir, 'a')), []);
});

test('a name as long as the file system allows is written', async () => {
  const path = join(dir, 'n'.repeat(255));
  await writeOutput(path, 'x');
  assert.equal(readFileSync(path, 'utf8'), 'x');
});

test('a link stays a link and its file is replaced', async () => {
  writeFileSync(join(dir, 'real'), 'old');
  symlinkSync('real', join(dir, 'link'));
  await writeOutput(join(dir, 'link'), 'new');
  assert.ok(lstatSync(join(dir, 'link')).isSymbolicLink());
  assert.equal(readFileSync(join(dir, 'real'), 'utf8'), 'new');
  assert.deepEqual(names(), ['link', 'real']);
});

test('a pipe in the place of the file is written, not replaced', async () => {
  const pipe = join(dir, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const reader = spawn('cat', [pipe]);
  let read = '';
  reader.stdout.on('data', (chunk) => {
    read += chunk;
  });
  const ended = new Promise((done) => reader.once('close', done));
  await writeOutput(pipe, 'through the pipe');
  await ended;
  assert.equal(read, 'through the pipe');
  assert.ok(lstatSync(pipe).isFIFO());
  assert.deepEqual(names(), ['pipe']);
});

test('a folder appears with all its files, over nothing or an empty folder only', async () => {
  const files = [
    ['model.json', Buffer.from('{}')],
    ['shard.bin', Buffer.from([1])],
  ] as const;
  mkdirSync(join(dir, 'empty'));
  for (const name of ['fresh/deep', 'empty']) {
    await writeFolder(join(dir, name), files);
    assert.deepEqual(readdirSync(join(dir, name)).sort(), ['model.json', 'shard.bin']);
  }
  writeFileSync(join(dir, 'empty', 'keep.txt'), 'kept');
  writeFileSync(join(dir, 'file'), 'a file');
  for (const act of [checkFolderPlace, (path: string) => writeFolder(path, files)]) {
    await assert.rejects(act(join(dir, 'empty')), {
      code: 'failedPrecondition',
      message: /empty is there and holds something; it must be a new or an empty folder$/,
    });
    await assert.rejects(act(join(dir, 'file')), {
      code: 'failedPrecondition',
      message: /file: it cannot be written: file is a file; it must be a new or an empty folder$/,
    });
  }
  assert.equal(readFileSync(join(dir, 'empty', 'keep.txt'), 'utf8'), 'kept');
  assert.deepEqual(names(), ['empty', 'file', 'fresh']);
});

test('a place that cannot be written is one sentence that names it, before and after the work', async () => {
  writeFileSync(join(dir, 'file'), 'a file');
  mkdirSync(join(dir, 'folder'));
  const places: [string, RegExp, string][] = [
    ['folder', /folder is a folder; name a file/, 'failedPrecondition'],
    ['file/net.onnx', /file: the folder cannot be made, because a file of that name/, 'failedPrecondition'],
    [`${'n'.repeat(256)}/net`, /too long/, 'invalidArgument'],
  ];
  if (process.getuid?.() !== 0) {
    chmodSync(join(dir, 'folder'), 0o500);
    places.push(['folder/net', /may not write there/, 'permissionDenied']);
  }
  for (const [place, message, code] of places)
    for (const act of [checkFilePlace, (path: string) => writeOutput(path, 'x')])
      await assert.rejects(act(join(dir, place)), (error: Error & { code?: string }) => {
        assert.match(error.message, message);
        assert.ok(error.message.includes(dir), error.message);
        assert.equal(error.code, code);
        return true;
      });
  assert.equal(readFileSync(join(dir, 'file'), 'utf8'), 'a file');
  assert.deepEqual(names(), ['file', 'folder']);
});
