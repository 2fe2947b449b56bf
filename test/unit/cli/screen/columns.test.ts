// What the column DEVICE of `pocketfleet workers` shows of one device and of several.

import assert from 'node:assert/strict';
import test from 'node:test';
import { WORKER_COLUMNS } from '../../../../coordinator/cli/screen/columns.ts';
import type { Worker } from '../../../../proto/gen/pocketfleet/v1/fleet.ts';
import { worker } from '../messages.ts';

const shown = (some: Partial<Worker>): string =>
  WORKER_COLUMNS.find(({ head }) => head === 'DEVICE')!.cell(worker(some));
const gpu = {
  ...{ uuid: 'GPU-1', computeCapability: '9.0', multiprocessors: 132 },
  ...{ driver: '580.1', cudnn: '', cublas: '' },
};
const h200 = { deviceName: 'NVIDIA H200', memoryBytes: 150e9, gpu };
const several = (...ids: string[]) => ids.map((id) => ({ id, memoryBytes: 150e9 }));

test('one GPU is named with its memory, one CPU by its class; several are counted, and named by id', () => {
  assert.equal(shown({}), 'cpu/avx512/1/2.21.0');
  assert.equal(shown(h200), 'NVIDIA H200 (139.7 GiB, sm_90, driver 580.1)');
  assert.equal(
    shown({ ...h200, devices: several('GPU-1', 'GPU-2') }),
    '2 x NVIDIA H200 (139.7 GiB each, sm_90, driver 580.1): GPU-1 GPU-2',
  );
  assert.equal(shown({ devices: several('cpu:0', 'cpu:1') }), '2 x cpu/avx512/1/2.21.0: cpu:0 cpu:1');
});
