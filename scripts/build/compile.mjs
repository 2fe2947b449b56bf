// Makes JavaScript of one TypeScript file. Types become blanks and `.ts` in the names of modules becomes
// `.js`, so each line and column of the result is that of the source: a stack trace fits both, and no source
// map is needed at run time.

import { transformSync } from '@swc/wasm-typescript';
import { init, parse } from 'es-module-lexer';
import { BuildError } from './error.mjs';

/** `path` names the file where the compiler refuses it. */
export async function compile(path, text) {
  await init;
  const code = withoutTypes(path, text);
  const places = parse(code, path)[0]
    .map((found) => (found.type === 'import-meta' ? urlName(code, found.start) : moduleName(code, found)))
    .filter((at) => at !== -1);
  // The lengths stay, so the places do.
  return places.reduce((done, at) => `${done.slice(0, at)}.js${done.slice(at + 3)}`, code);
}

function withoutTypes(path, text) {
  try {
    return transformSync(text, { mode: 'strip-only', module: true, filename: path }).code;
  } catch (caught) {
    const { startLine, startColumn, message } = caught;
    const place = startLine === undefined ? path : `${path}:${startLine}:${startColumn + 1}`;
    throw new BuildError(`${place}: ${message ?? String(caught)}`, { cause: caught });
  }
}

/** Where `.ts` stands in the name of an imported module of this tree, or -1. */
function moduleName(code, { specifier, start, end }) {
  if (!specifier?.startsWith('.') || !specifier.endsWith('.ts')) return -1;
  return code.lastIndexOf('.ts', end) < start ? -1 : code.lastIndexOf('.ts', end);
}

/**
 * The same in `new URL('./name.ts', import.meta.url)`, which is how threads and programs of this tree are
 * named.
 */
function urlName(code, at) {
  const match = /new URL\(\s*(['"`])[^'"`:\n]*(\.ts\1,\s*)$/.exec(code.slice(Math.max(0, at - 400), at));
  return match === null ? -1 : at - match[2].length;
}
