// ./node bare.mjs [--plugin FILE] [--seconds 480] [--patience 1]: on a bare machine, out of the archive of pack.mjs.
// Runs our training steps on a plugin of PJRT, beside PyTorch where it is, and prints one line of JSON a part, at once.
// Each part is a process of its own with a bound, so that one that fails or hangs costs its own line alone; --patience
// multiplies the bounds. Without --plugin it takes that of the package jax-cuda13-pjrt.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const { values } = parseArgs({
  options: {
    plugin: { type: 'string' },
    seconds: { type: 'string', default: '480' },
    patience: { type: 'string', default: '1' },
    part: { type: 'string' },
    step: { type: 'string', default: '' },
    precision: { type: 'string', default: 'float32' },
    deterministic: { type: 'string', default: 'true' },
  },
});
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
if (values.part === undefined) all();
else await part().catch(refused);

/** Says what failed: a stack alone would fill the line. */
function refused(error) {
  process.stderr.write(`${error.code ? `${error.code}: ` : ''}${error.message}`);
  process.exitCode = 1;
}

/** Every part in order, until the time is over. */
function all() {
  const end = performance.now() + Number(values.seconds) * 1000;
  const plugin = values.plugin ?? installedPlugin();
  if (plugin === undefined) return say({ part: 'plugin', failed: 'no plugin: name one with --plugin FILE' });
  const steps = JSON.parse(readFileSync(join(here, 'steps.json'), 'utf8'));
  const run = (name, usual, ...argv) => {
    const left = (end - performance.now()) / 1000;
    const seconds = usual * Number(values.patience);
    const label = { part: name, ...(argv.length > 0 ? { of: argv.join(' ').replaceAll('--', '') } : {}) };
    if (left < 10) return say({ ...label, left_out: 'the time is over' });
    const child = spawnSync(
      process.execPath,
      [fileURLToPath(import.meta.url), '--part', name, '--plugin', plugin, ...argv],
      {
        encoding: 'utf8',
        timeout: Math.round(Math.min(seconds, left) * 1000),
        killSignal: 'SIGKILL',
        env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: '3' },
      },
    );
    const line = child.stdout?.trim().split('\n').at(-1);
    if (child.status === 0 && line) return say({ ...label, ...JSON.parse(line) });
    const why =
      child.error?.code === 'ETIMEDOUT'
        ? `no answer within ${Math.min(seconds, left).toFixed(0)} s`
        : (child.stderr ?? '').trim().slice(-400);
    say({ ...label, failed: why || `ended with ${child.status ?? child.signal}` });
  };
  run('plugin', 60);
  // Twice: another process has to give the same bits.
  for (let i = 0; i < 2; i++) run('golden', 120, '--step', steps[0]);
  run('resident', 60, '--step', steps[0]);
  run('torch', 60, '--step', steps[0]);
  for (const step of steps.slice(1)) {
    run('speed', 90, '--step', step);
    run('speed', 90, '--step', step, '--precision', 'bf16');
    run('torch', 120, '--step', step);
  }
  run('speed', 90, '--step', steps.at(-1), '--deterministic', 'false');
}

function installedPlugin() {
  const code =
    'import importlib.util as u; print(list(u.find_spec("jax_plugins.xla_cuda13").submodule_search_locations)[0])';
  const found = spawnSync('python3', ['-c', code], { encoding: 'utf8' });
  const file = join((found.stdout ?? '').trim(), 'xla_cuda_plugin.so');
  return found.status === 0 && existsSync(file) ? file : undefined;
}

async function part() {
  if (values.part === 'torch') return torch();
  const { openClient } = await import(join(here, 'tree/core/tensor/pjrt/client.js'));
  const client = openClient({ path: values.plugin, folder: here, options: {} });
  const facts = { platform: client.platform, interface: client.plugin.version, devices: client.devices };
  if (values.part === 'plugin')
    return say({ ...facts, version: client.platformVersion, memory: client.memory() });

  const { initialWeights } = await import(join(here, 'tree/core/nn/init.js'));
  const { stepInputs, stepNamed } = await import(join(here, 'tree/bench/gpu/steps.js'));
  const { prepared } = stepNamed(values.step);
  const arrays = stepInputs(prepared, initialWeights(prepared.layout, 1));
  const module = JSON.parse(
    readFileSync(join(here, 'steps', `${values.step}-${values.precision}.json`), 'utf8'),
  );
  const gpu = client.platform !== 'cpu';
  const options = gpu
    ? {
        xla_gpu_deterministic_ops: values.deterministic === 'true',
        xla_gpu_autotune_level: values.deterministic === 'true' ? 0 : 4,
      }
    : // A CPU is a rehearsal: the compiler at its quickest.
      { xla_backend_optimization_level: 0, xla_llvm_disable_expensive_passes: true };
  const start = performance.now();
  const program = client.compile({ what: values.step, code: module.text, options });
  const compileSeconds = (performance.now() - start) / 1000;
  const upload = (array, index) =>
    client.upload(array, module.inputs[index].element, module.inputs[index].shape);
  const vector = new Float32Array(prepared.layout.vectorCount);
  const once = (inputs) => {
    const [output] = program.run(inputs);
    output.read(vector);
    output.free();
    return createHash('sha256').update(new Uint8Array(vector.buffer)).digest('hex').slice(0, 16);
  };
  const seconds = (work, least) => {
    const begin = performance.now();
    let runs = 0;
    while (runs < 3 || performance.now() - begin < least * 1000) {
      work();
      runs++;
    }
    return (performance.now() - begin) / 1000 / runs;
  };
  const images = prepared.work.batch;
  const [weights, pixels, labels] = arrays;
  switch (values.part) {
    case 'golden': {
      const inputs = arrays.map(upload);
      const digests = new Set(Array.from({ length: 3 }, () => once(inputs)));
      const expected = new Float32Array(
        new Uint8Array(readFileSync(join(here, 'steps', `${values.step}.expected`))).buffer,
      );
      return say({
        compileSeconds,
        digests: [...digests],
        distance: distance(vector, expected),
        loss: vector.at(-3),
        expectedLoss: expected.at(-3),
      });
    }
    case 'resident': {
      const kept = upload(weights, 0);
      const fed = once(arrays.map(upload));
      const resident = once([kept, upload(pixels, 1), upload(labels, 2)]);
      const before = client.memory()?.bytesInUse;
      for (let i = 0; i < 50; i++) {
        const own = [upload(pixels, 1), upload(labels, 2)];
        once([kept, ...own]);
        for (const buffer of own) buffer.free();
      }
      return say({
        sameBits: fed === resident,
        bytesInUse: [before ?? null, client.memory()?.bytesInUse ?? null],
      });
    }
    case 'speed': {
      const kept = upload(weights, 0);
      const step = () => {
        const own = [upload(pixels, 1), upload(labels, 2)];
        once([kept, ...own]);
        for (const buffer of own) buffer.free();
      };
      once([kept, upload(pixels, 1), upload(labels, 2)]);
      const second = seconds(step, 5);
      const inputs = arrays.map(upload);
      const alone = seconds(() => program.run(inputs).map((output) => output.free()), 3);
      return say({
        compileSeconds,
        imagesPerSecond: images / second,
        onDeviceAlone: images / alone,
        ...program.bytes,
        memory: client.memory(),
      });
    }
    default:
      throw new Error(`there is no part ${values.part}`);
  }
}

/** Distance as a part of the reference's length. */
function distance(actual, reference) {
  let difference = 0;
  let length = 0;
  for (const [i, value] of reference.entries()) {
    difference += (actual[i] - value) ** 2;
    length += value ** 2;
  }
  return Math.sqrt(difference / length);
}

/** The same step in PyTorch: eager, compiled, and with automatic mixed precision. */
async function torch() {
  const { writeWork } = await import(join(here, 'tree/bench/train/work.js'));
  const { stepNamed } = await import(join(here, 'tree/bench/gpu/steps.js'));
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-torch-'));
  try {
    mkdirSync(folder, { recursive: true });
    writeWork(folder, stepNamed(values.step).prepared);
    const child = spawnSync('python3', [join(here, 'torch_gpu.py'), folder], { encoding: 'utf8' });
    if (child.status !== 0) throw new Error(child.error?.message ?? child.stderr.trim().split('\n').at(-1));
    say(JSON.parse(child.stdout.trim().split('\n').at(-1)));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
