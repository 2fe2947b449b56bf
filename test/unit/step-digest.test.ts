import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MIXING, stepDigest } from '../../core/step-digest.ts';

const floats = (words: ArrayLike<number>): Float32Array => new Float32Array(Uint32Array.from(words).buffer);

/** The definition in whole numbers of any size, a word at a time. */
function defined(words: readonly number[]): string {
  const M = 2n ** 32n;
  const unsigned = (value: number) => BigInt.asUintN(32, BigInt(value));
  const [first, second] = MIXING.rounds;
  let sum = 0n;
  let squares = 0n;
  // From the last one to the first: the order does not matter.
  for (const [i, word] of [...words.entries()].reverse()) {
    let h = BigInt(word) ^ ((BigInt(i) * unsigned(MIXING.place)) % M);
    for (const { shift, factor } of [first, second]) h = ((h ^ (h >> BigInt(shift))) * unsigned(factor)) % M;
    sum = (sum + h) % M;
    squares = (squares + h * h) % M;
  }
  const length = BigInt(words.length);
  const high = ((sum ^ length) * unsigned(first.factor)) % M;
  const low = (((squares + length) % M) * unsigned(second.factor)) % M;
  return [high, low].map((half) => half.toString(16).padStart(8, '0')).join('');
}

const bits = fc.array(fc.integer({ min: 0, max: 0xffff_ffff }), { minLength: 1, maxLength: 40 });

test('the digest is the sum that its file defines, in any order', () => {
  fc.assert(fc.property(bits, (words) => assert.equal(stepDigest(floats(words)), defined(words))));
  assert.match(stepDigest(new Float32Array(0)), /^[0-9a-f]{16}$/);
});

test('each changed bit of each word changes the digest', () => {
  const vector = Float32Array.from({ length: 257 }, (_, i) => Math.sin(i) * 1e-3);
  const words = new Uint32Array(vector.buffer);
  const seen = new Set([stepDigest(vector)]);
  for (let place = 0; place < words.length; place++)
    for (let bit = 0; bit < 32; bit++) {
      words[place]! ^= 1 << bit;
      seen.add(stepDigest(vector));
      words[place]! ^= 1 << bit;
    }
  assert.equal(seen.size, 1 + 257 * 32);
});

test('two changed words: the same bit of both, and two that change places', () => {
  const vector = Float32Array.from({ length: 600 }, (_, i) => Math.sin(i) * 1e-3);
  const words = new Uint32Array(vector.buffer);
  const seen = new Set([stepDigest(vector)]);
  let count = 1;
  for (let a = 0; a < words.length; a += 3)
    for (let b = a + 1; b < words.length; b += 7) {
      for (const bit of [0, 31]) {
        words[a]! ^= 1 << bit;
        words[b]! ^= 1 << bit;
        seen.add(stepDigest(vector));
        words[a]! ^= 1 << bit;
        words[b]! ^= 1 << bit;
      }
      [words[a], words[b]] = [words[b]!, words[a]!];
      seen.add(stepDigest(vector));
      [words[a], words[b]] = [words[b]!, words[a]!];
      count += 3;
    }
  assert.equal(seen.size, count);
});

test('length counts, -0 is not 0, and a view is its values', () => {
  assert.notEqual(stepDigest(new Float32Array(4)), stepDigest(new Float32Array(5)));
  assert.notEqual(stepDigest(Float32Array.of(0)), stepDigest(Float32Array.of(-0)));
  const whole = Float32Array.of(9, 1, 2, 3, 9);
  assert.equal(stepDigest(whole.subarray(1, 4)), stepDigest(Float32Array.of(1, 2, 3)));
});
