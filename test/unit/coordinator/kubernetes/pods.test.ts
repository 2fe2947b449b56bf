import assert from 'node:assert/strict';
import test from 'node:test';
import type { V1Pod } from '@kubernetes/client-node';
import { inputsFrom, verdictOf } from '../../../../coordinator/kubernetes/pods.ts';
import type { WorkerState } from '../../../../coordinator/model/state.ts';

const pod = (rest: Partial<V1Pod>): V1Pod => ({
  ...rest,
  metadata: { name: 'w-0', uid: 'u', ...rest.metadata },
});
const worker = (id: string, podUid: string, state: WorkerState['state'] = 'attached') =>
  ({ id, podUid, state, incarnation: `of ${id}` }) as WorkerState;

test('a pod that waits or runs says nothing', () => {
  assert.equal(verdictOf(pod({})), undefined);
  assert.equal(verdictOf(pod({ status: { phase: 'Pending' } })), undefined);
  const notReady = { type: 'Ready', status: 'False' };
  assert.equal(verdictOf(pod({ status: { phase: 'Running', conditions: [notReady] } })), undefined);
  const spared = { type: 'DisruptionTarget', status: 'False' };
  assert.equal(verdictOf(pod({ status: { phase: 'Running', conditions: [spared] } })), undefined);
});

test('a pod that is deleted, evicted or has ended is told apart, with what Kubernetes says of it', () => {
  assert.deepEqual(verdictOf(pod({ metadata: { deletionTimestamp: new Date(0) } })), {
    kind: 'leaving',
    reason: 'its pod is being deleted',
  });
  const evicted = {
    type: 'DisruptionTarget',
    status: 'True',
    reason: 'EvictionByEvictionAPI',
    message: 'evicting',
  };
  assert.deepEqual(verdictOf(pod({ status: { phase: 'Running', conditions: [evicted] } })), {
    kind: 'leaving',
    reason: 'its pod is evicted (EvictionByEvictionAPI: evicting)',
  });
  assert.deepEqual(
    verdictOf(pod({ status: { phase: 'Failed', reason: 'Evicted', message: 'low on memory' } })),
    {
      kind: 'gone',
      reason: 'its pod ended as Failed (Evicted: low on memory)',
    },
  );
});

test('a verdict is about the worker that runs in that very pod, once, and about nobody outside of a cluster', () => {
  const verdicts = new Map([
    ['u1', { kind: 'leaving', reason: 'evicted' } as const],
    ['u2', { kind: 'gone', reason: 'deleted' } as const],
    ['', { kind: 'gone', reason: 'a pod without a uid' } as const],
  ]);
  const workers = [
    worker('w-0', 'u1'),
    worker('w-1', 'u1', 'draining'),
    worker('w-2', 'u2'),
    worker('w-3', 'u2', 'draining'),
    worker('w-4', 'u2', 'lost'),
    worker('w-5', 'u3'),
    worker('w-6', ''),
  ];
  assert.deepEqual(inputsFrom(verdicts, workers), [
    { kind: 'leaving', workerId: 'w-0', incarnation: 'of w-0', reason: 'evicted' },
    { kind: 'lost', workerId: 'w-2', incarnation: 'of w-2', cause: 'pod_ended', reason: 'deleted' },
    { kind: 'lost', workerId: 'w-3', incarnation: 'of w-3', cause: 'pod_ended', reason: 'deleted' },
  ]);
});
