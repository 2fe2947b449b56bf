// npm run test:gpu [-- --plugin=cpu]: what must hold on real GPUs, by each engine. Every check skips with its reason where something is
// missing: GPUs, a plugin, a second device. --plugin=cpu rehearses the checks of PJRT by the plugin for the CPU.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Measurement, measured } from '../../bench/gpu/request.ts';
import { listGpus, usableDevices } from '../../core/system/gpus.ts';
import { PACKAGE_ROOT } from '../../core/system/places.ts';
import { installedFor } from '../../core/tensor/pjrt/binding.ts';
import { startFleet } from '../support/fleet.ts';

const isRehearsal = process.argv.includes('--plugin=cpu');
const gpus = usableDevices(listGpus(), process.env.CUDA_VISIBLE_DEVICES);
const ENGINES = ['pjrt', 'tensorflow'] as const;
type EngineName = (typeof ENGINES)[number];
/** A compiler takes minutes for a step, and longer where other programs want the processor. */
const BOUND_SECONDS = 1200;

/** Why a check does not run; false where it does. */
function skipOf(engine: EngineName, devices = 1): string | false {
  if (engine === 'pjrt' && installedFor(!isRehearsal) === undefined)
    return `no plugin of PJRT for ${isRehearsal ? 'CPUs' : 'GPUs'} is set up`;
  if (isRehearsal)
    return engine === 'pjrt' && devices === 1
      ? false
      : 'the rehearsal has the plugin for the CPU and one device';
  return gpus.length >= devices
    ? false
    : `nvidia-smi lists ${gpus.length} usable GPUs, and ${devices} are needed`;
}

const skipOnCpu = (engine: EngineName, devices = 1): string | false =>
  skipOf(engine, devices) || (isRehearsal && 'only a GPU shows this');

/** The step that is compared. */
const STEP = isRehearsal ? 'tiny-2' : 'S-128-64';

function measureOn(engine: EngineName, gpu: string | undefined, more: { readonly step?: string } = {}) {
  const platform = isRehearsal ? 'cpu' : (installedFor(true)?.platform ?? 'cuda');
  const request = {
    ...{
      engine,
      platform,
      step: STEP,
      precision: 'float32' as const,
      deterministic: true,
      runs: 3,
      seconds: 0,
    },
    ...more,
  };
  return measured(request, { gpu, seconds: BOUND_SECONDS });
}

function digestsOf(measurement: Measurement): readonly string[] {
  if (measurement.failed !== undefined) assert.fail(JSON.stringify(measurement.failed));
  return measurement.digests;
}

const TINY_RUN = (workers: number) => `
kind: candidate
name: on-${workers}
network: { kind: pocketnet, channels: 8, layers: 8, embedding: 64, genotype: casia }
data: { kind: synthetic, identities: 8, images: 8, holdout: 2, seed: 5 }
training: { epochs: 4, batch: 16, shards: 8, seed: 7, optimizer: { learningRate: 0.05 } }
verification: { pairs: 40 }
workers: { min: ${workers}, max: ${workers} }
`;

for (const engine of ENGINES) {
  test(`${engine}: each GPU is found, proved by a product, and computes a step`, {
    skip: skipOf(engine),
  }, () => {
    for (const gpu of isRehearsal ? [undefined] : gpus) {
      const measurement = measureOn(engine, gpu);
      digestsOf(measurement);
      console.log(`${engine} on ${gpu ?? 'the CPU'}: ${JSON.stringify(measurement)}`);
    }
  });

  test(`${engine}: three runs and two processes have one digest`, { skip: skipOf(engine) }, () => {
    const digests = [0, 1].flatMap(() => digestsOf(measureOn(engine, gpus[0])));
    assert.equal(digests.length, 6);
    assert.equal(new Set(digests).size, 1, digests.join());
  });

  test(`${engine}: two GPUs of one model have one digest`, { skip: skipOf(engine, 2) }, () => {
    const names = listGpus().map(({ name }) => name);
    assert.equal(names[0], names[1], 'the first two GPUs are of one model');
    const digests = gpus.slice(0, 2).flatMap((gpu) => digestsOf(measureOn(engine, gpu)));
    assert.equal(new Set(digests).size, 1, digests.join());
  });

  test(`${engine}: the numbers of the reference in float32`, { skip: skipOnCpu(engine) }, () => {
    const file = join(PACKAGE_ROOT, 'test/golden/main.ts');
    const argv = ['--import', import.meta.resolve('tsx'), file, '--brief', `--engine=${engine}`];
    const { status, stdout } = spawnSync(process.execPath, argv, { encoding: 'utf8', maxBuffer: 1 << 26 });
    const failed = stdout.split('\n').filter((line) => line.endsWith('FAIL'));
    assert.deepEqual(failed, []);
    assert.equal(status, 0);
  });

  test(`${engine}: a step that does not fit is refused as memory`, { skip: skipOnCpu(engine) }, () => {
    // Activations of some 100 MB an image: above a terabyte.
    const { failed } = measureOn(engine, gpus[0], { step: 'IResNet-100-16384' });
    assert.equal(failed?.code, 'resourceExhausted', failed?.message);
  });

  test(`${engine}: one, two, four and eight workers have one digest`, {
    skip: skipOnCpu(engine, 2),
  }, async () => {
    const fleet = await startFleet({
      workers: [],
      worker: { POCKETFLEET_ENGINE: engine, POCKETFLEET_DEVICE: 'gpu' },
    });
    try {
      const digests = new Map<number, string>();
      for (const [index, gpu] of gpus.slice(0, 8).entries()) {
        process.env.CUDA_VISIBLE_DEVICES = gpu;
        await fleet.startWorker(`w${index + 1}`, 600_000);
        const workers = index + 1;
        if (![1, 2, 4, 8].includes(workers)) continue;
        const { runIds } = await fleet.submit(TINY_RUN(workers));
        digests.set(workers, (await fleet.finished(runIds[0]!, 1_200_000)).weightsDigest);
      }
      console.log(engine, [...digests]);
      assert.equal(new Set(digests.values()).size, 1);
    } finally {
      await fleet.stop();
    }
  });
}

test('the plain demo ends on this machine', { skip: skipOnCpu('tensorflow') }, () => {
  const argv = [join(PACKAGE_ROOT, 'bin/pocketfleet.mjs'), 'demo'];
  const { status, stdout, stderr } = spawnSync(process.execPath, argv, {
    encoding: 'utf8',
    timeout: BOUND_SECONDS * 1000,
    maxBuffer: 1 << 26,
  });
  assert.equal(status, 0, `${stdout.slice(-2000)}${stderr.slice(-2000)}`);
});
