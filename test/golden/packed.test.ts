import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type StoredTensor, writeSafetensors } from '../../core/model/safetensors.ts';
import { packFiles, unpackFiles } from './packed.ts';

const floats = (data: Float32Array): StoredTensor => ({ dtype: 'F32', shape: [data.length], data });
const packedTensors = (tensors: ReadonlyMap<string, StoredTensor>) => {
  const bytes = writeSafetensors(tensors, { note: 'a' });
  return { bytes, packed: packFiles([{ path: 'a.safetensors', bytes }]) };
};
/** Numbers without a pattern. */
const noise = (count: number, seed: number): Float32Array => {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
};

test('whatever bits a tensor holds come back, whether others predict it or not', () => {
  const bits = fc.oneof(
    fc.integer(),
    fc.constantFrom(0, -0x80000000, 0x7fc00000, 0x7f800001, -0x00400000, 0x7f800000, 0x7f7fffff, 1),
  );
  const all = fc.array(fc.array(bits, { minLength: 9, maxLength: 9 }), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(all, fc.uint8Array({ maxLength: 9 }), fc.boolean(), (rows, bytes, close) => {
      const tensors = new Map<string, StoredTensor>([
        ['wide', { dtype: 'I64', shape: [1], data: new BigInt64Array([-3n]) }],
      ]);
      for (const [i, row] of rows.entries()) {
        // Nearly the row before, so that it is predicted; the special values stay.
        const near = close && i > 0 ? rows[i - 1]!.map((value, j) => value ^ (row[j]! & 3)) : row;
        tensors.set(`${i}/w`, floats(new Float32Array(Int32Array.from(near).buffer)));
      }
      tensors.set('u8', { dtype: 'U8', shape: [bytes.length], data: bytes });
      const { bytes: plain, packed } = packedTensors(tensors);
      assert.deepEqual(unpackFiles(packed, 'a'), [{ path: 'a.safetensors', bytes: plain }]);
    }),
    { numRuns: 60 },
  );
});

test('weights that follow from the weights before and the gradient take a small part of their bytes', () => {
  const [before, gradient, other] = [noise(1500, 1), noise(1500, 2), noise(1500, 3)];
  const step = before.map((value, i) => 0.9997 * value - 0.083 * gradient[i]!);
  const sizeWith = (last: Float32Array) =>
    packedTensors(
      new Map(
        Object.entries({ 'state/w': before, 'grad/w': gradient, 'step/w': last }).map(([n, d]) => [
          n,
          floats(d),
        ]),
      ),
    ).packed.length;
  assert.ok(sizeWith(step) < sizeWith(other) - 4000, `${sizeWith(step)} of ${sizeWith(other)}`);
  assert.ok(sizeWith(before) < sizeWith(step));
});
