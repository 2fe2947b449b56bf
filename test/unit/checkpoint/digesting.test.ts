// Digests of a large checkpoint leave the thread that sends heartbeats free, and are those of its bytes.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, test } from 'node:test';
import { createDigesting } from '../../../core/checkpoint/digesting.ts';
import { digest64, digest64Of } from '../../../core/digest.ts';
import { longestTurnMs } from '../../support/turns.ts';

const digesting = createDigesting();
after(() => digesting.close());

/** Memory that threads share, as the state of a run is: so many numbers. */
function sharedVector(length: number, seed: number): Float32Array {
  const vector = new Float32Array(new SharedArrayBuffer(length * 4));
  for (let i = 0; i < length; i++) vector[i] = Math.fround((i * seed) % 977);
  return vector;
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(Uint8Array.from(bytes)).digest('hex');

test('chunks and vectors of any size have the digests of their bytes', async () => {
  for (const length of [3, 70_000, 700_000]) {
    const vectors = [sharedVector(length, 3), sharedVector(length + 1, 7)];
    const pieces = vectors.map(({ buffer }) => new Uint8Array(buffer));
    const chunkBytes = 300_000;
    const whole = Buffer.concat(pieces);
    const expected = Array.from({ length: Math.ceil(whole.length / chunkBytes) }, (_, chunk) =>
      sha256(whole.subarray(chunk * chunkBytes, (chunk + 1) * chunkBytes)),
    );
    assert.deepEqual(await digesting.chunks(pieces, chunkBytes), expected);
    assert.deepEqual(await digesting.vectors(vectors), {
      each: vectors.map(digest64),
      state: digest64Of(vectors),
    });
  }
});

test('64 MB hold up the event loop for no more than 20 ms', async () => {
  const vector = sharedVector(16 << 20, 5);
  const startedAt = process.cpuUsage();
  sha256(new Uint8Array(vector.buffer));
  const { user, system } = process.cpuUsage(startedAt);
  assert.ok(user + system > 40_000, 'in the thread itself it would');
  const pieces = [new Uint8Array(vector.buffer)];
  const turnMs = await longestTurnMs(async () => {
    await digesting.chunks(pieces, 1 << 20);
    await digesting.vectors([vector]);
  });
  assert.ok(turnMs <= 20, `${turnMs} ms`);
});
