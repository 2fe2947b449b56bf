// What a build makes of a tree: which files are where, what is in them, and what becomes of them when the sources change.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { PACKAGE_ROOT } from '../../core/system/places.ts';
import { startProgram } from '../support/processes.ts';

const BUILD = join(PACKAGE_ROOT, 'scripts/build/dist.mjs');
const { build } = (await import(BUILD)) as {
  build(root: string, options?: { thorough?: boolean }): Promise<number>;
};

const top = mkdtempSync(join(tmpdir(), 'pocketfleet-build-'));
after(() => rmSync(top, { recursive: true, force: true }));

/** A tree with these files. */
function tree(name: string, files: Readonly<Record<string, string>>): string {
  for (const [path, text] of Object.entries({ 'core/one.ts': 'export const one: number = 1;\n', ...files }))
    write(join(top, name, path), text);
  return join(top, name);
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

const built = (root: string, path: string): string => readFileSync(join(root, 'dist', path), 'utf8');

test('each line and column stays where it is, and only names of modules of the tree become .js', async () => {
  const source = [
    "import { one } from '../core/one.ts';",
    "import type { Later } from './later.ts';",
    'interface Wide {',
    '  readonly text: string;',
    '}',
    "const thread = new URL('./thread.ts', import.meta.url);",
    "const later = async (): Promise<Later> => (await import('./later.ts')) as Later;",
    'const text: string = \'import x from "./text.ts"\'; throw new Error(text);',
    "export * from 'package/file.ts';",
    '',
  ].join('\n');
  const root = tree('columns', { 'worker/main.ts': source });
  assert.equal(await build(root), 2);
  const lines = built(root, 'worker/main.js').split('\n');
  assert.deepEqual(
    lines.map((line) => line.length),
    source.split('\n').map((line) => line.length),
  );
  assert.equal(lines[0], "import { one } from '../core/one.js';");
  assert.equal(lines.slice(1, 5).join('').trim(), '');
  assert.equal(lines[5], "const thread = new URL('./thread.js', import.meta.url);");
  assert.match(lines[6]!, /await import\('\.\/later\.js'\)/);
  assert.match(lines[7]!, /"\.\/text\.ts".*throw/);
  assert.equal(lines[7]!.indexOf('throw'), source.split('\n')[7]!.indexOf('throw'));
  assert.equal(lines[8], "export * from 'package/file.ts';");
});

test('what is no TypeScript is found under the same relative path', async () => {
  const root = tree('links', {
    'package.json': '{}',
    'core/native/deep/kernel.cc': 'C++',
    'core/kernels.wat': 'text',
    'docs/page.md': 'a page',
  });
  await build(root);
  for (const path of ['package.json', 'core/native/deep/kernel.cc', 'core/kernels.wat', 'docs/page.md'])
    assert.equal(built(root, path), readFileSync(join(root, path), 'utf8'), path);
  assert.equal(readlinkSync(join(root, 'dist/core/native')), '../../core/native');
});

test('an edit compiles one file, what is deleted goes, and nothing is written into the sources', async () => {
  const root = tree('edits', { 'test/two.ts': 'export const two = 2;', 'test/faces/a.bin': 'a' });
  assert.equal(await build(root), 2);
  assert.equal(await build(root), 0);
  write(join(root, 'core/one.ts'), 'export const one: number = 7;\n');
  // A folder that was one link holds TypeScript now.
  write(join(root, 'test/faces/three.ts'), 'export const three = 3;');
  rmSync(join(root, 'test/two.ts'));
  assert.equal(await build(root), 2);
  assert.match(built(root, 'core/one.js'), /one {9}= 7/);
  assert.equal(built(root, 'test/faces/a.bin'), 'a');
  assert.deepEqual(readdirSync(join(root, 'dist/test')), ['faces']);
  assert.deepEqual(readdirSync(join(root, 'test/faces')).sort(), ['a.bin', 'three.ts']);
  rmSync(join(root, 'test/faces/three.ts'));
  await build(root);
  assert.equal(readlinkSync(join(root, 'dist/test')), '../test');
});

test('a file that only looks newer is not compiled again, and one that is gone from the build is', async () => {
  const root = tree('times', {});
  await build(root);
  utimesSync(join(root, 'core/one.ts'), 1, 1);
  assert.equal(await build(root), 0);
  rmSync(join(root, 'dist/core/one.js'));
  assert.equal(await build(root, { thorough: true }), 1);
});

test('a source that does not compile is named with its place, and the last build stays as it is', async () => {
  const root = tree('broken', { 'core/two.ts': 'export const two: number = 2;\n' });
  await build(root);
  write(join(root, 'core/two.ts'), 'export const two: number = 3;\n');
  write(join(root, 'core/three.ts'), 'export const a = 1;\nexport const b: number = = 1;\n');
  await assert.rejects(build(root), { message: 'core/three.ts:2:26: Expression expected' });
  assert.match(built(root, 'core/two.js'), /= 2/);
  rmSync(join(root, 'core/three.ts'));
  assert.equal(await build(root), 1);
  assert.match(built(root, 'core/two.js'), /= 3/);
});

test('without the packages that compile, a change is refused with what to do', async () => {
  const root = tree('packages', {});
  cpSync(join(PACKAGE_ROOT, 'scripts'), join(root, 'scripts'), { recursive: true });
  const bare = (await import(join(root, 'scripts/build/dist.mjs'))) as { build: typeof build };
  await assert.rejects(bare.build(root), { message: /is not installed: run `npm run setup`$/ });
});

test('whoever may not write runs what has the right texts, and no old code', async () => {
  const root = tree('theirs', {});
  await build(root);
  const program = `import { build } from ${JSON.stringify(BUILD)};
    if (process.getuid() === 0) process.setuid(65534);
    await build(${JSON.stringify(root)}).then(console.log, (caught) => console.log(caught.message));`;
  const asAnother = () =>
    spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' }).stdout.trim();
  chmodSync(top, 0o755);
  if (process.getuid?.() !== 0) chmodSync(join(root, 'dist'), 0o555);
  // As in a copy of the tree.
  utimesSync(join(root, 'core/one.ts'), 1, 1);
  assert.equal(asAnother(), '0');
  write(join(root, 'core/one.ts'), 'export const one: number = 8;\n');
  assert.match(asAnother(), /^the sources have changed .* cannot be written \(EACCES\): run `npm run setup`/);
  chmodSync(join(root, 'dist'), 0o755);
});

test('a build that was interrupted is repeated before anything runs', async () => {
  const root = tree('interrupted', {});
  await build(root);
  // As a build leaves it that has removed its record and written one file.
  rmSync(join(root, 'dist/.build.json'));
  write(join(root, 'dist/core/one.js'), 'half');
  assert.equal(await build(root), 1);
  assert.match(built(root, 'core/one.js'), /one {9}= 1/);
});

test('of several that build at once one does it, and all find the result', async () => {
  const files = Array.from({ length: 20 }, (_, i) => [`core/f${i}.ts`, `export const f: number = ${i};\n`]);
  const root = tree('several', Object.fromEntries(files));
  const program = `import { build } from ${JSON.stringify(BUILD)};
    const files = await build(${JSON.stringify(root)});
    const { f } = await import(${JSON.stringify(join(root, 'dist/core/f19.js'))});
    console.log(files, f);`;
  const programs = [1, 2, 3].map(() =>
    startProgram(process.execPath, ['--input-type=module', '-e', program]),
  );
  for (const { ended, output } of programs) assert.equal((await ended).code, 0, output());
  assert.deepEqual(programs.map(({ output }) => output().trim()).sort(), ['0 19', '0 19', '21 19']);
  assert.deepEqual(
    readdirSync(join(root, 'dist')).sort(),
    ['.build.json', 'core'],
    'no lock and no half file is left',
  );
});

test('compiled programs alone, as in an image, are left as they are', async () => {
  const root = join(top, 'image');
  write(join(root, 'dist/coordinator/main.js'), '');
  assert.equal(await build(root), 0);
  assert.ok(!existsSync(join(root, 'dist/.build.json')));
  assert.equal(statSync(join(root, 'dist/coordinator/main.js')).size, 0);
});
