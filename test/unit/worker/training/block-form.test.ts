import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeBlock, encodeBlock, roundedBlock } from '../../../../worker/training/block-form.ts';

const WIDTH = 4;
const block = fc
  .tuple(
    fc.array(fc.float({ noNaN: true, min: -100, max: 100 }), { minLength: 8, maxLength: 8 }),
    fc.integer({ min: -20, max: 20 }),
  )
  .map(([values, power]) => Float32Array.from(values, (value) => value * 2 ** power));

test('whoever computes a block and whoever takes its bytes have the same bits, whatever its scale', () => {
  let halves = 0;
  fc.assert(
    fc.property(block, (values) => {
      const used = roundedBlock(values, WIDTH, 'float16');
      const { form, bytes } = encodeBlock(used, 'float16');
      if (form === 'float16') halves += 1;
      assert.equal(bytes.byteLength, (form === 'float16' ? 2 : 4) * values.length);
      const taken = decodeBlock(bytes, form, { form: 'float16', length: values.length });
      assert.deepEqual(taken, used);
      for (const [i, value] of used.entries()) {
        const row = values.subarray(i - (i % WIDTH), i - (i % WIDTH) + WIDTH);
        const largest = Math.max(...row.map(Math.abs));
        // Half of the spacing 2^-10 of the largest, or of the spacing 2^-24 where that is at least 2^-14.
        assert.ok(Math.abs(value - values[i]!) <= largest * 2 ** -11, `${value} for ${values[i]}`);
      }
      assert.deepEqual(roundedBlock(used, WIDTH, 'float16'), used, 'rounded once');
    }),
  );
  assert.ok(halves > 10, 'most scales are within the range');
});

test('a block that float16 cannot hold stays float32 as a whole', () => {
  const bad = [65_505, -1e30, Number.NaN, Number.POSITIVE_INFINITY].map((value) => [1, 2, 3, value]);
  for (const row of [...bad, [0, 0, 0, 2 ** -15]]) {
    const values = Float32Array.of(1 / 3, 1, 1, 1, ...row);
    const used = roundedBlock(values, WIDTH, 'float16');
    assert.deepEqual(used, values);
    const { form, bytes } = encodeBlock(used, 'float16');
    assert.deepEqual([form, bytes.byteLength], ['float32', 32]);
    assert.deepEqual(decodeBlock(bytes, form, { form: 'float16', length: 8 }), values);
  }
  const zeros = roundedBlock(Float32Array.of(0, -0, 0, 0, 65_504, 2 ** -24, -1, 0), WIDTH, 'float16');
  assert.equal(encodeBlock(zeros, 'float16').form, 'float16');
});

test('a stream of float32 rounds nothing, sends no float16 and takes none', () => {
  const values = Float32Array.of(0, 1, 1 / 3, -2);
  assert.equal(roundedBlock(values, WIDTH, 'float32'), values);
  const { form, bytes } = encodeBlock(Float32Array.of(0, 1, 2, 3), 'float32');
  assert.deepEqual([form, bytes.byteLength], ['float32', 16]);
  const exact = { form: 'float32', length: 4 } as const;
  assert.equal(decodeBlock(new Uint8Array(8), 'float16', exact), 'it is of float16');
  assert.equal(decodeBlock(new Uint8Array(8), 'float32', exact), 'it has 8 bytes');
  assert.equal(decodeBlock(new Uint8Array(8), 'b\n', { ...exact, form: 'float16' }), 'it is of b\\n');
  assert.equal(decodeBlock(new Uint8Array(16), 'float16', { ...exact, form: 'float16' }), 'it has 16 bytes');
  // A message lies anywhere.
  const moved = new Uint8Array(17);
  moved.set(new Uint8Array(values.buffer), 1);
  assert.deepEqual(decodeBlock(moved.subarray(1), 'float32', exact), values);
});
