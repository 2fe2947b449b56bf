// Flat vectors are split and joined in order, and refused where the slots do not fit.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { concatFlat, splitFlat } from '../../../core/tensor/flat.ts';
import { record } from '../../../core/tensor/recording/record.ts';
import { tf } from '../../../core/tensor/tf.ts';
import { elements, leavingNoTensors, numbers } from '../../support/tensors.ts';

const slotsOf = (shapes: number[][]) => {
  let offset = 0;
  return shapes.map((shape) => {
    const slot = { shape, offset, size: elements(shape) };
    offset += slot.size;
    return slot;
  });
};

test('putting the parts together gives the vector back, for any slots', () => {
  const shape = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(fc.array(shape, { minLength: 1, maxLength: 6 }), (shapes) =>
      leavingNoTensors(() =>
        tf.tidy(() => {
          const slots = slotsOf(shapes);
          const values = numbers(slots.reduce((sum, slot) => sum + slot.size, 0));
          const parts = splitFlat(tf.tensor1d(values), slots);
          assert.deepEqual(
            parts.map((part) => part.shape),
            shapes,
          );
          assert.deepEqual(concatFlat(parts).dataSync(), values);
        }),
      ),
    ),
    { numRuns: 30 },
  );
});

test('taking apart is one SplitV', () => {
  const slots = slotsOf(Array.from({ length: 40 }, () => [3]));
  const recording = record({
    inputs: [{ name: 'flat', dtype: 'float32', shape: [120] }],
    build: ([flat]) => [concatFlat(splitFlat(flat!, slots))],
  });
  const operations = recording.nodes.flatMap((node) => (node.kind === 'operation' ? [node.op] : []));
  assert.deepEqual(operations, ['SplitV', 'ConcatV2']);
});

test('slots with a gap or a vector of another length are refused', () => {
  leavingNoTensors(() =>
    tf.tidy(() => {
      const flat = tf.zeros([4]);
      assert.throws(
        () => splitFlat(flat, [{ shape: [2], offset: 1, size: 2 }]),
        /slot 0 \[2\] at offset 1 with 2 elements does not follow offset 0/,
      );
      assert.throws(() => splitFlat(flat, slotsOf([[3]])), /a vector \[4\] where the slots need 3 elements/);
    }),
  );
});
