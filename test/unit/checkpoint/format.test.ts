import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint } from '../../../core/checkpoint/format.ts';
import { digest64 } from '../../../core/digest.ts';
import { FleetError } from '../../../core/errors.ts';

const checkpoint = (): Checkpoint => ({
  weights: Float32Array.of(1, -0, 1e-45),
  momentum: Float32Array.of(0.5, Number.NaN, Infinity),
  running: Float32Array.of(0, 1),
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
  assert.ok(Object.is(read.weights[1], -0));
  assert.equal(weightsDigest, digest64(checkpoint().weights));
});

test('equal states give equal bytes, whatever the order of keys', () => {
  const other = { ...checkpoint(), spec: { kind: 'teacher', name: 'a' } };
  assert.deepEqual(encodeCheckpoint(other), encodeCheckpoint(checkpoint()));
});

test('a state without batch normalisation has an empty running vector', () => {
  const read = decodeCheckpoint(encodeCheckpoint({ ...checkpoint(), running: new Float32Array(0) }));
  assert.equal(read.running.length, 0);
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
    () => encodeCheckpoint({ ...checkpoint(), momentum: new Float32Array(2) }),
    /3 weights have 2 momenta/,
  );
});
