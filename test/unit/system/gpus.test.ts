import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { type Gpu, hidesAll, parseGpuList, usableDevices } from '../../../core/system/gpus.ts';

const LISTING = `GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-5c89852c-d268-c3f3-1b07-005d5ae1dc3f)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
  MIG 3g.20gb     Device  0: (UUID: MIG-c7384736-a75d-5afc-978f-d2f1294409fd)
  MIG 1g.5gb      Device  1: (UUID: MIG-a28ad590-3fda-56dd-84fc-0a0b96edc58d)
`;
const [H100, A100] = ['GPU-5c89852c-d268-c3f3-1b07-005d5ae1dc3f', 'GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77'];
const PARTS = ['MIG-c7384736-a75d-5afc-978f-d2f1294409fd', 'MIG-a28ad590-3fda-56dd-84fc-0a0b96edc58d'];
const GPUS = parseGpuList(LISTING);

test("GPUs and their parts are read from nvidia-smi's list", () => {
  assert.deepEqual(GPUS, [
    { name: 'NVIDIA H100 80GB HBM3', uuid: H100, parts: [] },
    { name: 'NVIDIA A100-SXM4-40GB', uuid: A100, parts: PARTS },
  ] satisfies Gpu[]);
  for (const text of [
    '',
    'No devices found.\n',
    'NVIDIA-SMI has failed because it could not communicate with the driver\n',
  ])
    assert.deepEqual(parseGpuList(text), []);
});

test('a whole GPU is one device, a partitioned one is its parts', () => {
  assert.deepEqual(usableDevices(GPUS, undefined), [H100, ...PARTS]);
});

test('CUDA_VISIBLE_DEVICES chooses by number, UUID, its beginning or MIG name, up to the first that is none', () => {
  const cases: [string, string[]][] = [
    ['0', ['0']],
    ['1,0', ['1', '0']],
    [`${PARTS[1]}`, [PARTS[1]!]],
    ['GPU-5c89', ['GPU-5c89']],
    [' 0 , 1 ', ['0', '1']],
    ['0,0', ['0']],
    ['0,7,1', ['0']],
    ['0,-1,1', ['0']],
    ['', []],
    ['-1', []],
    ['NoDevFiles', []],
    ['GPU-ffff', []],
    [`MIG-${A100}/1/0`, [`MIG-${A100}/1/0`]],
  ];
  for (const [visible, devices] of cases) assert.deepEqual(usableDevices(GPUS, visible), devices, visible);
  assert.deepEqual(usableDevices([], '0'), []);
});

test('what hides every device hides it on every machine, and what may name one somewhere does not', () => {
  const cases: [string | undefined, boolean][] = [
    [undefined, false],
    ['', true],
    [' ', true],
    [',0', true],
    ['-1', true],
    ['-1,0', true],
    [' -2 ', true],
    ['NoDevFiles', true],
    ['NoDevFiles,0', true],
    ['0', false],
    ['0,-1', false],
    ['0,NoDevFiles', false],
    ['7', false],
    ['GPU-ffff', false],
    ['MIG-ffff', false],
  ];
  for (const [visible, hidden] of cases) {
    assert.equal(hidesAll(visible), hidden, visible);
    if (hidden) assert.deepEqual(usableDevices(GPUS, visible), [], visible);
  }
});

test('tests and what they start see no GPU', () => {
  const child = execFileSync(process.execPath, ['-p', 'process.env.CUDA_VISIBLE_DEVICES'], {
    encoding: 'utf8',
  });
  assert.equal(child, '-1\n', 'run this file through `npm test`, which hides them');
});
