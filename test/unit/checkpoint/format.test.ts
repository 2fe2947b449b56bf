import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint } from '../../../core/checkpoint/format.ts';
import { digest64 } from '../../../core/digest.ts';
import { FleetError } from '../../../core/errors.ts';
import { type StateVectors, stateDigest, vectorNamed } from '../../../core/state-vectors.ts';

const WEIGHTS = Float32Array.of(1, -0, 1e-45);
const MOMENTUM = Float32Array.of(0.5, Number.NaN, Infinity);

const stateOf = (values: Readonly<Record<string, Float32Array>> = {}): StateVectors =>
  Object.entries({ weights: WEIGHTS, momentum: MOMENTUM, running: Float32Array.of(0, 1), ...values }).map(
    ([name, own]) => ({ name, values: own }),
  );

const checkpoint = (): Checkpoint => ({
  vectors: stateOf(),
  spec: { name: 'a', kind: 'teacher' },
  network: { kind: 'pocketnet', genotype: { normal: [] } },
  preprocessing: { mean: 127.5, scale: 1 / 128 },
  step: 123,
  epoch: 2,
  stage: 2,
  deviceClass: 'cpu avx2 threads=1 tf=2.21',
});

test('a checkpoint survives the format bit for bit', () => {
  const { weightsDigest, ...read } = decodeCheckpoint(encodeCheckpoint(checkpoint()));
  assert.deepEqual(read, checkpoint());
  assert.ok(Object.is(vectorNamed(read.vectors, 'weights')[1], -0));
  assert.equal(weightsDigest, digest64(WEIGHTS));
});

test('equal states give equal bytes, whatever the order of keys', () => {
  const other = { ...checkpoint(), spec: { kind: 'teacher', name: 'a' } };
  assert.deepEqual(encodeCheckpoint(other), encodeCheckpoint(checkpoint()));
});

test('a state without batch normalisation has an empty running vector', () => {
  const state = { ...checkpoint(), vectors: stateOf({ running: new Float32Array(0) }) };
  assert.equal(vectorNamed(decodeCheckpoint(encodeCheckpoint(state)).vectors, 'running').length, 0);
});

test('damage is dataLoss that says what is wrong', () => {
  const bytes = encodeCheckpoint(checkpoint());
  const lost = (damaged: Uint8Array, pattern: RegExp): void =>
    assert.throws(
      () => decodeCheckpoint(damaged),
      (error) => error instanceof FleetError && error.code === 'dataLoss' && pattern.test(error.message),
    );
  lost(bytes.subarray(0, -1), /complete checkpoint/);
  lost(bytes.subarray(0, 4), /complete checkpoint/);
  const replaced = (from: string, to: string): Uint8Array =>
    Buffer.from(Buffer.from(bytes).toString('latin1').replace(from, to), 'latin1');
  lost(replaced('checkpoint.v1', 'checkpoint.v9'), /format/);
  lost(replaced('"stage"', '"stagg"'), /stage/);
  const flipped = bytes.slice();
  flipped[bytes.length - (3 + 3 + 2) * 4]! ^= 1;
  lost(flipped, /its weights have digest [0-9a-f]{16}, its metadata names [0-9a-f]{16}/);
});

test('momentum of another length than the weights is refused', () => {
  assert.throws(
    () => encodeCheckpoint({ ...checkpoint(), vectors: stateOf({ momentum: new Float32Array(2) }) }),
    /3 weights have 2 momenta/,
  );
});

test('a checkpoint that was written before vectors had names is read, and written again to the same bytes', () => {
  const bytes = readFileSync(new URL('../../fixtures/checkpoint/sgd-v1.safetensors', import.meta.url));
  const { weightsDigest, ...read } = decodeCheckpoint(bytes);
  assert.deepEqual(
    read.vectors.map(({ name, values }) => [name, values.length]),
    [
      ['weights', 13],
      ['momentum', 13],
      ['running', 5],
    ],
  );
  // What that release wrote into the metadata of this state.
  assert.equal(weightsDigest, 'd9ca56a9fa2e3aa6');
  assert.equal(stateDigest(read.vectors), '900736cb5e8c6086');
  assert.deepEqual([read.step, read.epoch, read.stage, read.labelMap], [10, 1, 1, '0-9']);
  assert.deepEqual(Buffer.from(encodeCheckpoint(read)), bytes);
});

test('a state of six vectors survives the format in its order, and one that lacks a vector is refused', () => {
  const names = ['alphas', 'adam_first', 'adam_second'];
  const more = names.map((name, i) => [name, Float32Array.of(i, i + 0.5)] as const);
  const vectors = stateOf(Object.fromEntries(more));
  const bytes = encodeCheckpoint({ ...checkpoint(), vectors });
  const read = decodeCheckpoint(bytes);
  assert.deepEqual(read.vectors, vectors);
  assert.notEqual(stateDigest(read.vectors), stateDigest(vectors.slice(0, 3)));
  const text = Buffer.from(bytes).toString('latin1').replace('"adam_first":', '"adam_fifth":');
  assert.throws(() => decodeCheckpoint(Buffer.from(text, 'latin1')), {
    code: 'dataLoss',
    message: /tensor adam_first is missing/,
  });
});
