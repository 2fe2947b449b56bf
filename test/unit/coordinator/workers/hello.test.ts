// A worker that this coordinator would misunderstand is refused in one sentence.

import assert from 'node:assert/strict';
import test from 'node:test';
import { lookup } from '../../../../coordinator/model/persistent-map.ts';
import { helloOf } from '../../../../coordinator/workers/hello.ts';
import { PROTOCOL } from '../../../../core/net/protocol.ts';
import type { Hello } from '../../../../proto/gen/pocketfleet/v1/worker.ts';
import { handFleet } from '../../../support/hand-fleet.ts';

const hello: Hello = {
  ...{ workerId: 'w1', incarnation: 'i', version: '9.9.9', host: 'h', pid: 1, slots: 1, leases: [] },
  device: {
    ...{ kind: 'cpu', name: 'cpu', deviceClass: 'c', tensorflowVersion: '2', threads: 1, memoryBytes: 1 },
    gpu: undefined,
    devices: [],
  },
  ...{ metricsEndpoint: '', podUid: '', labels: {}, fleet: '', protocol: PROTOCOL },
};

test('all devices of a worker that has several are known by id and memory, and no more than it may have', () => {
  const devices = [
    { id: 'GPU-1', memoryBytes: 2 },
    { id: 'GPU-2', memoryBytes: 1 },
  ];
  const withDevices = (given: typeof devices) => ({ ...hello, device: { ...hello.device!, devices: given } });
  assert.deepEqual(helloOf(withDevices(devices), 'own').device?.devices, devices);
  assert.throws(() => helloOf(withDevices([{ id: 'a\nb', memoryBytes: 2 }]), 'own'), {
    code: 'invalidArgument',
  });
  const many = Array.from({ length: 65 }, (_, i) => ({ id: `GPU-${i}`, memoryBytes: 2 }));
  assert.throws(() => helloOf(withDevices(many), 'own'), { code: 'invalidArgument' });
});

test('how many devices a worker has stands in the state, where it has several', () => {
  const device = {
    name: 'H200',
    memoryBytes: 2,
    devices: ['GPU-1', 'GPU-2'].map((id) => ({ id, memoryBytes: 2 })),
  };
  const { state } = handFleet({ device }, {});
  assert.equal(lookup(state().workers, 'w1')?.deviceCount, 2);
  assert.equal(lookup(state().workers, 'w2')?.deviceCount, undefined);
});

test('a worker of another protocol, older or newer, is refused with both numbers', () => {
  assert.equal(helloOf(hello, 'own').workerId, 'w1');
  assert.ok(!('protocol' in helloOf(hello, 'own')));
  for (const protocol of [0, PROTOCOL + 1])
    assert.throws(() => helloOf({ ...hello, protocol }, 'own'), {
      code: 'invalidArgument',
      message: `hello.protocol: w1 (release 9.9.9) speaks protocol ${protocol} and this coordinator ${PROTOCOL}; start worker and coordinator from one release`,
    });
});
