// Claims about states as named vectors in a fixed order, whatever their number.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  firstMisfit,
  namesOf,
  type StateShape,
  type StateVectors,
  stateDigest,
  vectorNamed,
  withVector,
} from '../../core/state-vectors.ts';

const NAMES = ['weights', 'momentum', 'running', 'alphas', 'adam_first', 'adam_second'];
const shape: StateShape = NAMES.map((name, i) => ({ name, length: i + 2, parts: [] }));
const vectors: StateVectors = shape.map(({ name, length }) => ({
  name,
  values: new Float32Array(length).map((_, i) => length + i),
}));

test('a state fits its shape, and the first vector that does not is named with both lengths', () => {
  assert.equal(firstMisfit(shape, vectors), undefined);
  const shorter = withVector(vectors, 'alphas', new Float32Array(3));
  assert.deepEqual(firstMisfit(shape, shorter), { name: 'alphas', found: 3, expected: 5 });
  assert.deepEqual(firstMisfit(shape, vectors.slice(0, 5)), { name: 'adam_second', found: 0, expected: 7 });
  assert.deepEqual(firstMisfit(shape.slice(0, 3), vectors), { name: 'alphas', found: 5, expected: 0 });
  const swapped = [vectors[1]!, vectors[0]!, ...vectors.slice(2)];
  assert.equal(firstMisfit(shape, swapped)?.name, 'weights');
});

test('the digest of a state depends on every vector and on their order', () => {
  const digests = new Set([
    stateDigest(vectors),
    stateDigest(vectors.toReversed()),
    ...NAMES.map((name) => stateDigest(withVector(vectors, name, new Float32Array(2)))),
  ]);
  assert.equal(digests.size, 2 + NAMES.length);
});

test('a vector is found by its name, and a state without it names what it has', () => {
  assert.deepEqual([...vectorNamed(vectors, 'momentum')], [3, 4, 5]);
  assert.deepEqual(namesOf(vectors), NAMES);
  assert.throws(() => vectorNamed(vectors.slice(0, 2), 'running'), {
    message: 'a state of weights, momentum has no vector running',
  });
});
