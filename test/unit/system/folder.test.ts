// Folders that can be made and folders that cannot, on the file systems of this machine.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileFailure, makeFolder } from '../../../core/system/folder.ts';
import { loaderArguments } from '../../../core/system/script-arguments.ts';
import { printable } from '../../../core/text/printable.ts';

function scratch(t: { after(f: () => void): void }): string {
  const dir = mkdtempSync(join(tmpdir(), 'pf folder ü-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

test('a folder and those above it are made with the mode, and one that is there stays', (t) => {
  const dir = scratch(t);
  const deep = join(dir, ...Array.from({ length: 15 }, () => 'x'.repeat(200)));
  assert.equal(makeFolder(deep, { mode: 0o700 }), join(dir, 'x'.repeat(200)));
  assert.equal(statSync(deep).mode & 0o777, 0o700);
  writeFileSync(join(deep, 'kept'), '');
  assert.equal(makeFolder(deep), undefined);
  symlinkSync(deep, join(dir, 'link'));
  makeFolder(join(dir, 'link'));
  makeFolder('/');
  assert.ok(statSync(join(dir, 'link', 'kept')).isFile());
});

test('a folder that cannot be made is refused with its path, the reason and what to do', (t) => {
  const dir = scratch(t);
  writeFileSync(join(dir, 'file'), '');
  symlinkSync(join(dir, 'b'), join(dir, 'a'));
  symlinkSync(join(dir, 'a'), join(dir, 'b'));
  const refused: [string, string, RegExp][] = [
    // Node's recursive mkdir never returns here.
    ['/proc/nope', 'notFound', /its file system takes no new ones \(ENOENT\); choose another --dir$/],
    ['/proc/nope/deeper', 'notFound', /\(ENOENT\)/],
    [join(dir, 'file'), 'failedPrecondition', /a file of that name is there already \(EEXIST\)/],
    [
      join(dir, 'file', 'x', 'y'),
      'failedPrecondition',
      /a part of the path is a file and no folder \(ENOTDIR\)/,
    ],
    [join(dir, 'a', 'x'), 'failedPrecondition', /symbolic links lead in a circle \(ELOOP\)/],
    [join(dir, 'n'.repeat(300)), 'invalidArgument', /too long \(ENAMETOOLONG\)/],
    [join(dir, 'x\0y'), 'invalidArgument', /a character that no path may have/],
  ];
  for (const [path, code, message] of refused) {
    assert.throws(() => makeFolder(path, { remedy: 'choose another --dir' }), { code, message });
    assert.throws(
      () => makeFolder(path),
      (caught: Error) => caught.message.startsWith(printable(path)),
    );
  }
});

test('a folder of somebody else is refused', (t) => {
  const dir = scratch(t);
  chmodSync(dir, 0o755);
  mkdirSync(join(dir, 'theirs'), 0o755);
  const script = `
    if (process.getuid() === 0) process.setuid(65534);
    const { makeFolder } = await import(${JSON.stringify(new URL('../../../core/system/folder.ts', import.meta.url).href)});
    try { makeFolder(process.argv[1]); } catch (caught) { process.stdout.write(caught.code + ' ' + caught.message); }`;
  if (process.getuid?.() !== 0) chmodSync(join(dir, 'theirs'), 0o555);
  const { stdout } = spawnSync(
    process.execPath,
    [...loaderArguments(), '--input-type=module', '-e', script, join(dir, 'theirs', 'x')],
    { encoding: 'utf8' },
  );
  assert.equal(
    stdout,
    `permissionDenied ${join(dir, 'theirs', 'x')}: the folder cannot be made, because this user may not write there (EACCES)`,
  );
});

test('each failure of a file system is one sentence, also those that cannot be brought about here', () => {
  for (const code of ['EROFS', 'ENOSPC', 'EDQUOT', 'EINVAL', 'EIO', 'ESTALE', 'EMFILE', 'ENFILE', 'EPERM']) {
    const { message } = fileFailure(Object.assign(new Error(`${code}: words of the library`), { code }), {
      path: '/there',
      doing: 'the log cannot be opened',
    });
    assert.match(message, new RegExp(`^/there: the log cannot be opened, because [^:;]+ \\(${code}\\)$`));
    assert.doesNotMatch(message, /words of the library/);
  }
});
