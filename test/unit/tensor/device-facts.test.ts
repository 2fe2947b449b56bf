// What CUDA's libraries report of the devices, through the addon: with stub libraries, so that no test
// machine needs a GPU.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { DeviceFacts } from '../../../core/tensor/device-facts.ts';
import { CUDA_LIBRARIES, stubCuda } from '../../support/cuda-stub.ts';
import { startTypeScript } from '../../support/processes.ts';

const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-device-facts-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const DOOR = fileURLToPath(new URL('./device-facts-process.ts', import.meta.url));

/** Output of a process that finds these libraries, once for each environment. */
async function facts(
  libraries: Parameters<typeof stubCuda>[1],
  environments: readonly Record<string, string>[],
): Promise<DeviceFacts[]> {
  const env = stubCuda(mkdtempSync(join(folder, 'lib-')), libraries);
  const program = startTypeScript(DOOR, [JSON.stringify(environments)], {
    env: { ...env, CUDA_VISIBLE_DEVICES: '' },
  });
  assert.deepEqual(await program.ended, { code: 0, signal: null }, program.output());
  // The library's own messages are on stderr, in between.
  const answers = program.output().match(/^\{.*\}/gm) ?? [];
  assert.equal(answers.length, environments.length, program.output());
  return answers.map((answer) => JSON.parse(answer) as DeviceFacts);
}

const STUB = {
  name: 'Stub H200',
  computeCapability: '9.0',
  multiprocessors: 132,
  memoryBytes: 150_754_820_096,
  uuid: 'GPU-a0a0a0a0-a0a0-a0a0-a0a0-a0a0a0a0a0a0',
  driver: '570.86.15',
  cuda: '12.8',
  cudnn: '9.28.0',
  cublas: '12.9.3',
};

test('each device has its name, size, identity and the versions of the libraries that drive it', async () => {
  const name = 'NVIDIA GeForce RTX™ 5090';
  const [one, two, mig, none, hidden] = await facts(CUDA_LIBRARIES, [
    {},
    { STUB_DEVICES: '2', STUB_NAME: name },
    { STUB_MIG: '1' },
    { STUB_DEVICES: '0' },
    { STUB_CU_INIT: '100' },
  ]);
  assert.deepEqual(one, { devices: [STUB] });
  assert.deepEqual(
    two?.devices.map((device) => [device.name, device.uuid]),
    [
      [name, STUB.uuid],
      [name, 'GPU-a1a1a1a1-a1a1-a1a1-a1a1-a1a1a1a1a1a1'],
    ],
  );
  assert.equal(mig?.devices[0]?.uuid, 'MIG-b0b0b0b0-b0b0-b0b0-b0b0-b0b0b0b0b0b0');
  assert.deepEqual(none, { devices: [], reason: 'libcuda.so.1 shows no device' });
  assert.deepEqual(hidden, {
    devices: [],
    reason: 'cuInit: CUDA_ERROR_NO_DEVICE (no CUDA-capable device is detected)',
  });
});

const skip = existsSync('/proc/driver/nvidia/version')
  ? "the loader finds the libraries of this machine's NVIDIA driver"
  : false;

test('a library that is missing is named by the loader', { skip }, async () => {
  const [bare] = await facts(['libcuda.so.1'], [{}]);
  const { driver, cudnn, cublas, ...rest } = STUB;
  assert.deepEqual(bare?.devices, [rest]);
  assert.match(bare?.reason ?? '', /^libnvidia-ml\.so\.1: .*TensorFlow finds no GPU without it/);
});

test('without a driver there is no device, and the loader says which library is missing', {
  skip,
}, async () => {
  const [answer] = await facts(['libcudnn.so.9'], [{}]);
  assert.deepEqual(answer?.devices, []);
  assert.match(answer?.reason ?? '', /^libcuda\.so\.1: cannot open shared object file/);
});
