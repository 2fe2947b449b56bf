// Checkpoints of earlier releases, which were one file each.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { decodeBlob } from '../../../core/checkpoint/blob.ts';
import { FleetError } from '../../../core/errors.ts';
import { stateDigest } from '../../../core/state-vectors.ts';

const FILE = readFileSync(new URL('../../fixtures/checkpoint/sgd-v1.safetensors', import.meta.url));

test('a checkpoint that was written before checkpoints had parts is read', () => {
  const { weightsDigest, ...read } = decodeBlob(FILE);
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
});

test('damage is dataLoss that says what is wrong', () => {
  const lost = (damaged: Uint8Array, pattern: RegExp): void =>
    assert.throws(
      () => decodeBlob(damaged),
      (error) => error instanceof FleetError && error.code === 'dataLoss' && pattern.test(error.message),
    );
  lost(FILE.subarray(0, -1), /complete checkpoint/);
  lost(FILE.subarray(0, 4), /complete checkpoint/);
  const replaced = (from: string, to: string): Uint8Array =>
    Buffer.from(FILE.toString('latin1').replace(from, to), 'latin1');
  lost(replaced('checkpoint.v1', 'checkpoint.v9'), /format/);
  lost(replaced('"stage"', '"stagg"'), /stage/);
  lost(replaced('"momentum":', '"momentun":'), /tensor momentum is missing/);
  const flipped = Uint8Array.from(FILE);
  flipped[FILE.length - (13 + 13 + 5) * 4]! ^= 1;
  lost(flipped, /its weights have digest [0-9a-f]{16}, its metadata names [0-9a-f]{16}/);
});
