// The imports of the tree, read from its text. Decides what counts as an import: static ones, those of types,
// dynamic ones, `require`, and the start of a thread or process by `new URL('./name.ts', ...)`. Every check
// is a pure function of texts, so that a test can add a wrong module and see that it is found.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { PACKAGE_ROOT } from '../../core/system/places.ts';

/** Text of each module by its path from the root. */
export type Texts = ReadonlyMap<string, string>;

export interface Import {
  /** Path of a module of the tree, or the name of a package. */
  readonly to: string;
  /**
   * `type`: gone when compiled. `load`: runs in the same thread. `start`: runs in a thread or process of its
   * own.
   */
  readonly kind: 'type' | 'load' | 'start';
}

export type Imports = ReadonlyMap<string, readonly Import[]>;

/** The modules beneath these folders of the tree: TypeScript, whatever form the test itself runs in. */
export function textsOf(folders: readonly string[]): Texts {
  const files = folders.flatMap((folder) =>
    readdirSync(join(PACKAGE_ROOT, folder), { recursive: true, encoding: 'utf8' }).map((file) =>
      join(folder, file),
    ),
  );
  const modules = files.filter((file) => file.endsWith('.ts'));
  return new Map(modules.map((file) => [file, readFileSync(join(PACKAGE_ROOT, file), 'utf8')]));
}

/** The same text without comments: lines that begin one, and what follows code on its line. */
export function codeOf(text: string): string {
  return text.replace(/^\s*\/\*[\s\S]*?\*\/|(^|\s)\/\/ .*$/gm, '');
}

const IMPORT = /^\s*(?:import|export) (type )?(?:[^'";]*? from )?'([^']+)'/gm;
const DYNAMIC = /\bimport\(\s*'([^']+)'\s*\)/g;
const REQUIRE = /\b(?:createRequire\([^)]*\)|require)\(\s*'([^']+)'\s*\)/g;
const START = /\bnew URL\(\s*'(\.[^']+\.ts)'/g;

export function importsOf(texts: Texts): Imports {
  return new Map(
    [...texts].map(([file, text]) => {
      const code = codeOf(text);
      const found = (expression: RegExp, kindOf: (match: RegExpMatchArray) => Import['kind']) =>
        [...code.matchAll(expression)].map((match) => {
          const name = match.at(-1)!;
          return {
            to: name.startsWith('.') ? normalize(join(dirname(file), name)) : name,
            kind: kindOf(match),
          };
        });
      return [
        file,
        [
          ...found(IMPORT, (match) => (match[1] === undefined ? 'load' : 'type')),
          ...found(DYNAMIC, () => 'load'),
          ...found(REQUIRE, () => 'load'),
          ...found(START, () => 'start'),
        ],
      ];
    }),
  );
}

/**
 * The first way from a module to an import that `isWanted`, each module of it in order; undefined when there
 * is none.
 */
export function wayTo(
  imports: Imports,
  from: string,
  isWanted: (to: string) => boolean,
  kinds: readonly Import['kind'][] = ['load', 'start'],
): readonly string[] | undefined {
  const ways: string[][] = [[from]];
  const seen = new Set([from]);
  for (const way of ways)
    for (const { to, kind } of imports.get(way.at(-1)!) ?? []) {
      if (!kinds.includes(kind)) continue;
      if (isWanted(to)) return [...way, to];
      if (seen.has(to)) continue;
      seen.add(to);
      ways.push([...way, to]);
    }
  return undefined;
}

/**
 * One way around from each module that lies on a circle, imports of every kind counted. Modules that import
 * none of those left, or that none of those left imports, lie on no circle: taking them away again and again
 * leaves little to search.
 */
export function circlesOf(imports: Imports): readonly (readonly string[])[] {
  const left = new Map([...imports].map(([file, list]) => [file, list.map(({ to }) => to)]));
  for (let size = -1; size !== left.size; ) {
    size = left.size;
    for (const [file, list] of left) if (!list.some((to) => left.has(to))) left.delete(file);
    const imported = new Set([...left.values()].flat());
    for (const file of left.keys()) if (!imported.has(file)) left.delete(file);
  }
  return [...left.keys()].flatMap((file) => {
    const way = wayTo(imports, file, (to) => to === file, ['type', 'load', 'start']);
    return way === undefined ? [] : [way];
  });
}
