import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { digest64, digest64Of, sha256Hex } from '../../../core/digest.ts';

const bits = fc.array(fc.integer({ min: 0, max: 0xffff_ffff }), { minLength: 1, maxLength: 40 });
const floats = (words: readonly number[]): Float32Array => new Float32Array(new Uint32Array(words).buffer);

test('the digest is 16 hex digits and does not change between versions', () => {
  assert.equal(digest64(new Float32Array(0)), '0c26cdc6ee28acf0');
  assert.equal(digest64(Float32Array.from({ length: 1001 }, (_, i) => i / 8)), '16d673f13f6171ea');
});

test('one changed bit changes the digest', () => {
  fc.assert(
    fc.property(bits, fc.nat(), fc.integer({ min: 0, max: 31 }), (words, at, bit) => {
      const other = [...words];
      other[at % words.length]! ^= 1 << bit;
      assert.notEqual(digest64(floats(words)), digest64(floats(other)));
    }),
    { numRuns: 1000 },
  );
});

test('order and length count, -0 is not 0', () => {
  assert.notEqual(digest64(Float32Array.of(1, 2)), digest64(Float32Array.of(2, 1)));
  assert.notEqual(digest64(Float32Array.of(1, 2, 3, 4)), digest64(Float32Array.of(3, 4, 1, 2)));
  assert.notEqual(digest64(new Float32Array(4)), digest64(new Float32Array(6)));
  assert.notEqual(digest64(new Float32Array(4)), digest64(new Float32Array(5)));
  assert.notEqual(digest64(Float32Array.of(0)), digest64(Float32Array.of(-0)));
  assert.notEqual(
    digest64Of([Float32Array.of(1), Float32Array.of(2, 3)]),
    digest64Of([Float32Array.of(1, 2), Float32Array.of(3)]),
  );
});

test('a view is digested as its values, not as its buffer', () => {
  const whole = Float32Array.of(9, 1, 2, 3, 9);
  assert.equal(digest64(whole.subarray(1, 4)), digest64(Float32Array.of(1, 2, 3)));
});

test('a hundred thousand similar vectors have as many digests', () => {
  const seen = new Set<string>();
  const vector = new Float32Array(8);
  const words = new Uint32Array(vector.buffer);
  for (let i = 0; i < 100_000; i++) {
    words[i % 8]! += 1;
    seen.add(digest64(vector));
  }
  assert.equal(seen.size, 100_000);
});

test('SHA-256 is that of the standard', () => {
  // FIPS 180-4, the example "abc".
  assert.equal(sha256Hex('abc'), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
});
