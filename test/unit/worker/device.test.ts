import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeDevice, deviceClass, instructionSet, nativeEnvironment } from '../../../worker/device.ts';

const avx512 = ['avx', 'avx2', 'avx512f', 'avx512bw', 'avx512vl', 'avx512dq'];

test('the instruction set is the highest level whose every part is there', () => {
  assert.equal(instructionSet('x64', new Set([...avx512, 'amx_tile'])), 'amx');
  assert.equal(instructionSet('x64', new Set(avx512)), 'avx512');
  assert.equal(instructionSet('x64', new Set(avx512.filter((flag) => flag !== 'avx512dq'))), 'avx2');
  assert.equal(instructionSet('x64', new Set(['avx'])), 'avx');
  assert.equal(instructionSet('x64', new Set()), 'sse4');
  assert.equal(instructionSet('arm64', new Set()), 'arm64');
});

test('the class of a CPU names instructions, threads and library; that of a GPU only what its results depend on', () => {
  const parts = { instructions: 'avx512', threads: 1, tensorflowVersion: '2.21.0' };
  assert.equal(deviceClass({ kind: 'cpu', ...parts }), 'cpu/avx512/threads=1/tf=2.21.0');
  assert.equal(deviceClass({ kind: 'cuda', ...parts }), 'cuda/tf=2.21.0');
});

test('all three thread pools get the threads of the configuration', () => {
  const environment = nativeEnvironment(3);
  for (const name of ['TF_NUM_INTRAOP_THREADS', 'TF_NUM_INTEROP_THREADS', 'OMP_NUM_THREADS'])
    assert.equal(environment[name], '3');
});

test('a proved device is described with its class', () => {
  const device = describeDevice({ kind: 'cpu', name: 'a processor', tensorflowVersion: '2.21.0' }, 2);
  assert.match(device.deviceClass, /^cpu\/.+\/threads=2\/tf=2\.21\.0$/);
  assert.equal(device.name, 'a processor');
  assert.ok(device.memoryBytes > 0);
});
