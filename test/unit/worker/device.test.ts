import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  describeDevice,
  deviceClass,
  instructionSet,
  KERNEL_VARIABLES,
  nativeEnvironment,
} from '../../../worker/device.ts';

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
  settings: {},
};

test('the class of a CPU names instructions, caches, threads, library and oneDNN; that of a GPU only the library', () => {
  assert.equal(deviceClass(parts), 'cpu/avx512/32K+1M+32M/threads=1/tf=2.21.0/onednn=1');
  assert.equal(deviceClass({ ...parts, kind: 'cuda' }), 'cuda/tf=2.21.0');
});

test('whatever changes the bits changes the class', () => {
  const changes = [
    { instructions: 'avx2' },
    { caches: '32K+512K+32M' },
    { threads: 2 },
    { tensorflowVersion: '2.15.1' },
    { graphs: 'optimised' as const },
    { kernels: '1f2e3d4c' },
    ...KERNEL_VARIABLES.map((name) => ({ settings: { [name]: '0' } })),
  ];
  const classes = new Set([{}, ...changes].map((change) => deviceClass({ ...parts, ...change })));
  assert.equal(classes.size, changes.length + 1);
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
      kind: 'cpu',
      name: 'a processor',
      tensorflowVersion: '2.21.0',
      graphs: 'as-recorded',
      kernels: '1f2e3d4c',
    },
    2,
  );
  assert.match(device.deviceClass, /^cpu\/.+\/.+\/threads=2\/tf=2\.21\.0\/onednn=1\/kernels=1f2e3d4c$/);
  assert.equal(device.name, 'a processor');
  assert.ok(device.memoryBytes > 0);
});
