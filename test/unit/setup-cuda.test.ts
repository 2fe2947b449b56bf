// Where the loader looks for CUDA's libraries: read from the files, and shown by the loader itself on trees of small libraries.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PACKAGE_ROOT } from '../../core/system/places.ts';

interface Dynamic {
  readonly needed: readonly string[];
  readonly soname?: string;
  readonly runpath: readonly string[];
  readonly rpath: readonly string[];
}

interface ElfModule {
  readDynamic(path: string): Dynamic;
  searchFolders(path: string): string[];
  findThrough(path: string, name: string): string | undefined;
}

interface TensorflowModule {
  tensorflowPlan(of: {
    readonly root: string;
    readonly cache: string;
    readonly pins: Pins;
    readonly variant: 'cpu' | 'gpu';
  }): { readonly libraries: string; readonly identity: string };
}

interface Pins {
  readonly cuda: Readonly<Record<string, readonly { readonly version: string }[]>>;
}

interface CudaModule {
  readonly CUDA_LIBRARIES: readonly string[];
  linkCudaLibraries(deps: string): void;
  checkCudaLibraries(deps: string): void;
}

const setUp = (name: string): string => String(new URL(`../../scripts/setup/${name}`, import.meta.url));
const { readDynamic, searchFolders, findThrough } = (await import(setUp('elf.mjs'))) as ElfModule;
const { CUDA_LIBRARIES, linkCudaLibraries, checkCudaLibraries } = (await import(
  setUp('cuda.mjs')
)) as CudaModule;

const source = (name: string): string => fileURLToPath(new URL(`../fixtures/cuda/${name}`, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pocketfleet cuda $& é-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const compile = (...argv: string[]): void => {
  execFileSync(process.env.CC || 'gcc', argv);
};

test("the libraries of TensorFlow's wheel and the addon are read", () => {
  const require = createRequire(import.meta.url);
  const home = dirname(require.resolve('@tensorflow/tfjs-node-gpu/package.json'));
  const framework = readDynamic(join(home, 'deps/lib/libtensorflow_framework.so.2'));
  assert.equal(framework.soname, 'libtensorflow_framework.so.2');
  assert(framework.needed.includes('libc.so.6'));
  const cc = join(home, 'deps/lib/libtensorflow_cc.so.2');
  assert.equal(readDynamic(cc).soname, 'libtensorflow_cc.so.2');
  assert(readDynamic(cc).runpath.some((name) => name.startsWith('$ORIGIN/')));
  assert.equal(findThrough(cc, 'libtensorflow_framework.so.2') !== undefined, true);
  const [napi] = readdirSync(join(home, 'lib'));
  const addon = readDynamic(join(home, 'lib', napi!, 'tfjs_binding.node'));
  assert.deepEqual(addon.runpath, ['$ORIGIN/../../deps/lib']);
  assert(addon.needed.includes('libtensorflow_cc.so.2'));
});

test('DT_RPATH counts only where there is no DT_RUNPATH, and $ORIGIN is the folder of the path', () => {
  const made = (flag: string, name: string): string => {
    const path = join(folder, name);
    const folders = ['$ORIGIN/a', '$'.concat('{ORIGIN}/b'), '/c', '$LIB/d'].join(':');
    compile(
      '-shared',
      '-fPIC',
      `-Wl,--${flag}-new-dtags,-rpath,${folders},-soname,s`,
      source('opener.c'),
      '-o',
      path,
    );
    return path;
  };
  const [neu, old] = [made('enable', 'new.so'), made('disable', 'old.so')];
  assert.deepEqual([readDynamic(neu).rpath, readDynamic(old).runpath], [[], []]);
  assert.equal(readDynamic(neu).soname, 's');
  for (const path of [neu, old]) assert.deepEqual(searchFolders(path), [`${folder}/a`, `${folder}/b`, '/c']);
  const elsewhere = mkdtempSync(join(folder, 'else-'));
  symlinkSync(neu, join(elsewhere, 'link.so'));
  assert.equal(searchFolders(join(elsewhere, 'link.so'))[0], `${elsewhere}/a`);
});

test('what is no ELF file for 64 bits is refused by name, and a damaged one too', () => {
  const good = join(folder, 'good.so');
  compile('-shared', '-fPIC', source('opener.c'), '-o', good);
  const bytes = readFileSync(good);
  const refused = (content: Buffer | string, sentence: RegExp): void => {
    const path = join(folder, 'bad.so');
    writeFileSync(path, content);
    assert.throws(
      () => readDynamic(path),
      (error: Error) => error.message.startsWith(path) && sentence.test(error.message),
    );
  };
  const changed = (at: number, value: number): Buffer => {
    const copy = Buffer.from(bytes);
    copy[at] = value;
    return copy;
  };
  refused('', /shorter than a header/);
  refused('INPUT(libx.so.1) '.repeat(9), /is no ELF file/);
  refused(changed(4, 1), /is not for 64 bits/);
  refused(changed(5, 2), /is big-endian/);
  refused(changed(56, 0), /has no program headers/);
  refused(changed(39, 0xff), /ends before its own tables/);
  for (let length = 64; length < 1200; length += 100)
    refused(bytes.subarray(0, length), /ends before its own tables|no table of names|no dynamic section/);
  const program = join(folder, 'static.o');
  compile('-c', source('opener.c'), '-o', program);
  refused(readFileSync(program), /no program headers|no dynamic section/);
});

/** A tree as CUDA's wheels make it: each library in a folder of its own, of which the opener's list forgets `forgotten`. */
function makeTree(deps: string, forgotten: readonly string[]): void {
  const homes = {
    cublas: ['libcublasLt.so.12', 'libcublas.so.12'],
    cuda_runtime: ['libcudart.so.12'],
    cudnn: ['libcudnn.so.9'],
    cufft: ['libcufft.so.11'],
    nvjitlink: ['libnvJitLink.so.12'],
    cusparse: ['libcusparse.so.12'],
    cusolver: ['libcusolver.so.11'],
    nccl: ['libnccl.so.2'],
  };
  const at = (home: string, name: string): string => join(deps, 'nvidia', home, 'lib', name);
  const needs: Readonly<Record<string, readonly string[]>> = {
    'libcusparse.so.12': [at('nvjitlink', 'libnvJitLink.so.12')],
    'libcusolver.so.11': [at('cusparse', 'libcusparse.so.12'), at('nvjitlink', 'libnvJitLink.so.12')],
  };
  const runpath = (flag: string) => `-Wl,--no-as-needed,--enable-new-dtags,-rpath,${flag}`;
  for (const [home, names] of Object.entries(homes))
    for (const name of names) {
      mkdirSync(dirname(at(home, name)), { recursive: true });
      const own = runpath('$ORIGIN/../../cusparse/lib:$ORIGIN/../../nvjitlink/lib');
      const argv = ['-shared', '-fPIC', '-x', 'c', '/dev/null', '-x', 'none', own, `-Wl,-soname,${name}`];
      compile(...argv, '-Wl,--allow-shlib-undefined', ...(needs[name] ?? []), '-o', at(home, name));
    }
  mkdirSync(join(deps, 'lib'));
  const searched = [...Object.keys(homes), 'nvshmem'].filter((home) => !forgotten.includes(home));
  // As TensorFlow's build writes it: in no order, also for another layout, and each folder again and again.
  const list = [...searched, ...searched.reverse()].flatMap((home) => [
    `$ORIGIN/../../nvidia/${home}/lib`,
    `$ORIGIN/../nvidia/${home}/lib`,
  ]);
  const opener = join(deps, 'lib/libtensorflow_framework.so.2');
  compile(
    '-shared',
    '-fPIC',
    source('opener.c'),
    runpath(list.join(':')),
    '-Wl,-soname,libtensorflow_framework.so.2',
    '-o',
    opener,
  );
}

/** What the real loader does not find there. */
function lost(deps: string): string[] {
  const program = join(deps, 'main');
  const opener = join(deps, 'lib/libtensorflow_framework.so.2');
  compile(source('opener-main.c'), opener, '-Wl,-rpath,$ORIGIN/lib', '-o', program);
  const env = { ...process.env, LD_LIBRARY_PATH: '' };
  return execFileSync(program, CUDA_LIBRARIES, { encoding: 'utf8', env }).split('\n').filter(Boolean);
}

test('a library that the list of folders forgets is linked to where it is searched, and then found with its own needs', () => {
  const deps = join(folder, 'deps');
  makeTree(deps, ['cusolver', 'nvjitlink']);
  assert.deepEqual(lost(deps), ['libcusolver.so.11']);
  assert.throws(
    () => checkCudaLibraries(deps),
    /lib\/libtensorflow_framework\.so\.2 does not find libcusolver\.so\.11 \(it looks in .*: TensorFlow would use no GPU/,
  );
  linkCudaLibraries(deps);
  const link = join(deps, 'nvidia/cusparse/lib/libcusolver.so.11');
  assert.equal(readlinkSync(link), '../../cusolver/lib/libcusolver.so.11');
  assert.deepEqual(lost(deps), []);
  checkCudaLibraries(deps);
  linkCudaLibraries(deps); // Nothing is left to do.

  // The tree may be moved, and may consist of links to a cache on another file system.
  const moved = join(folder, 'moved');
  renameSync(deps, moved);
  const linked = join(folder, 'linked');
  for (const entry of readdirSync(moved, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) continue;
    const path = join(entry.parentPath ?? entry.path, entry.name);
    const target = join(linked, path.slice(moved.length));
    mkdirSync(dirname(target), { recursive: true });
    symlinkSync(path, target);
  }
  rmSync(join(linked, 'main'));
  for (const tree of [moved, linked]) {
    assert.deepEqual(lost(tree), []);
    checkCudaLibraries(tree);
  }

  // What is gone is named, also when only another library needs it.
  rmSync(join(moved, 'nvidia/nvjitlink/lib/libnvJitLink.so.12'));
  assert.throws(
    () => checkCudaLibraries(moved),
    /nvidia\/cusparse\/lib\/libcusparse\.so\.12 does not find libnvJitLink\.so\.12/,
  );
  for (const name of ['libcudnn.so.9', 'libcusolver.so.11']) {
    const [home] = readdirSync(join(moved, 'nvidia')).filter((home) =>
      readdirSync(join(moved, 'nvidia', home, 'lib')).includes(name),
    );
    rmSync(join(moved, 'nvidia', home!, 'lib', name));
    assert.throws(
      () => checkCudaLibraries(moved),
      new RegExp(`does not find ${name.replaceAll('.', '\\.')}`),
    );
  }
});

test("another version of one of CUDA's libraries is another folder of the cache, for the CUDA build alone", async () => {
  const { tensorflowPlan } = (await import(setUp('tensorflow.mjs'))) as TensorflowModule;
  const pins = JSON.parse(readFileSync(join(PACKAGE_ROOT, 'scripts/setup/pins.json'), 'utf8')) as Pins;
  const [platform, [first, ...others]] = Object.entries(pins.cuda)[0]!;
  const changed = { ...pins, cuda: { [platform]: [{ ...first!, version: '0' }, ...others] } };
  const plan = (variant: 'cpu' | 'gpu', of: Pins) =>
    tensorflowPlan({ root: PACKAGE_ROOT, cache: folder, pins: of, variant });
  if (platform !== `${process.platform}-${process.arch}`) return;
  assert.notEqual(plan('gpu', pins).libraries, plan('gpu', changed).libraries);
  assert.notEqual(plan('gpu', pins).identity, plan('gpu', changed).identity);
  assert.deepEqual(plan('cpu', pins), plan('cpu', changed));
});
