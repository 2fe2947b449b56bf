// A comment that names a module names one that is there. Names go stale when files move, and a stale name is
// a false statement that no compiler sees. In code a name is the path from the root, or a neighbour's; in a
// contract or a native source, the end of a path.

import { deepEqual, ok } from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { PACKAGE_ROOT } from '../../core/system/places.ts';

const FOLDERS = [
  'bench',
  'bin',
  'coordinator',
  'core',
  'deploy',
  'helm',
  'proto',
  'scripts',
  'test',
  'worker',
];
const NOT_OURS = /^proto\/gen\/|\/(?:build|deps|node_modules)\//;
const CODE = /\.(?:ts|mjs)$/;
const OTHERS = /\.(?:proto|ya?ml|cc|h|inc|c|py)$/;
/** Stands for any module where a comment explains how one is passed. */
const ANY = /(?:^|\/)name\.(?:ts|mjs)$/i;

const NAME = /(?<![\w/.@-])((?:[\w.-]+\/)*[\w-]+\.(?:ts|mjs))\b/g;
const COMMENT = /^\s*(?:\/\/|\/?\*\*?)(.*)$|\s\/\/ (.*)$/;

const files = FOLDERS.flatMap((folder) =>
  readdirSync(join(PACKAGE_ROOT, folder), { recursive: true, encoding: 'utf8' }).map((file) =>
    join(folder, file),
  ),
).filter((file) => !NOT_OURS.test(file));
const modules = new Set(files.filter((file) => CODE.test(file)));

/** `file:line name` of each module that a comment of this text names and that is not there. */
function missingIn(file: string, text: string): string[] {
  const isCode = CODE.test(file);
  const exists = (name: string): boolean =>
    isCode
      ? modules.has(name) || modules.has(normalize(join(dirname(file), name)))
      : [...modules].some((module) => `/${module}`.endsWith(`/${name}`));
  return text.split('\n').flatMap((line, index) => {
    const [, whole, trailing] = (isCode ? COMMENT.exec(line) : ['', line]) ?? [];
    return [...(whole ?? trailing ?? '').matchAll(NAME)]
      .map(([, name]) => name!)
      .filter((name) => !ANY.test(name) && !exists(name))
      .map((name) => `${file}:${index + 1} ${name}`);
  });
}

test('every module that a comment names is there', () => {
  ok(modules.has('core/errors.ts'));
  const missing = files
    .filter((file) => CODE.test(file) || OTHERS.test(file))
    .flatMap((file) => missingIn(file, readFileSync(join(PACKAGE_ROOT, file), 'utf8')));
  deepEqual(missing, []);
});

test('a stale name is found in a comment, and not in code', () => {
  const comments = [
    '// See nats.ts, core/clock.ts and pages.ts.',
    "import 'gone.ts';",
    ['f();', '//', 'gone.ts'].join(' '),
  ];
  deepEqual(missingIn('core/net/made-up.ts', comments.join('\n')), [
    'core/net/made-up.ts:1 pages.ts',
    'core/net/made-up.ts:3 gone.ts',
  ]);
  deepEqual(missingIn('proto/made-up.proto', '// net/nats.ts and net/gone.ts'), [
    'proto/made-up.proto:1 net/gone.ts',
  ]);
});
