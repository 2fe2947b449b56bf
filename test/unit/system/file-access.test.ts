import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readListedImage } from '../../../core/data/benchmarks/listed-image.ts';
import { readVerificationBin } from '../../../core/data/benchmarks/verification-bin.ts';
import { openDataset } from '../../../core/data/dataset.ts';
import { FleetError } from '../../../core/errors.ts';
import { openStateFile } from '../../../core/model/state-file.ts';
import type { DataSpec } from '../../../core/spec/data.ts';
import { ANYWHERE, admittedPath, readRegular } from '../../../core/system/file-access.ts';

const top = mkdtempSync(join(tmpdir(), 'pocketfleet-roots-'));
after(() => rmSync(top, { recursive: true, force: true }));
const root = join(top, 'data');
const other = join(top, 'other');
for (const folder of [root, other, join(root, 'pack'), join(other, 'ann')]) mkdirSync(folder);
writeFileSync(join(other, 'secret'), 'root:*:20228:0:99999:7:::\n');
writeFileSync(join(root, 'file'), 'inside');
symlinkSync(join(other, 'secret'), join(root, 'link'));
symlinkSync(join(other, 'absent'), join(root, 'dangling'));
symlinkSync(other, join(root, 'folder'));
symlinkSync('file', join(root, 'within'));
symlinkSync(root, join(top, 'alias'));
execFileSync('mkfifo', [join(root, 'pipe')]);
const roots = [root];

async function refusal(work: Promise<unknown>): Promise<FleetError> {
  try {
    await work;
  } catch (caught) {
    assert.ok(caught instanceof FleetError, String(caught));
    return caught;
  }
  return assert.fail('it was read');
}

const read = (path: string, bytesMax = 100) => readRegular(path, { roots, what: 'set', bytesMax });

test('what lies beneath a root is read, by links too, also where the root is named by a link', async () => {
  for (const path of [join(root, 'file'), join(root, 'within'), join(root, 'pack', '..', 'file')])
    assert.equal((await read(path)).toString(), 'inside');
  const linked = { roots: [join(top, 'alias')], what: 'set', bytesMax: 100 };
  for (const path of [join(top, 'alias', 'file'), join(root, 'file')])
    assert.equal((await readRegular(path, linked)).toString(), 'inside');
});

test('what lies outside is refused in the same words whether it exists or not, however it is reached', async () => {
  const paths = [
    ...[
      '/etc/passwd',
      '/etc/absent',
      '/root',
      '/proc/self/environ',
      join(other, 'secret'),
      join(other, 'absent'),
    ],
    ...[join(root, 'link'), join(root, 'dangling'), join(root, 'folder'), `${root}/../other/secret`],
    ...[
      join(root, 'folder', 'secret'),
      join(root, 'folder', 'absent'),
      `${root}-beside/file`,
      join(root, 'folder', 'a', 'b'),
    ],
  ];
  for (const path of paths) {
    const { code, message } = await refusal(read(path));
    assert.equal(code, 'permissionDenied', `${path}: ${message}`);
    assert.equal(
      message,
      `set: "${path}" leads outside of the folders that may be read here: ${root} (data roots)`,
    );
  }
  const inside = await refusal(read(join(root, 'absent')));
  assert.equal(inside.code, 'notFound');
  assert.match(inside.message, /there is no such file or folder \(ENOENT\)/);
});

test('devices, pipes, folders and files of the kernel are refused, and too large ones with both numbers', {
  timeout: 20_000,
}, async () => {
  const anywhere = (path: string) => readRegular(path, { roots: ANYWHERE, what: 'set', bytesMax: 100 });
  for (const path of [
    '/dev/zero',
    '/dev/null',
    join(root, 'pipe'),
    root,
    '/proc/self/environ',
    '/proc/self/mem',
  ])
    assert.match((await refusal(anywhere(path))).message, / is not a regular file$/, path);
  writeFileSync(join(root, 'large'), '');
  truncateSync(join(root, 'large'), 101);
  assert.equal(
    (await refusal(read(join(root, 'large')))).message,
    `set: ${join(root, 'large')} has 101 bytes, at most 100 are taken`,
  );
  // The kinds of files that people name.
  assert.match((await refusal(readVerificationBin('/dev/zero'))).message, /is not a regular file/);
  assert.match((await refusal(openStateFile('/dev/zero'))).message, /is not a regular file/);
  const huge = join(root, 'huge.bin');
  writeFileSync(huge, '');
  truncateSync(huge, 2 ** 31);
  assert.match(
    (await refusal(readVerificationBin(huge))).message,
    /has 2147483648 bytes, at most 1073741824/,
  );
  assert.match((await refusal(readListedImage(root, '../other/secret'))).message, /leads out of/);
});

test('reading stops when nobody waits for it any more', async () => {
  const path = join(root, 'long');
  writeFileSync(path, '');
  truncateSync(path, 1 << 30);
  const gone = new AbortController();
  const reading = refusal(readRegular(path, { roots, what: 'set', bytesMax: 1 << 30, signal: gone.signal }));
  gone.abort();
  assert.equal((await reading).code, 'cancelled');
});

test('a data set outside of the roots, and one with a link that leads out, tells nothing of what is there', async () => {
  const refused = async (data: DataSpec) => {
    const { code, message } = await refusal(openDataset(data, { roots }));
    assert.equal(code, 'permissionDenied', message);
    assert.doesNotMatch(message, /root:|PackageKit|has no image|ann/);
  };
  for (const path of ['/etc', '/root', '/absent', other, join(root, 'folder')])
    for (const kind of ['folder', 'recordio'] as const) await refused({ kind, path, holdout: 2 });
  const pack = join(root, 'pack');
  writeFileSync(join(pack, 'train.rec'), '');
  symlinkSync(join(other, 'secret'), join(pack, 'train.idx'));
  await refused({ kind: 'recordio', path: pack, holdout: 2 });
  const people = join(root, 'people');
  mkdirSync(join(people, 'bob'), { recursive: true });
  symlinkSync(join(other, 'secret'), join(people, 'bob', '1.png'));
  await refused({ kind: 'folder', path: people, holdout: 2 });
  rmSync(join(people, 'bob'), { recursive: true });
  symlinkSync(join(other, 'ann'), join(people, 'carol'));
  await refused({ kind: 'folder', path: people, holdout: 2 });
});

test('a file that is not what it should be is refused without its content', async () => {
  const pack = join(root, 'plain');
  mkdirSync(pack);
  writeFileSync(join(pack, 'train.rec'), '');
  writeFileSync(join(pack, 'train.idx'), 'root:*:20228:0:99999:7:::\n');
  const { message } = await refusal(openDataset({ kind: 'recordio', path: pack, holdout: 2 }, { roots }));
  assert.doesNotMatch(message, /20228/);
  await assert.rejects(admittedPath(join(root, 'absent'), { roots, what: 'set' }), FleetError);
});
