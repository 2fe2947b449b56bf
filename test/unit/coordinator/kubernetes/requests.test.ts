// How requests to Kubernetes count.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiException } from '@kubernetes/client-node';
import { observedRequests } from '../../../../coordinator/kubernetes/requests.ts';
import type { KubernetesRequest } from '../../../../core/metrics/coordinator-catalogue.ts';

test('each request is seen once, by how it ended, and its answer or error is passed on', async () => {
  const seen: KubernetesRequest[] = [];
  const ask = observedRequests((request) => seen.push(request));
  assert.equal(await ask('list', 'pods', async () => 'answer'), 'answer');
  const failures: readonly (readonly [unknown, KubernetesRequest['outcome']])[] = [
    [new ApiException(404, 'absent', {}, {}), 'missing'],
    [new ApiException(409, 'changed', {}, {}), 'conflict'],
    [new ApiException(403, 'forbidden', {}, {}), 'refused'],
    [new ApiException(503, 'busy', {}, {}), 'failed'],
    [new Error('connect ECONNREFUSED'), 'failed'],
  ];
  for (const [failure] of failures)
    await assert.rejects(
      ask('update', 'leases', () => Promise.reject(failure)),
      (caught) => caught === failure,
    );
  assert.deepEqual(
    seen.map(({ verb, resource, outcome }) => `${verb} ${resource} ${outcome}`),
    ['list pods ok', ...failures.map(([, outcome]) => `update leases ${outcome}`)],
  );
});
