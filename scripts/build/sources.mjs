// What a build of the tree consists of: each TypeScript file as a JavaScript file in the same place of
// `dist`, and links to all else, so that a module finds the files beside it under the same relative paths.
// Decides the list from names and file states alone.

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** The folders at the top of the tree that hold TypeScript; every other entry is one link as a whole. */
const ROOMS = ['core', 'coordinator', 'worker', 'proto', 'test', 'bench', 'scripts'];
const LEFT_OUT = ['node_modules', 'dist', 'out'];
/** On these depends what the compiler writes. */
const COMPILER = [
  'scripts/build/sources.mjs',
  'scripts/build/compile.mjs',
  'node_modules/@swc/wasm-typescript/package.json',
  'node_modules/es-module-lexer/package.json',
];

/**
 * `sources`: path of each TypeScript file with the state of the file. `links`: paths of what is linked; a
 * folder without TypeScript is one link. `compiler`: state of all that compiles. Undefined where core's
 * sources are not there: an image holds the compiled programs alone, and its first stages a few folders.
 */
export function readTree(root) {
  const found = { sources: new Map(), links: [], compiler: '' };
  for (const entry of readdirSync(root, { withFileTypes: true })) {
    const { name } = entry;
    if (name.startsWith('.') || LEFT_OUT.includes(name)) continue;
    if (!ROOMS.includes(name) || !readFolder(root, name, found)) found.links.push(name);
  }
  if (![...found.sources.keys()].some((path) => path.startsWith('core/'))) return undefined;
  found.compiler = COMPILER.map((path) => stateOf(join(root, path))).join();
  return found;
}

/** True when the folder holds TypeScript at any depth; only then its other entries are links of their own. */
function readFolder(root, folder, found) {
  const others = [];
  const before = found.sources.size;
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const { name } = entry;
    // Editors keep files of their own beside those that they edit.
    if (name.startsWith('.') || LEFT_OUT.includes(name)) continue;
    const path = `${folder}/${name}`;
    if (entry.isDirectory()) {
      if (!readFolder(root, path, found)) others.push(path);
    } else if (entry.isFile() && name.endsWith('.ts') && !name.endsWith('.d.ts')) {
      const state = stateOf(join(root, path));
      // Deleted since the folder was read.
      if (state !== '') found.sources.set(path, state);
    } else others.push(path);
  }
  const holds = found.sources.size > before;
  if (holds) found.links.push(...others);
  return holds;
}

/**
 * Changes with each write to a file: its time of change in fractions of milliseconds, and its size. Empty
 * where none is.
 */
function stateOf(path) {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats === undefined ? '' : `${stats.mtimeMs} ${stats.size}`;
}
