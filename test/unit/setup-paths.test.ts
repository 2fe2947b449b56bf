// Set-up in folders as people name them, and for users other than the one who sets up.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { PACKAGE_ROOT } from '../../core/system/places.ts';
import { type Ending, startProgram } from '../support/processes.ts';

const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-paths-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Stands for npm: notes what the build's tools are given and leaves an addon of one line. */
const NPM = `
import { mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
const { PATH, TMPDIR, npm_config_nodedir, npm_config_devdir } = process.env;
const real = (path) => path === undefined ? undefined : realpathSync(path);
writeFileSync(process.env.SEEN, JSON.stringify({
  argv: process.argv.slice(2),
  given: [process.cwd(), PATH.split(':')[0], npm_config_nodedir, npm_config_devdir].filter(Boolean),
  programs: readdirSync(PATH.split(':')[0]),
  headers: real(npm_config_devdir),
  includes: real('deps/include'),
  libraries: real('deps/lib'),
  sources: readFileSync('binding.gyp', 'utf8').match(/binding\\/[^']+/g).every((path) => readFileSync(path).length > 0),
}));
mkdirSync('lib/napi-v8', { recursive: true });
writeFileSync('lib/napi-v8/tfjs_binding.node', 'built');
`;

const npm = join(folder, 'npm-cli.mjs');
writeFileSync(npm, NPM);
const script = join(folder, 'build.mjs');
writeFileSync(
  script,
  'const { buildAddon } = await import(process.argv[2]); await buildAddon(JSON.parse(process.argv[3]));',
);

interface Seen {
  readonly argv: readonly string[];
  readonly given: readonly string[];
  readonly programs: readonly string[];
  readonly headers: string;
  readonly includes: string;
  readonly libraries: string;
  readonly sources: boolean;
}

/** Builds the addon where the cache, the home, the checkout and the folder for temporary files lie beneath `place`. */
async function build(
  place: string,
  temporary: string,
): Promise<{ ending: Ending; output: string; addon: string; seen: Seen }> {
  const [cache, home, checkout, seen] = ['cache', 'home', 'checkout', 'seen.json'].map((name) =>
    join(place, name),
  );
  const libraries = join(cache!, 'pocketfleet/libtensorflow');
  for (const path of [
    home!,
    temporary,
    join(libraries, 'lib'),
    join(libraries, 'include'),
    join(checkout!, 'core/tensor'),
  ])
    mkdirSync(path, { recursive: true });
  symlinkSync(join(PACKAGE_ROOT, 'core/tensor/native'), join(checkout!, 'core/tensor/native'));
  symlinkSync(join(PACKAGE_ROOT, 'node_modules'), join(checkout!, 'node_modules'));
  const addon = join(cache!, 'pocketfleet/addon/tfjs_binding.node');
  const require = createRequire(import.meta.url);
  const packageFolder = dirname(require.resolve('@tensorflow/tfjs-node-gpu/package.json'));
  const plan = {
    cache: join(cache!, 'pocketfleet'),
    root: checkout,
    folder: packageFolder,
    binding: join(packageFolder, 'lib/napi-v8/tfjs_binding.node'),
    libraries,
    addon,
    facts: join(dirname(addon), 'kernels.json'),
  };
  const module = String(new URL('../../scripts/setup/addon.mjs', import.meta.url));
  const program = startProgram(process.execPath, [script, module, JSON.stringify(plan)], {
    env: { HOME: home, XDG_CACHE_HOME: cache, TMPDIR: temporary, npm_execpath: npm, SEEN: seen, CXX: 'true' },
  });
  const ending = await program.ended;
  const noted = existsSync(seen!) ? (JSON.parse(readFileSync(seen!, 'utf8')) as Seen) : undefined;
  assert(noted !== undefined, program.output());
  assert.equal(noted.includes, realpathSync(join(libraries, 'include')));
  assert.equal(noted.libraries, realpathSync(join(libraries, 'lib')));
  assert.equal(noted.headers, realpathSync(join(cache!, 'node-gyp')));
  // Nothing of the build is left beside what was built.
  assert.deepEqual(readdirSync(plan.cache).sort(), ['addon', 'libtensorflow']);
  assert(!existsSync(noted.given[0]!), 'the folder of the build is gone');
  return { ending, output: program.output(), addon, seen: noted };
}

const ODD = [
  'with space',
  'ümläut 中文',
  `quo'te`,
  'quo"te',
  'dollar $HOME',
  'a;b&c',
  '(x) [y]',
  'hash#%41',
  'col:on',
  'back\\slash',
  'tab\there',
];

test('whatever the folders are called, the build of the addon is given paths of plain characters', async () => {
  const places = ODD.map((name) => ({ place: join(folder, name), temporary: join(folder, name, 'tmp') }));
  // Where only the cache has such a name, the folder for temporary files takes the build.
  places.push({ place: join(folder, 'cache alone'), temporary: join(folder, 'tmp') });
  // Two at a time, as many as the machine has cores.
  for (let i = 0; i < places.length; i += 2)
    await Promise.all(
      places.slice(i, i + 2).map(async ({ place, temporary }) => {
        const { ending, output, addon, seen } = await build(place, temporary);
        assert.equal(ending.code, 0, output);
        assert.equal(readFileSync(addon, 'utf8'), 'built', place);
        assert(existsSync(join(dirname(addon), 'kernels.json')));
        for (const path of seen.given) assert.match(path, /^[A-Za-z0-9/._-]+$/, place);
        assert(seen.programs.includes('node-pre-gyp') && seen.sources, place);
        if (temporary === join(folder, 'tmp')) assert(seen.given[0]!.startsWith(realpathSync(temporary)));
      }),
    );
  const plain = await build(join(folder, 'plain'), join(folder, 'with space', 'tmp'));
  assert(
    plain.seen.given[0]!.startsWith(realpathSync(join(folder, 'plain/cache'))),
    'a plain cache takes the build itself',
  );
});

/** A wheel in which each file has the mode that it is named after, as pip's builders leave them. */
const WHEEL = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w') as wheel:
    def add(name, mode, text=''):
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        wheel.writestr(info, text)
    for mode in (0o100744, 0o100700, 0o100600, 0o100755, 0o100644, 0o100000, 0):
        add('odd/bin/deep/%o' % mode, mode)
    add('odd-1.0.dist-info/METADATA', 0o100644, 'Metadata-Version: 2.1\\nName: odd\\nVersion: 1.0\\n')
    add('odd-1.0.dist-info/WHEEL', 0o100644, 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    add('odd-1.0.dist-info/RECORD', 0o100644, '')
`;

test('what is unpacked may be read by everybody, and executed by everybody where its owner may', async () => {
  const wheels = join(folder, 'wheels');
  mkdirSync(wheels);
  const wheel = join(wheels, 'odd-1.0-py3-none-any.whl');
  execFileSync('python3', ['-c', WHEEL, wheel]);
  const pin = {
    package: 'odd',
    version: '1.0',
    platforms: ['any'],
    sha256: createHash('sha256').update(readFileSync(wheel)).digest('hex'),
  };
  const cache = join(folder, 'private cache');
  const target = join(cache, 'unpacked');
  const unpacking = join(folder, 'unpack.mjs');
  writeFileSync(
    unpacking,
    `process.umask(0o077);
    const { unpackWheels } = await import(process.argv[2]);
    await unpackWheels(JSON.parse(process.argv[3]));`,
  );
  const unpack = {
    wheels: [{ pin, members: { 'odd/': 'nvidia/' } }],
    target,
    cache,
    needBytes: 1,
  };
  const module = String(new URL('../../scripts/setup/wheels.mjs', import.meta.url));
  const program = startProgram(process.execPath, [unpacking, module, JSON.stringify(unpack)], {
    env: { PIP_NO_INDEX: '1', PIP_FIND_LINKS: wheels, PIP_CONFIG_FILE: '/dev/null' },
  });
  assert.equal((await program.ended).code, 0, program.output());
  const mode = (path: string): string => (statSync(path).mode & 0o7777).toString(8);
  const deep = join(target, 'nvidia/bin/deep');
  assert.deepEqual(Object.fromEntries(readdirSync(deep).map((name) => [name, mode(join(deep, name))])), {
    '100744': '755',
    '100700': '755',
    '100755': '755',
    '100600': '644',
    '100644': '644',
    '100000': '644',
    '0': '644',
  });
  for (const path of [target, join(target, 'nvidia'), join(target, 'nvidia/bin'), deep])
    assert.equal(mode(path), '755', path);
});
