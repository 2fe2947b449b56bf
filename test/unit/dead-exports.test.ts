// Every exported value has an importer: what nobody imports is dead, or it is used in its own file alone and needs no export.
// Types are left out, since an exported function's signature names them whether or not somebody imports them.

import { deepEqual, ok } from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { PACKAGE_ROOT } from '../../core/system/places.ts';

const ROOMS = ['core', 'coordinator', 'worker'];
const IMPORTERS = [...ROOMS, 'test', 'bench', 'scripts'];
/** `path name` of a value that no file of this tree imports, each with the reason why it is exported. */
const ALLOWED: ReadonlySet<string> = new Set([]);

const EXPORTED = /^export (?:async )?(?:function\*?|const|let|class) (\w+)/gm;
const IMPORTED = /(?:import|export) (?:type )?\{([^}]*)\} from '(\.[^']+)'/g;
const WHOLE = /(?:import|export) \* as \w+ from '(\.[^']+)'|import\('(\.[^']+)'\)/g;

test('no file exports a value that no other file imports', () => {
  const files = IMPORTERS.flatMap(sourcesOf);
  ok(files.length > 500, `${files.length} files`);
  const texts = new Map(files.map((file) => [file, readFileSync(file, 'utf8')]));
  const imported = new Set<string>();
  for (const [file, text] of texts) {
    const target = (path: string) => resolve(file, '..', path);
    for (const [, names, path] of text.matchAll(IMPORTED))
      for (const name of names!.split(','))
        imported.add(
          `${target(path!)} ${
            name
              .trim()
              .replace(/^type /, '')
              .split(' as ')[0]
          }`,
        );
    for (const [, module, lazy] of text.matchAll(WHOLE)) imported.add(`${target(module ?? lazy!)} *`);
  }
  const dead = ROOMS.flatMap(sourcesOf).flatMap((file) =>
    [...texts.get(file)!.matchAll(EXPORTED)]
      .map(([, name]) => `${file} ${name}`)
      .filter((value) => !imported.has(value) && !imported.has(`${file} *`)),
  );
  deepEqual(
    dead.map((value) => value.slice(PACKAGE_ROOT.length + 1)).filter((value) => !ALLOWED.has(value)),
    [],
  );
});

function sourcesOf(room: string): string[] {
  return readdirSync(join(PACKAGE_ROOT, room), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|mjs)$/.test(entry.name))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}
