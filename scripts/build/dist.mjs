// Keeps `dist` equal to the sources. A program that starts compares the states of all sources with those of
// the last build, which takes milliseconds, and compiles what has changed: old code never runs. One process
// builds at a time, each file appears at once or not at all, and the record of a build is removed before the
// first change and written after the last, so that whoever finds a build that was interrupted repeats it.

import { createHash, randomUUID } from 'node:crypto';
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { BuildError } from './error.mjs';
import { readTree } from './sources.mjs';

export { BuildError };

const RECORD = '.build.json';

/**
 * Brings `dist` up to date and returns how many files were compiled. `thorough` also looks whether every file
 * of the last build is still there.
 */
export async function build(root, { thorough = false, say = () => {} } = {}) {
  if (isCurrent(root, thorough)) return 0;
  const dist = join(root, 'dist');
  let release = () => {};
  try {
    mkdirSync(dist, { recursive: true });
    const { acquireLock } = await import('../setup/lock.mjs');
    release = await acquireLock(join(dist, '.lock'), say, 'build');
    // The former owner of the lock may have done everything.
    return isCurrent(root, thorough) ? 0 : await bringUpToDate(root, dist);
  } catch (caught) {
    if (!['EACCES', 'EROFS', 'EPERM', 'ENOSPC', 'EDQUOT'].includes(caught.code)) throw caught;
    // A copy of the tree has other times, and whoever runs it may not be its owner.
    if (holdsSameTexts(root)) return 0;
    throw new BuildError(
      `the sources have changed since they were compiled, and ${dist} cannot be written (${caught.code}): ` +
        'run `npm run setup` as a user who may, or where there is room',
      { cause: caught },
    );
  } finally {
    release();
  }
}

function isCurrent(root, thorough) {
  const tree = readTree(root);
  if (tree === undefined) return true;
  const record = readRecord(root);
  if (record === undefined || record.compiler !== tree.compiler || record.links !== tree.links.join('\n'))
    return false;
  const known = Object.entries(record.sources);
  if (known.length !== tree.sources.size) return false;
  for (const [path, { state }] of known) if (tree.sources.get(path) !== state) return false;
  return (
    !thorough || known.every(([path, { size }]) => lstatOf(outputOf(join(root, 'dist'), path))?.size === size)
  );
}

/** Whether every source has the text that was compiled, whatever its time of change is. */
function holdsSameTexts(root) {
  const tree = readTree(root);
  const record = readRecord(root);
  if (record === undefined || record.links !== tree.links.join('\n')) return false;
  if (Object.keys(record.sources).length !== tree.sources.size) return false;
  return [...tree.sources.keys()].every(
    (path) => record.sources[path]?.digest === digestOf(readFileSync(join(root, path), 'utf8')),
  );
}

function readRecord(root) {
  try {
    return JSON.parse(readFileSync(join(root, 'dist', RECORD), 'utf8'));
  } catch (caught) {
    if (caught.code === 'ENOENT' || caught instanceof SyntaxError) return undefined;
    throw caught;
  }
}

/**
 * States are taken before files are read: a file that is written meanwhile has another state at the next
 * start.
 */
async function bringUpToDate(root, dist) {
  const tree = readTree(root);
  const last = readRecord(root);
  const record = { compiler: tree.compiler, links: tree.links.join('\n'), sources: {} };
  const written = [];
  for (const [path, state] of tree.sources) {
    const text = readFileSync(join(root, path), 'utf8');
    const digest = digestOf(text);
    const before = last?.compiler === tree.compiler ? last.sources[path] : undefined;
    if (before?.digest === digest && lstatOf(outputOf(dist, path))?.size === before.size) {
      record.sources[path] = { ...before, state };
      continue;
    }
    // A source that does not compile ends this before anything has changed.
    const compile = await loadCompiler();
    const code = Buffer.from(await compile(path, text));
    record.sources[path] = { state, digest, size: code.length };
    written.push([path, code]);
  }
  rmSync(join(dist, RECORD), { force: true });
  removeOthers(dist, tree);
  for (const path of tree.links) placeLink(root, dist, path);
  for (const [path, code] of written) place(outputOf(dist, path), (file) => writeFileSync(file, code));
  place(join(dist, RECORD), (file) => writeFileSync(file, JSON.stringify(record)));
  return written.length;
}

const digestOf = (text) => createHash('sha256').update(text).digest('hex').slice(0, 32);

/**
 * Loaded only when there is something to compile; a package of it may be newer in the lock file than on the
 * disk.
 */
async function loadCompiler() {
  try {
    return (await import('./compile.mjs')).compile;
  } catch (caught) {
    if (caught.code !== 'ERR_MODULE_NOT_FOUND') throw caught;
    throw new BuildError(
      'the sources have changed, and a package that compiles them is not installed: run `npm run setup`',
      {
        cause: caught,
      },
    );
  }
}

const outputOf = (dist, path) => join(dist, path.replace(/\.ts$/, '.js'));

/**
 * Removes everything that is no part of this build, links first: a write must never follow a link of an older
 * build into the sources.
 */
function removeOthers(dist, { sources, links }) {
  const files = new Set([...sources.keys()].map((path) => path.replace(/\.ts$/, '.js')));
  const linked = new Set(links);
  const folders = new Set([...files, ...links].flatMap(foldersOf));
  const walk = (folder) => {
    for (const entry of readdirSync(join(dist, folder), { withFileTypes: true })) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (folder === '' && entry.name.startsWith('.')) continue;
      const belongs = entry.isSymbolicLink()
        ? linked.has(path)
        : entry.isDirectory()
          ? folders.has(path)
          : files.has(path);
      if (!belongs) rmSync(join(dist, path), { recursive: true, force: true });
      else if (entry.isDirectory()) walk(path);
    }
  };
  walk('');
}

function foldersOf(path) {
  const names = path.split('/').slice(0, -1);
  return names.map((_, index) => names.slice(0, index + 1).join('/'));
}

function placeLink(root, dist, path) {
  const link = join(dist, path);
  const target = relative(dirname(link), join(root, path));
  if (lstatOf(link)?.isSymbolicLink() && readlinkSync(link) === target) return;
  place(link, (file) => symlinkSync(target, file));
}

/** What `make` makes under a name of its own appears under the right one at once. */
function place(path, make) {
  const file = `${path}.${randomUUID()}`;
  mkdirSync(dirname(path), { recursive: true });
  try {
    make(file);
    renameSync(file, path);
  } catch (caught) {
    rmSync(file, { force: true });
    throw caught;
  }
}

const lstatOf = (path) => lstatSync(path, { throwIfNoEntry: false });
