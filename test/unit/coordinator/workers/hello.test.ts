// A worker that this coordinator would misunderstand is refused in one sentence.

import assert from 'node:assert/strict';
import test from 'node:test';
import { helloOf } from '../../../../coordinator/workers/hello.ts';
import { PROTOCOL } from '../../../../core/net/protocol.ts';
import type { Hello } from '../../../../proto/gen/pocketfleet/v1/worker.ts';

const hello: Hello = {
  ...{ workerId: 'w1', incarnation: 'i', version: '9.9.9', host: 'h', pid: 1, slots: 1, leases: [] },
  device: {
    ...{ kind: 'cpu', name: 'cpu', deviceClass: 'c', tensorflowVersion: '2', threads: 1, memoryBytes: 1 },
    gpu: undefined,
  },
  ...{ metricsEndpoint: '', podUid: '', labels: {}, fleet: '', protocol: PROTOCOL },
};

test('a worker of another protocol, older or newer, is refused with both numbers', () => {
  assert.equal(helloOf(hello, 'own').workerId, 'w1');
  assert.ok(!('protocol' in helloOf(hello, 'own')));
  for (const protocol of [0, PROTOCOL + 1])
    assert.throws(() => helloOf({ ...hello, protocol }, 'own'), {
      code: 'invalidArgument',
      message: `hello.protocol: w1 (release 9.9.9) speaks protocol ${protocol} and this coordinator ${PROTOCOL}; start worker and coordinator from one release`,
    });
});
