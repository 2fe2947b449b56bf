// `npm run test:gpu-setup`: set-up of the CUDA build on a machine that has nvidia-smi and the driver's libraries, and no GPU: all three
// are stubs. Shows that TensorFlow finds each of its CUDA libraries and adds the device, that what is unpacked may be used by
// everybody, and that a process without a GPU computes the same bits as with the CPU build. Downloads 3 GB into a cache of its own
// and needs 9 GB of disk, so it is no part of `npm test`; a folder as argument is the cache instead, and is kept. On a machine with a GPU the real driver is better proof: run a worker there.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CUDA_LIBRARIES } from '../support/cuda-stub.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pocketfleet gpu é-'));
const clone = join(folder, 'clone');
const programs = join(folder, 'programs');
const driver = join(folder, 'driver');
const deps = join(clone, 'node_modules/@tensorflow/tfjs-node-gpu/deps');
const cache = process.argv[2] ?? join(folder, 'cache');

const say = (line: string): void => void process.stdout.write(`${line}\n`);

try {
  copyTree();
  writeNvidiaSmi();
  // Set-up takes the CUDA build where the loader finds both libraries of the driver. They show no device yet: which functions
  // TensorFlow looks up in them is known when it is there.
  compileDriver([]);
  const setUp = run(process.execPath, [join(clone, 'scripts/setup.mjs')], {
    STUB_CU_INIT: '100',
    // Another 3 GB, of which a stub shows nothing.
    POCKETFLEET_PJRT: 'none',
  });
  say(setUp.output);
  assert.equal(setUp.status, 0);
  checkModes(deps);
  say('everybody may read what was unpacked, and execute what its owner may');
  compileDriver(namesInLibrary());
  checkDeviceIsAdded();
  checkVersions();
  checkSameBits();
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** The working tree with packages of its own, as hard links, and without a binding of TensorFlow. */
function copyTree(): void {
  const left = ['.git', 'node_modules', 'dist'].map((name) => join(root, name));
  cpSync(root, clone, { recursive: true, filter: (path) => !left.includes(path) });
  execFileSync('cp', ['-al', join(root, 'node_modules'), clone]);
  for (const name of ['deps', 'lib'])
    rmSync(join(clone, 'node_modules/@tensorflow/tfjs-node-gpu', name), { recursive: true, force: true });
  rmSync(join(clone, 'node_modules/.pocketfleet-setup.json'), { force: true });
}

function writeNvidiaSmi(): void {
  mkdirSync(programs);
  const lines = [
    '#!/bin/sh',
    'case "$1" in',
    "-L) echo 'GPU 0: Stub H200 (UUID: GPU-1)' ;;",
    "*) echo '570.86.15, 9.0' ;;",
    'esac',
  ];
  writeFileSync(join(programs, 'nvidia-smi'), lines.join('\n'));
  chmodSync(join(programs, 'nvidia-smi'), 0o755);
}

/** One library under the names of the driver's two: the stub, and a function that does nothing for each of these names. */
function compileDriver(names: readonly string[]): void {
  mkdirSync(driver, { recursive: true });
  const rest = join(folder, 'rest.c');
  writeFileSync(rest, names.map((name) => `__attribute__((weak)) int ${name}() { return 0; }\n`).join(''));
  const source = fileURLToPath(new URL('./driver.c', import.meta.url));
  for (const name of CUDA_LIBRARIES.slice(0, 2)) {
    const library = join(driver, name);
    rmSync(library, { force: true });
    execFileSync(process.env.CC || 'gcc', [
      '-shared',
      '-fPIC',
      '-w',
      source,
      rest,
      '-ldl',
      `-Wl,-soname,${name}`,
      '-o',
      library,
    ]);
  }
}

/** Functions of the driver and of NVML that the library looks up by name. */
function namesInLibrary(): string[] {
  const lib = join(deps, 'lib');
  const found = new Set<string>();
  for (const name of readdirSync(lib)) {
    const argv = ['-aohE', '\\b(cu|nvml)[A-Z][A-Za-z0-9]{3,60}(_v[0-9])?\\b', join(lib, name)];
    const { stdout } = spawnSync('grep', argv, { env: { ...process.env, LC_ALL: 'C' }, maxBuffer: 1 << 28 });
    for (const line of stdout.toString('latin1').split('\n')) if (line !== '') found.add(line);
  }
  return [...found].sort();
}

function checkModes(place: string): void {
  for (const entry of readdirSync(place, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath ?? entry.path, entry.name);
    const mode = statSync(path).mode & 0o777;
    const wanted = entry.isDirectory() || (mode & 0o100) !== 0 ? 0o555 : 0o444;
    assert.equal(mode & wanted, wanted, `${path} has mode ${mode.toString(8)}`);
  }
}

function checkDeviceIsAdded(): void {
  const added = libraryMessages();
  assert.match(added, /Adding visible gpu devices: 0/);
  assert.doesNotMatch(added, /Could not load|Cannot dlopen|Skipping registering/);
  const link = join(deps, 'nvidia/cusparse/lib/libcusolver.so.11');
  const target = readlinkSync(link);
  rmSync(link);
  assert.match(
    libraryMessages(),
    /Could not load dynamic library 'libcusolver\.so\.11'[\s\S]*Skipping registering/,
  );
  symlinkSync(target, link);
}

/** What TensorFlow writes about the libraries that it opens, all of which is printed. */
function libraryMessages(): string {
  const { output } = run(process.execPath, ['-e', "require('@tensorflow/tfjs-node-gpu')"], {
    TF_CPP_MIN_LOG_LEVEL: '0',
    TF_CPP_VMODULE: 'dso_loader=2,gpu_device=1',
  });
  const lines = output
    .split('\n')
    .filter((line) => /Could not load|Cannot dlopen|Skipping|Adding visible/.test(line));
  say(lines.join('\n'));
  return output;
}

/** The stub computes nothing, so TensorFlow is shown no device here and the loader is told where its libraries are. */
function checkVersions(): void {
  const libraries = ['cudnn', 'cublas'].map((name) => join(deps, 'nvidia', name, 'lib'));
  const argv = ['--import', 'tsx', 'test/unit/tensor/device-facts-process.ts', '[{}]'];
  const { stdout, output } = run(process.execPath, argv, {
    STUB_CU_INIT: '100',
    TF_CPP_MIN_LOG_LEVEL: '2',
    LD_LIBRARY_PATH: [driver, ...libraries].join(':'),
  });
  say(stdout.trim());
  assert.match(stdout, /"cudnn":"9\.28\.0","cublas":"12\.9\.\d+"/, output);
}

/** Digests of embeddings and gradients of every kind of layer, and the class of the device, with the two builds. */
function checkSameBits(): void {
  const cases = [
    ['test/unit/nn/two-part-process.ts'],
    ['test/unit/tensor/ops/separable-process.ts'],
    ['test/gpu/device-process.ts'],
  ];
  for (const argv of cases) {
    const results = [root, clone].map((tree) => {
      const { status, stdout, output } = run(
        process.execPath,
        ['--import', 'tsx', ...argv],
        {
          CUDA_VISIBLE_DEVICES: '-1',
          // The stub of the driver hides nothing.
          LD_LIBRARY_PATH: '',
          TF_CPP_MIN_LOG_LEVEL: '2',
        },
        tree,
      );
      assert.equal(status, 0, output);
      return stdout;
    });
    assert.equal(results[1], results[0], argv.join(' '));
    assert.notEqual(results[0], '');
    say(`the same with both builds on the CPU: ${argv.join(' ')}`);
    if (argv[0]!.includes('device')) say(results[0]!.trim());
  }
}

function run(
  command: string,
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
  cwd = clone,
): { readonly status: number | null; readonly stdout: string; readonly output: string } {
  const { status, stdout, stderr } = spawnSync(command, argv, {
    cwd,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    env: {
      ...process.env,
      PATH: `${programs}:${process.env.PATH}`,
      LD_LIBRARY_PATH: driver,
      XDG_CACHE_HOME: cache,
      POCKETFLEET_TENSORFLOW: '',
      ...env,
    },
  });
  return { status, stdout, output: stdout + stderr };
}
