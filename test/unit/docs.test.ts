// What the pages for people name has to be there: a path that was moved leads a reader nowhere, and a command that no page has is
// never found.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import test from 'node:test';
import { createProgram } from '../../coordinator/cli/program.ts';
import { PACKAGE_ROOT as root } from '../../core/system/places.ts';

const FOLDERS =
  /^(?:\.github|bench|bin|coordinator|core|deploy|docs|examples|helm|proto|scripts|test|worker)$/;
const files = new Set<string>();
const folders = new Set<string>();
for (const top of readdirSync(root, { withFileTypes: true })) {
  if (top.isFile()) files.add(top.name);
  if (!top.isDirectory() || !FOLDERS.test(top.name)) continue;
  folders.add(top.name);
  for (const entry of readdirSync(join(root, top.name), { recursive: true, withFileTypes: true }))
    (entry.isDirectory() ? folders : files).add(relative(root, join(entry.parentPath, entry.name)));
}
const scripts = Object.keys(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).scripts);

const PAGES = [...files].filter(
  (path) =>
    /^[A-Z]+\.md$/.test(path) || /^(docs|\.github)\/.*\.md$/.test(path) || path === 'test/stories/README.md',
);
/** `core/errors.ts`, `helm/pocketfleet`, `test/unit/tensor/*.test.ts`: from the root, wherever they stand in a text. */
const FROM_ROOT =
  /(?<![\w./-])(?:bench|bin|coordinator|core|deploy|docs|examples|helm|proto|scripts|test|worker)\/[\w.*/-]*[\w*]/g;
/** A name in backquotes, such as that of `core/errors.ts` without its folders: the end of some path. */
const SOURCE_NAME = /`([\w./-]+\.(?:ts|mjs|cc|inc|proto|wat))`/g;
const SCRIPT = /npm run (?!-)([\w:-]+)/g;
const LINK = /\]\((?!https?:|#)([^)#\s]+)[^)]*\)/g;

function missingIn(page: string, text: string): string[] {
  const missing: string[] = [];
  for (const [path] of text.matchAll(FROM_ROOT)) if (!exists(path)) missing.push(path);
  for (const [, name] of text.matchAll(SOURCE_NAME))
    if (![...files].some((file) => file === name || file.endsWith(`/${name}`))) missing.push(name!);
  for (const [, name] of text.matchAll(SCRIPT)) if (!scripts.includes(name!)) missing.push(`npm run ${name}`);
  for (const [, target] of text.matchAll(LINK))
    if (!exists(normalize(join(dirname(page), target!)).replace(/\/$/, ''))) missing.push(target!);
  return missing;
}

/** With a `*` the folder before it is asked for. */
function exists(path: string): boolean {
  const known = path.includes('*') ? dirname(path.slice(0, path.indexOf('*') + 1)) : path;
  return files.has(known) || folders.has(known);
}

test('every path and npm script that a page names is there', () => {
  assert.ok(PAGES.includes('README.md') && PAGES.includes('ARCHITECTURE.md'), PAGES.join(', '));
  for (const page of PAGES)
    assert.deepEqual(missingIn(page, readFileSync(join(root, page), 'utf8')), [], `named in ${page}`);
});

test('a path, a name and a link that lead nowhere are found', () => {
  const text = 'core/nothing.ts, `nowhere.ts`, [a](nothing.md), test/nothing/*.ts, npm run nothing';
  assert.deepEqual(missingIn('docs/fleet.md', text), [
    'core/nothing.ts',
    'test/nothing/*.ts',
    'nowhere.ts',
    'npm run nothing',
    'nothing.md',
  ]);
  assert.deepEqual(
    missingIn('docs/fleet.md', 'core/errors.ts, `decide.ts`, [data](data.md), test/*/x, npm run check'),
    [],
  );
});

test('docs/commands.md has every command', async () => {
  const page = readFileSync(join(root, 'docs/commands.md'), 'utf8');
  const program = await createProgram();
  const names = program.commands.flatMap((command) =>
    command.commands.length === 0
      ? [command.name()]
      : command.commands.map((part) => `${command.name()} ${part.name()}`),
  );
  assert.ok(names.length > 20, names.join(', '));
  assert.deepEqual(
    names.filter((name) => !new RegExp(`\`(?:[^\`|]* )?${name}[ \`]`).test(page)),
    [],
  );
});
