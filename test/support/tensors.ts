// What tests of tensors share: repeatable numbers, comparison, counting of leaks, and one small training step
// with every kind of operation in it, which graphs are tested with.

import assert from 'node:assert/strict';
import { concatFlat, splitFlat } from '../../core/tensor/flat.ts';
import {
  avgPool,
  batchNormTrain,
  conv2d,
  depthwiseConv2d,
  linear,
  maxPool,
  prelu,
} from '../../core/tensor/ops/ops.ts';
import type { GraphInput } from '../../core/tensor/recording/record.ts';
import { type Scalar, type Tensor, tf } from '../../core/tensor/tf.ts';

/** Environment of a process that computes as a worker does; TensorFlow reads it when the process starts. */
export const ONE_THREAD = {
  TF_NUM_INTRAOP_THREADS: '1',
  TF_NUM_INTEROP_THREADS: '1',
  OMP_NUM_THREADS: '1',
  TF_CPP_MIN_LOG_LEVEL: '2',
} as const;

/** Repeatable numbers in [-1, 1) without pattern: a 32-bit linear congruential generator. */
export function numbers(count: number, seed = 1): Float32Array {
  let state = seed >>> 0;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/** A tensor of such numbers. */
export function tensorOf(shape: number[], seed = 1): Tensor {
  return tf.tensor(numbers(elements(shape), seed), shape);
}

export const elements = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);

/** Norm of the difference over the norm of `expected`. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  assert.equal(actual.length, expected.length, 'lengths differ');
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  return norm === 0 ? Math.sqrt(difference) : Math.sqrt(difference / norm);
}

/** Runs `use` and asserts that it leaves as many tensors as it found, in tfjs and in the native library. */
export function leavingNoTensors(use: () => void): void {
  const native = () =>
    (tf.backend() as unknown as { binding: { getNumOfTensors(): number } }).binding.getNumOfTensors();
  const before = { tfjs: tf.memory().numTensors, native: native() };
  use();
  assert.deepEqual({ tfjs: tf.memory().numTensors, native: native() }, before, 'tensors are left');
}

const SHAPES = [[3, 3, 3, 8], [8], [8], [8], [5, 5, 8, 1], [1, 1, 8, 6], [6], [6], [6], [6, 4], [4]] as const;

function slotsOf(shapes: readonly (readonly number[])[]) {
  let offset = 0;
  return shapes.map((shape) => {
    const slot = { shape, offset, size: elements(shape) };
    offset += slot.size;
    return slot;
  });
}

const SLOTS = slotsOf(SHAPES);
const PARAMETERS = SLOTS.reduce((sum, slot) => sum + slot.size, 0);
const BATCH = 4;
const SIZE = 16;

/**
 * Weights, byte images and labels in; gradients, batch statistics of the first norm and the loss out, as one
 * vector.
 */
export const smallStep = {
  inputs: [
    { name: 'weights', dtype: 'float32', shape: [PARAMETERS] },
    { name: 'images', dtype: 'uint8', shape: [BATCH, SIZE, SIZE, 3] },
    { name: 'labels', dtype: 'int32', shape: [BATCH] },
  ] satisfies GraphInput[],
  length: PARAMETERS + 2 * 8 + 1,
  build([weights, images, labels]: Tensor[]): Tensor[] {
    let statistics: Tensor[] = [];
    const loss = (...p: Tensor[]): Scalar => {
      const normalised = tf.sub(tf.div(images!, 127.5), 1);
      const stem = batchNormTrain(conv2d(normalised, p[0]!, 2, 1), p[1]!, p[2]!, 1e-5);
      statistics = [tf.keep(stem.mean), tf.keep(stem.variance)];
      const deep = depthwiseConv2d(prelu(stem.y, p[3]!), p[4]!, 1, 2);
      const narrow = batchNormTrain(conv2d(deep, p[5]!), p[6]!, p[7]!, 1e-5).y;
      const active = prelu(narrow, p[8]!);
      const pooled = tf.add(avgPool(active, 3, 2, 1), maxPool(active, 3, 2, 1));
      const logits = linear(tf.mean(pooled, [1, 2]), p[9]!, p[10]!);
      const targets = tf.oneHot(labels as Tensor, 4);
      return tf.neg(tf.mean(tf.sum(tf.mul(targets, tf.logSoftmax(logits)), 1))) as Scalar;
    };
    const { value, grads } = tf.valueAndGrads(loss)(splitFlat(weights!, SLOTS));
    const vector = concatFlat([...grads, ...statistics, value.asScalar()]);
    tf.dispose(statistics);
    return [vector];
  },
  /** One array for each input, the first in shared memory as workers hold it. */
  arrays(): [Float32Array, Uint8Array, Int32Array] {
    const weights = new Float32Array(new SharedArrayBuffer(PARAMETERS * 4));
    weights.set(numbers(PARAMETERS, 3));
    const images = Uint8Array.from(numbers(BATCH * SIZE * SIZE * 3, 4), (value) => (value + 1) * 127.9);
    return [weights, images, Int32Array.of(0, 1, 2, 3)];
  },
  /** The same step, run eagerly. */
  eager(): Float32Array {
    const [weights, images, labels] = smallStep.arrays();
    return tf.tidy(() => {
      const shape = smallStep.inputs[1]!.shape;
      const fed = [
        tf.tensor1d(weights),
        tf.tensor(Float32Array.from(images), shape),
        tf.tensor1d(labels, 'int32'),
      ];
      return smallStep.build(fed)[0]!.dataSync() as Float32Array;
    });
  },
};
