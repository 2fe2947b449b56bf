// Which libtensorflow set-up chooses for the GPUs and the driver of a machine: a table of decisions, and the real questions to a
// stub of nvidia-smi on PATH.

import assert from 'node:assert/strict';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { findNatsServer } from '../../core/net/nats-binary.ts';
import { PACKAGE_ROOT } from '../../core/system/places.ts';
import { stubCuda } from '../support/cuda-stub.ts';
import { isRunning, type Program, startProgram, until } from '../support/processes.ts';
import { copySetUp } from '../support/setup-tree.ts';

interface Gpu {
  readonly name: string;
  readonly driver?: string;
  readonly capability?: string;
}

interface DriverModule {
  judge(gpus: readonly Gpu[]): { refusal?: string; usable?: boolean; note?: string };
  chooseVariant(options: {
    readonly chosen?: string;
    readonly kernelDriver?: boolean;
    readonly deadlineMs?: number;
  }): Promise<{ variant: string; note?: string }>;
}

const { judge, chooseVariant } = (await import(
  String(new URL('../../scripts/setup/driver.mjs', import.meta.url))
)) as DriverModule;

const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-driver-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const gpu = (name: string, driver: string | undefined, capability: string | undefined): Gpu => ({
  name,
  ...(driver === undefined ? {} : { driver }),
  ...(capability === undefined ? {} : { capability }),
});

test('a driver is new enough from 525 on, for sm_90 from 555 and from sm_100 on from 570', () => {
  const needs = (capability: string): number =>
    [500, 524, 525, 554, 555, 569, 570, 999].find(
      (major) => judge([gpu('X', `${major}.41.03`, capability)]).refusal === undefined,
    )!;
  const table = [
    ['6.0', 525],
    ['6.1', 525],
    ['7.0', 525],
    ['7.5', 525],
    ['8.0', 525],
    ['8.6', 525],
    ['8.9', 525],
    ['9.0', 555],
    ['10.0', 570],
    ['10.3', 570],
    ['12.0', 570],
    ['13.0', 570],
  ] as const;
  for (const [capability, driver] of table) assert.equal(needs(capability), driver, capability);
});

test('a driver that is too old is refused with what was found, what is needed and what to do', () => {
  assert.equal(
    judge([
      gpu('NVIDIA H200', '550.54.15', '9.0'),
      gpu('NVIDIA A100-SXM4-40GB', '550.54.15', '8.0'),
      gpu('NVIDIA H200', '550.54.15', '9.0'),
      gpu('NVIDIA B200', '550.54.15', '10.0'),
    ]).refusal,
    '2 x NVIDIA H200 (sm_90) and NVIDIA B200 (sm_100) need NVIDIA driver 570 or newer, and 550.54.15 is installed: install a newer driver',
  );
});

test('what nvidia-smi does not tell is named, and refused only where that decides', () => {
  assert.deepEqual(judge([gpu('X', '570.86', '[N/A]')]), { usable: true });
  assert.deepEqual(judge([gpu('X', '535.86', '[N/A]')]), {
    usable: true,
    note: 'nvidia-smi does not tell the compute capability of X; driver 535.86 is enough up to sm_89',
  });
  assert.match(judge([gpu('X', '560.86', undefined)]).note ?? '', /enough up to sm_90$/);
  assert.match(judge([gpu('X', '470.86', undefined)]).refusal ?? '', /^X needs NVIDIA driver 525 or newer/);
  for (const driver of ['[N/A]', 'garbage', '', undefined])
    assert.match(judge([gpu('X', driver, '9.0')]).refusal ?? '', /does not tell the driver's version for X/);
});

test('a GPU older than the kernels of the library is named and asks nothing of the driver', () => {
  const old = gpu('GeForce GT 730', '470.10', '3.5');
  assert.deepEqual(judge([old]), {
    usable: false,
    note: 'GeForce GT 730 (sm_35) is older than sm_60, the least that TensorFlow computes on',
  });
  assert.equal(judge([gpu('A', '535.1', '5.2'), gpu('B', '535.1', '8.6')]).usable, true);
});

let stubs = 0;

/** Puts an nvidia-smi of these lines of shell before PATH for the time of `work`. */
async function withNvidiaSmi<T>(
  { list, query }: { readonly list: string; readonly query?: string },
  work: () => Promise<T>,
): Promise<T> {
  const bin = join(folder, `bin-${stubs++}`);
  writeStub(bin, list, query);
  const { PATH, LD_LIBRARY_PATH } = process.env;
  process.env.PATH = `${bin}:${PATH}`;
  try {
    return await work();
  } finally {
    process.env.PATH = PATH;
    if (LD_LIBRARY_PATH === undefined) delete process.env.LD_LIBRARY_PATH;
    else process.env.LD_LIBRARY_PATH = LD_LIBRARY_PATH;
  }
}

function writeStub(bin: string, list: string, query = 'exit 2'): void {
  mkdirSync(bin, { recursive: true });
  const script = join(bin, 'nvidia-smi');
  writeFileSync(script, `#!/bin/sh\ncase "$1" in\n-L) ${list} ;;\n*) ${query} ;;\nesac\n`);
  chmodSync(script, 0o755);
}

const H200 = "echo 'GPU 0: NVIDIA H200 (UUID: GPU-1)'";
const choose = (options: Parameters<DriverModule['chooseVariant']>[0] = {}) =>
  chooseVariant({ chosen: '', kernelDriver: false, ...options });

test('GPUs that nvidia-smi lists get the CUDA build when the loader finds both libraries of the driver', async () => {
  const stub = { list: H200, query: "echo '570.86.15, 9.0'" };
  if (!existsSync('/proc/driver/nvidia/version')) {
    await assert.rejects(
      withNvidiaSmi(stub, () => choose()),
      /finds none without libcuda\.so\.1 \(libcuda\.so\.1: cannot open .*NVIDIA_DRIVER_CAPABILITIES=compute,utility.*POCKETFLEET_TENSORFLOW=cpu/,
    );
    await assert.rejects(
      withNvidiaSmi(stub, () => {
        Object.assign(process.env, stubCuda(join(folder, 'cuda only'), ['libcuda.so.1']));
        return choose();
      }),
      /finds none without libnvidia-ml\.so\.1/,
    );
  }
  const chosen = await withNvidiaSmi(stub, () => {
    Object.assign(process.env, stubCuda(join(folder, 'both')));
    return choose();
  });
  assert.equal(chosen.variant, 'gpu');
});

/** Set-up of a copy of the tree, on a machine whose nvidia-smi lists a GPU for which the driver is too old. */
function setUpOf(clone: string, env: Readonly<Record<string, string>> = {}): Program {
  copySetUp(clone);
  const programs = join(clone, 'programs');
  writeStub(programs, H200, "echo '550.54.15, 9.0'");
  symlinkSync(process.execPath, join(programs, 'node'));
  return startProgram(process.execPath, [join(clone, 'scripts/setup.mjs')], {
    env: {
      PATH: programs,
      HOME: clone,
      XDG_CACHE_HOME: 'not absolute',
      POCKETFLEET_TENSORFLOW: '',
      POCKETFLEET_PJRT: 'none',
      ...env,
    },
  });
}

test('a driver that is too old ends set-up before anything is asked for or downloaded', async () => {
  const clone = join(folder, 'clone');
  const setUp = setUpOf(clone);
  assert.equal((await setUp.ended).code, 1);
  assert.match(
    setUp.output(),
    /^set-up: NVIDIA H200 \(sm_90\) needs NVIDIA driver 555 or newer, and 550\.54\.15 is installed: install a newer driver, or use the CPU with `export POCKETFLEET_TENSORFLOW=cpu`$/m,
  );
  assert.deepEqual(readdirSync(join(clone, '.cache/pocketfleet')), []);
  assert(!existsSync(join(clone, 'node_modules')));
});

test('a binding of somebody else that loads is left alone, whatever the driver is', async () => {
  const clone = join(folder, 'foreign');
  const home = dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-node-gpu/package.json'));
  const placed = join(clone, 'node_modules/@tensorflow/tfjs-node-gpu');
  cpSync(join(home, 'lib'), join(placed, 'lib'), { recursive: true });
  cpSync(join(home, 'package.json'), join(placed, 'package.json'));
  cpSync(
    join(PACKAGE_ROOT, 'node_modules/.package-lock.json'),
    join(clone, 'node_modules/.package-lock.json'),
  );
  mkdirSync(join(placed, 'deps/lib'), { recursive: true });
  for (const name of readdirSync(join(home, 'deps/lib')))
    symlinkSync(join(home, 'deps/lib', name), join(placed, 'deps/lib', name));
  const setUp = setUpOf(clone, { POCKETFLEET_NATS_SERVER: findNatsServer() });
  assert.equal((await setUp.ended).code, 0, setUp.output());
  assert(!existsSync(join(placed, 'deps/origin.json')));
  assert.deepEqual(readdirSync(join(clone, '.cache/pocketfleet')), []);
});

test('a driver that does not know the question about capabilities is judged by its version', async () => {
  const query = `case "$1" in *compute_cap*) echo 'Field "compute_cap" is not a valid field to query.'; exit 2 ;; *) echo 470.82.01 ;; esac`;
  await assert.rejects(
    withNvidiaSmi({ list: H200, query }, () => choose()),
    /NVIDIA H200 needs NVIDIA driver 525 or newer, and 470\.82\.01 is installed/,
  );
});

test('a failure of nvidia-smi on a machine with a driver ends set-up with its words and a remedy', async () => {
  const fails = (words: string) => ({ list: `echo '${words}'; exit 4` });
  const cases = [
    [
      'Failed to initialize NVML: Insufficient Permissions',
      /Insufficient Permissions\): give this user access/,
    ],
    ['Failed to initialize NVML: Driver/library version mismatch', /mismatch\): restart the machine/],
    ['NVIDIA-SMI could not find libnvidia-ml.so library', /install the driver's libraries/],
    ['something new', /nvidia-smi fails with 4 \(something new\): mend the driver, or use the CPU/],
  ] as const;
  for (const [words, sentence] of cases) {
    await assert.rejects(
      withNvidiaSmi(fails(words), () => choose({ kernelDriver: true })),
      sentence,
    );
    await assert.rejects(
      withNvidiaSmi(fails(words), () => choose({ chosen: 'gpu' })),
      sentence,
    );
    const { variant, note } = await withNvidiaSmi(fails(words), () => choose());
    assert.equal(variant, 'cpu');
    assert(note?.includes(words) && note.includes('no NVIDIA driver is loaded'), note);
  }
});

test('an nvidia-smi that hangs is given up and named', async () => {
  const pidFile = join(folder, 'pid');
  const list = `echo $$ > '${pidFile}'; exec sleep 600`;
  await assert.rejects(
    withNvidiaSmi({ list }, () => choose({ deadlineMs: 3000 })),
    /nvidia-smi does not answer within 3 s: .*POCKETFLEET_TENSORFLOW=cpu/,
  );
  const pid = Number(readFileSync(pidFile, 'utf8'));
  await until('the stub is gone', () => !isRunning(pid));
});

test('garbage and lost rows are refused, a damaged board and a header are not', async () => {
  const answer = (query: string, list = H200) => withNvidiaSmi({ list, query }, () => choose());
  await assert.rejects(answer('echo hello'), /does not tell the driver's version .*\(it says "hello"\)/);
  await assert.rejects(answer('true'), /lists 1 GPUs and answers for 0/);
  await assert.rejects(answer('echo a, b, c'), /mend the driver/);
  await assert.rejects(
    answer("echo '535.1, 8.0'; echo '535.1, 9.0'", `${H200}; echo 'GPU 1: NVIDIA H200 (UUID: GPU-2)'`),
    /NVIDIA H200 \(sm_90\) needs NVIDIA driver 555/,
  );
  await assert.rejects(
    answer(
      "echo 'WARNING: infoROM is corrupted'; echo driver_version, compute_cap; echo '550.1, 9.0'; exit 14",
      `${H200}; exit 14`,
    ),
    /NVIDIA H200 \(sm_90\) needs NVIDIA driver 555/,
  );
});

test('a machine without a GPU gets the CPU build, with a note where it seems to have one', async () => {
  const none = { list: "echo 'No devices were found'" };
  assert.deepEqual(await withNvidiaSmi(none, () => choose()), {
    variant: 'cpu',
    note: 'TensorFlow for the CPU is set up: nvidia-smi lists no GPU (No devices were found)',
  });
  assert.equal((await withNvidiaSmi(none, () => choose({ chosen: 'gpu' }))).variant, 'gpu');
  assert.deepEqual(await withNvidiaSmi({ list: H200 }, () => choose({ chosen: 'cpu' })), { variant: 'cpu' });
  const { PATH } = process.env;
  process.env.PATH = folder;
  try {
    assert.deepEqual(await choose(), { variant: 'cpu' });
    assert.deepEqual(await choose({ chosen: 'gpu' }), { variant: 'gpu' }, 'an image is built without a GPU');
    assert.match((await choose({ kernelDriver: true })).note ?? '', /nvidia-smi.* is not on PATH/);
  } finally {
    process.env.PATH = PATH;
  }
  const old = { list: "echo 'GPU 0: GeForce GT 730 (UUID: GPU-1)'", query: "echo '470.10, 3.5'" };
  assert.deepEqual(await withNvidiaSmi(old, () => choose()), {
    variant: 'cpu',
    note: 'TensorFlow for the CPU is set up: GeForce GT 730 (sm_35) is older than sm_60, the least that TensorFlow computes on',
  });
  await assert.rejects(
    withNvidiaSmi(old, () => choose({ chosen: 'gpu' })),
    /GT 730 \(sm_35\) is older .*; use the CPU with `export/,
  );
  await assert.rejects(choose({ chosen: 'tpu' }), /POCKETFLEET_TENSORFLOW is "tpu"; it may be cpu or gpu/);
});
