import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseDevice } from '../../../../worker/compute/device-choice.ts';
import { relevantLines } from '../../../../worker/compute/missing-gpu.ts';

const GPU = { name: 'NVIDIA H200', uuid: 'GPU-1', parts: [] };
const parts: Parameters<typeof chooseDevice>[0] = {
  wanted: 'auto',
  gpus: [],
  visible: undefined,
  driver: false,
  plugin: false,
  cpuLibraryChosen: false,
  memoryShare: 0,
};

test('auto needs a GPU where the machine lists one, unless CUDA_VISIBLE_DEVICES hides all', () => {
  assert.deepEqual(chooseDevice(parts), {
    gpu: false,
    required: undefined,
    environment: {},
  });
  const listed = { ...parts, gpus: [GPU] };
  assert.equal(chooseDevice(listed).required, 'nvidia-smi lists NVIDIA H200');
  assert.equal(chooseDevice({ ...listed, visible: '0' }).gpu, true);
  // A device that is not there is a mistake, and no wish for the CPU.
  assert.ok(chooseDevice({ ...listed, visible: '7' }).required);
  for (const visible of ['', ' ', '-1', '-1,0', 'NoDevFiles']) {
    const { gpu, required } = chooseDevice({ ...listed, visible });
    assert.deepEqual([gpu, required], [false, undefined], visible);
  }
});

test('auto takes the CPU where a person chose its library', () => {
  const { gpu, required } = chooseDevice({ ...parts, gpus: [GPU], cpuLibraryChosen: true });
  assert.deepEqual([gpu, required], [false, undefined]);
  assert.ok(chooseDevice({ ...parts, wanted: 'gpu', gpus: [GPU], cpuLibraryChosen: true }).required);
});

test('a driver without nvidia-smi, or a plugin of PJRT for GPUs, may bring one, which auto does not insist on', () => {
  for (const there of [{ driver: true }, { plugin: true }]) {
    const { gpu, required, environment } = chooseDevice({ ...parts, ...there, memoryShare: 0.45 });
    assert.deepEqual([gpu, required], [true, undefined]);
    assert.deepEqual(environment, { POCKETFLEET_GPU_MEMORY_SHARE: '0.45' });
  }
});

test('gpu needs one everywhere, cpu hides all of them', () => {
  for (const gpus of [[], [GPU]])
    for (const cpuLibraryChosen of [false, true]) {
      assert.ok(chooseDevice({ ...parts, wanted: 'gpu', gpus, cpuLibraryChosen }).required);
      assert.deepEqual(chooseDevice({ ...parts, wanted: 'cpu', gpus, cpuLibraryChosen, visible: '0' }), {
        gpu: false,
        required: undefined,
        environment: { CUDA_VISIBLE_DEVICES: '-1' },
      });
    }
});

test("the library's lines that tell why it has no GPU are quoted without time and place, each once", () => {
  const log = `2026-11-28 15:00:00.123456: I external/local_xla/xla/tsl/platform/default/dso_loader.cc:71] Successfully opened dynamic library libcudart.so.12
2026-11-28 15:00:00.123456: W external/local_xla/xla/tsl/platform/default/dso_loader.cc:84] Could not load dynamic library 'libcusolver.so.11'; dlerror: libcusolver.so.11: cannot open shared object file
W0000 00:00:1795885572.128511   23242 gpu_device.cc:2342] Cannot dlopen some GPU libraries.
Skipping registering GPU devices...
Skipping registering GPU devices...
`;
  assert.deepEqual(relevantLines(log), [
    "Could not load dynamic library 'libcusolver.so.11'; dlerror: libcusolver.so.11: cannot open shared object file",
    'Cannot dlopen some GPU libraries.',
    'Skipping registering GPU devices...',
  ]);
});
