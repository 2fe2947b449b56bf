import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missingKeys } from '../../../../coordinator/kubernetes/keys.ts';

const wanted = { namespace: 'faces', secret: 'auth', keys: ['token', 'nats-token'] };

test('only what is not there is missing', () => {
  assert.deepEqual(missingKeys(undefined, wanted), ['token', 'nats-token']);
  assert.deepEqual(missingKeys({}, wanted), ['token', 'nats-token']);
  assert.deepEqual(missingKeys({ data: { token: 'eA==', other: 'eA==' } }, wanted), ['nats-token']);
  assert.deepEqual(missingKeys({ data: { token: 'eA==', 'nats-token': 'eA==' } }, wanted), []);
});

test('an empty value is refused with its key: a fleet with it would ask for no token', () => {
  assert.throws(
    () => missingKeys({ data: { token: '', 'nats-token': 'eA==' } }, wanted),
    /secret auth of namespace faces has an empty value under token; give it one/,
  );
});
