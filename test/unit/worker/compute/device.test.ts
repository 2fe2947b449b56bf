import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeterministic } from '../../../../core/system/device-class.ts';
import type { CudaDevice } from '../../../../core/tensor/device-facts.ts';
import {
  describeDevice,
  deviceClass,
  instructionSet,
  KERNEL_VARIABLES,
  kernelSettings,
  nativeEnvironment,
} from '../../../../worker/compute/device.ts';
import { proveDevice } from '../../../../worker/compute/prove.ts';

const avx512 = ['avx', 'avx2', 'avx512f', 'avx512bw', 'avx512vl', 'avx512dq'];

test('the instruction set is the highest level whose every part is there', () => {
  assert.equal(instructionSet('x64', new Set([...avx512, 'amx_tile'])), 'amx');
  assert.equal(instructionSet('x64', new Set(avx512)), 'avx512');
  assert.equal(instructionSet('x64', new Set(avx512.filter((flag) => flag !== 'avx512dq'))), 'avx2');
  assert.equal(instructionSet('x64', new Set(['avx'])), 'avx');
  assert.equal(instructionSet('x64', new Set()), 'sse4');
  assert.equal(instructionSet('arm64', new Set()), 'arm64');
});

const parts: Parameters<typeof deviceClass>[0] = {
  kind: 'cpu',
  instructions: 'avx512',
  caches: '32K+1M+32M',
  threads: 1,
  tensorflowVersion: '2.21.0',
  graphs: 'as-recorded',
  kernels: null,
  gpu: undefined,
  settings: {},
};

const H200: CudaDevice = {
  name: 'NVIDIA H200',
  computeCapability: '9.0',
  multiprocessors: 132,
  memoryBytes: 150_754_820_096,
  uuid: 'GPU-1',
  driver: '570.86.15',
  cuda: '12.8',
  cudnn: '9.28.0',
  cublas: '12.9.3',
};
const gpu = { ...parts, kind: 'cuda', gpu: H200, settings: kernelSettings({}, true) };

test('the class of a CPU names instructions, caches, threads, library and oneDNN', () => {
  assert.equal(deviceClass(parts), 'cpu/avx512/32K+1M+32M/threads=1/tf=2.21.0/onednn=1');
});

test('the class of a GPU names model, size, driver, libraries and whether it is deterministic, and nothing of the host', () => {
  const expected =
    'cuda/NVIDIA-H200/sm_90/sms=132/driver=570.86.15/cudnn=9.28.0/cublas=12.9.3/tf=2.21.0/tf32=0/deterministic=1';
  assert.equal(deviceClass(gpu), expected);
  assert.equal(deviceClass({ ...gpu, threads: 8, caches: '', instructions: 'avx2', kernels: 'x' }), expected);
  assert.equal(
    deviceClass({ ...gpu, gpu: undefined, settings: {} }),
    'cuda/?/sm_?/sms=?/driver=?/cudnn=?/cublas=?/tf=2.21.0/tf32=library/deterministic=0/TF_CUDNN_USE_AUTOTUNE=/CUBLAS_WORKSPACE_CONFIG=',
  );
});

test('whatever changes the bits changes the class', () => {
  const cpuChanges = [
    { instructions: 'avx2' },
    { caches: '32K+512K+32M' },
    { threads: 2 },
    { tensorflowVersion: '2.15.1' },
    { graphs: 'optimised' as const },
    { kernels: '1f2e3d4c' },
    ...['TF_ENABLE_ONEDNN_OPTS', 'ONEDNN_MAX_CPU_ISA', 'TF_XLA_FLAGS', 'TF_DETERMINISTIC_OPS'].map(
      (name) => ({
        settings: { [name]: '0' },
      }),
    ),
  ];
  const other = (change: Partial<CudaDevice>) => ({ gpu: { ...H200, ...change } });
  const gpuChanges = [
    other({ name: 'NVIDIA H100' }),
    other({ computeCapability: '8.0' }),
    other({ multiprocessors: 16 }),
    other({ driver: '580.1' }),
    other({ cudnn: '9.1.0' }),
    other({ cublas: '12.4.0' }),
    { tensorflowVersion: '2.15.1' },
    ...KERNEL_VARIABLES.filter((name) => !name.includes('DNNL') && !name.includes('ONEDNN')).map((name) => ({
      settings: kernelSettings({ [name]: '7' }, true),
    })),
  ];
  for (const [base, changes] of [
    [parts, cpuChanges],
    [gpu, gpuChanges],
  ] as const) {
    const classes = new Set([{}, ...changes].map((change) => deviceClass({ ...base, ...change })));
    assert.equal(classes.size, changes.length + 1);
  }
});

test('a GPU is set to be deterministic, and what a person set stays', () => {
  assert.deepEqual(kernelSettings({}, false), {});
  assert.deepEqual(kernelSettings({ TF_DETERMINISTIC_OPS: '0', XLA_FLAGS: 'x' }, true), {
    TF_DETERMINISTIC_OPS: '0',
    NVIDIA_TF32_OVERRIDE: '0',
    TF_CUDNN_USE_AUTOTUNE: '0',
    CUBLAS_WORKSPACE_CONFIG: ':4096:8',
    XLA_FLAGS: 'x',
  });
  assert.equal(nativeEnvironment(1, kernelSettings({}, true)).TF_DETERMINISTIC_OPS, '1');
  // With PJRT a run says whether products may be shortened; a variable would forbid it to all.
  assert.equal('NVIDIA_TF32_OVERRIDE' in kernelSettings({}, true, 'pjrt'), false);
  assert.equal(kernelSettings({ NVIDIA_TF32_OVERRIDE: '0' }, true, 'pjrt').NVIDIA_TF32_OVERRIDE, '0');
});

test('oneDNN left alone is the same class as oneDNN switched on, which is what the worker does', () => {
  assert.equal(deviceClass(parts), deviceClass({ ...parts, settings: { TF_ENABLE_ONEDNN_OPTS: '1' } }));
  assert.equal(nativeEnvironment(1).TF_ENABLE_ONEDNN_OPTS, '1');
  assert.equal(nativeEnvironment(1, { TF_ENABLE_ONEDNN_OPTS: '0' }).TF_ENABLE_ONEDNN_OPTS, '0');
});

test('all three thread pools get the threads of the configuration', () => {
  const environment = nativeEnvironment(3);
  for (const name of ['TF_NUM_INTRAOP_THREADS', 'TF_NUM_INTEROP_THREADS', 'OMP_NUM_THREADS'])
    assert.equal(environment[name], '3');
});

test('a proved device is described with its class', () => {
  const device = describeDevice(
    {
      engine: { name: 'tensorflow', instead: undefined },
      kind: 'cpu',
      name: 'a processor',
      tensorflowVersion: '2.21.0',
      graphs: 'as-recorded',
      kernels: '1f2e3d4c',
      ranOn: 'device:CPU:0',
      variant: 'cpu',
      gpu: undefined,
      devices: [{ id: 'cpu:0', memoryBytes: undefined }],
    },
    2,
  );
  assert.match(device.deviceClass, /^cpu\/.+\/.+\/threads=2\/tf=2\.21\.0\/onednn=1\/kernels=1f2e3d4c$/);
  assert.equal(device.name, 'a processor');
  assert.ok(device.memoryBytes > 0);
});

test('a proved GPU is described with its own memory and facts', () => {
  const proof = {
    engine: { name: 'tensorflow', instead: undefined },
    kind: 'cuda',
    name: H200.name,
    tensorflowVersion: '2.21.0',
    graphs: 'optimised',
    kernels: null,
    ranOn: '/job:localhost/replica:0/task:0/device:GPU:0',
    variant: 'gpu',
    gpu: H200,
    devices: [{ id: H200.uuid, memoryBytes: H200.memoryBytes }],
  } as const;
  const device = describeDevice(proof, 2, kernelSettings({}, true));
  assert.equal(device.memoryBytes, H200.memoryBytes);
  assert.deepEqual(device.gpu, {
    uuid: 'GPU-1',
    computeCapability: '9.0',
    multiprocessors: 132,
    driver: '570.86.15',
    cudnn: '9.28.0',
    cublas: '12.9.3',
  });
});

test('where a plugin of PJRT computes, the class names it, its version, its device and its options', () => {
  const proof = {
    engine: {
      name: 'pjrt',
      platform: 'cuda',
      plugin: 'jax-cuda13-pjrt 0.11.2',
      interface: '0.115',
      deviceKind: 'NVIDIA H200',
      platformVersion: 'cuda 13000',
      devices: [{ number: 0, memoryBytes: 1e11 }],
      options: { xla_gpu_deterministic_ops: true, xla_gpu_autotune_level: 0 },
    },
    kind: 'cuda',
    name: H200.name,
    tensorflowVersion: '2.21.0',
    graphs: 'optimised',
    kernels: null,
    ranOn: 'jax-cuda13-pjrt 0.11.2: NVIDIA H200',
    variant: 'gpu',
    gpu: H200,
    devices: [{ id: H200.uuid, memoryBytes: H200.memoryBytes }],
  } as const;
  assert.equal(
    describeDevice(proof, 2).deviceClass,
    'cuda/NVIDIA-H200/sm_90/sms=132/driver=570.86.15/engine=pjrt/plugin=jax-cuda13-pjrt-0.11.2/interface=0.115/deterministic=1/xla_gpu_autotune_level=0',
  );
  assert.match(
    describeDevice(proof, 2, { NVIDIA_TF32_OVERRIDE: '1', XLA_FLAGS: '--x' }).deviceClass,
    /\/xla_gpu_autotune_level=0\/XLA_FLAGS=--x\/NVIDIA_TF32_OVERRIDE=1$/,
  );
  const engine = {
    ...proof.engine,
    platform: 'cpu',
    options: { xla_cpu_multi_thread_eigen: false },
  } as const;
  assert.match(
    describeDevice({ ...proof, engine, kind: 'cpu', gpu: undefined }, 2).deviceClass,
    /^cpu\/\w+\/cores=\d+\/engine=pjrt\/plugin=jax-cuda13-pjrt-0\.11\.2\/interface=0\.115\/xla_cpu_multi_thread_eigen=false$/,
  );
});

test('a GPU of another vendor is one, by the names that its plugin gives', () => {
  const facts = {
    ...{ name: 'pjrt' as const, plugin: 'jax-rocm7-pjrt 0.11.2', interface: '0.115' },
    ...{ deviceKind: 'AMD Instinct MI300X', platformVersion: 'rocm 70000' },
    devices: [{ number: 0, memoryBytes: 2e11 }],
    options: { xla_gpu_deterministic_ops: true, xla_gpu_autotune_level: 0 },
  };
  for (const platform of ['rocm', 'oneapi'] as const) {
    const proof = proveDevice({ ...facts, platform });
    assert.deepEqual([proof.kind, proof.name, proof.gpu], [platform, 'AMD Instinct MI300X', undefined]);
    const device = describeDevice(proof, 2);
    assert.equal(device.memoryBytes, 2e11);
    assert.deepEqual(device.devices, [], 'one device is no list');
    const devices = [2e11, 1.9e11].map((memoryBytes, number) => ({ number, memoryBytes }));
    const several = describeDevice(proveDevice({ ...facts, platform, devices }), 2);
    assert.equal(several.memoryBytes, 1.9e11, 'what fits has to fit on each');
    assert.deepEqual(several.devices, [
      { id: `${platform}:0`, memoryBytes: 2e11 },
      { id: `${platform}:1`, memoryBytes: 1.9e11 },
    ]);
    assert.equal(several.deviceClass, device.deviceClass);
    assert.equal(
      device.deviceClass,
      `${platform}/AMD-Instinct-MI300X/platform=rocm-70000/engine=pjrt/plugin=jax-rocm7-pjrt-0.11.2/interface=0.115/deterministic=1/xla_gpu_autotune_level=0`,
    );
    assert.equal(isDeterministic(device.deviceClass), true);
    assert.equal(isDeterministic(device.deviceClass.replace('deterministic=1', 'deterministic=0')), false);
  }
  const onCpu = proveDevice({ ...facts, platform: 'cpu' });
  assert.equal(onCpu.kind, 'cpu');
  assert.notEqual(onCpu.name, 'AMD Instinct MI300X');
});
