// Runs separable blocks of many shapes, forward and backward, and forward with an affine norm, against the composed operations and prints, as
// JSON, the largest relative error of any output or gradient and a digest of all bits. A process of its own,
// because threads and instruction set are read when TensorFlow is loaded.

import { createHash } from 'node:crypto';
import {
  composedBatchNorm,
  composedConv2d,
  composedDepthwiseConv2d,
  composedPrelu,
} from '../../../../core/tensor/ops/composed.ts';
import { affineSeparable, type SeparableWeights, separable } from '../../../../core/tensor/ops/ops.ts';
import { hasOwnKernels, type Scalar, type Tensor, tf } from '../../../../core/tensor/tf.ts';
import { relativeError, tensorOf } from '../../../support/tensors.ts';

export interface SeparableResult {
  readonly own: boolean;
  readonly cases: readonly { readonly title: string; readonly error: number }[];
  readonly bits: string;
}

interface Case {
  /** N, H, W, C. */
  readonly map: readonly [number, number, number, number];
  readonly out: number;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}

// Channels that fill vectors and that do not, maps one pixel wide and several chunks long, windows that cover
// the map and that do not.
const CASES: Case[] = [
  { map: [2, 9, 7, 16], out: 16, kernel: 3, stride: 1, padding: 1 },
  { map: [3, 8, 8, 16], out: 32, kernel: 5, stride: 2, padding: 2 },
  { map: [2, 14, 14, 32], out: 16, kernel: 7, stride: 2, padding: 3 },
  { map: [2, 11, 13, 5], out: 7, kernel: 3, stride: 1, padding: 1 },
  { map: [2, 10, 9, 8], out: 24, kernel: 5, stride: 1, padding: 2 },
  { map: [4, 7, 7, 33], out: 17, kernel: 7, stride: 1, padding: 3 },
  { map: [2, 9, 9, 3], out: 5, kernel: 1, stride: 2, padding: 0 },
  { map: [1, 5, 5, 4], out: 4, kernel: 1, stride: 1, padding: 0 },
  { map: [2, 6, 6, 16], out: 16, kernel: 3, stride: 1, padding: 0 },
  { map: [2, 6, 5, 48], out: 80, kernel: 3, stride: 1, padding: 2 },
  { map: [2, 30, 30, 64], out: 16, kernel: 1, stride: 1, padding: 0 },
  { map: [3, 12, 12, 128], out: 96, kernel: 1, stride: 1, padding: 0 },
  { map: [2, 28, 28, 16], out: 16, kernel: 3, stride: 1, padding: 1 },
  { map: [5, 2, 1, 4], out: 4, kernel: 3, stride: 1, padding: 1 },
  { map: [2, 13, 13, 12], out: 9, kernel: 9, stride: 3, padding: 4 },
  // So large that results are stored past the caches.
  { map: [2, 32, 32, 8], out: 512, kernel: 1, stride: 1, padding: 0 },
];

const EPSILON = 1e-5;
const hash = createHash('sha256');

function weightsOf({ map, out, kernel }: Case, seed: number): SeparableWeights {
  const channels = map[3];
  return {
    // Some slopes are below 0 and some above 1.
    slope: tf.mul(tensorOf([channels], seed), 1.5),
    depthwise: tensorOf([kernel, kernel, channels, 1], seed + 1),
    pointwise: tensorOf([1, 1, channels, out], seed + 2),
    scale: tf.add(tensorOf([out], seed + 3), 1.5),
    offset: tensorOf([out], seed + 4),
  };
}

/** The map before the norm. */
function convolved(x: Tensor, weights: SeparableWeights, { stride, padding }: Case): Tensor {
  const hidden = composedDepthwiseConv2d(composedPrelu(x, weights.slope), weights.depthwise, stride, padding);
  return composedConv2d(hidden, weights.pointwise, 1, 0);
}

const composed = (x: Tensor, weights: SeparableWeights, each: Case): Tensor[] =>
  composedBatchNorm(convolved(x, weights, each), weights.scale, weights.offset, EPSILON);

const composedAffine = (x: Tensor, weights: SeparableWeights, each: Case): Tensor =>
  tf.add(tf.mul(convolved(x, weights, each), weights.scale), weights.offset);

function own(x: Tensor, weights: SeparableWeights, { stride, padding }: Case): Tensor[] {
  const { y, mean, variance } = separable(x, weights, { stride, padding, epsilon: EPSILON });
  return [y, mean, variance];
}

type Block = typeof own;

function everything(block: Block, x: Tensor, weights: SeparableWeights, each: Case): Tensor[] {
  const outputs = block(x, weights, each);
  const weighting = tensorOf(outputs[0]!.shape, 77);
  const loss = (...[map, slope, depthwise, pointwise, scale, offset]: Tensor[]) =>
    tf.sum(
      tf.mul(
        block(
          map!,
          { slope: slope!, depthwise: depthwise!, pointwise: pointwise!, scale: scale!, offset: offset! },
          each,
        )[0]!,
        weighting,
      ),
    ) as Scalar;
  const { slope, depthwise, pointwise, scale, offset } = weights;
  return [...outputs, ...tf.grads(loss)([x, slope, depthwise, pointwise, scale, offset])];
}

function check(each: Case, index: number): { title: string; error: number } {
  let error = 0;
  tf.tidy(() => {
    const x = tensorOf([...each.map], 100 + index);
    const weights = weightsOf(each, 200 + 10 * index);
    const expected = everything(composed, x, weights, each);
    const found = everything(own, x, weights, each);
    if (hasOwnKernels()) {
      expected.push(composedAffine(x, weights, each));
      found.push(affineSeparable(x, weights, each));
    }
    for (const [place, tensor] of found.entries()) {
      const values = tensor.dataSync() as Float32Array;
      hash.update(values);
      error = Math.max(error, relativeError(values, expected[place]!.dataSync()));
    }
  });
  return { title: JSON.stringify(each), error };
}

const cases = CASES.map(check);
const result: SeparableResult = { own: hasOwnKernels(), cases, bits: hash.digest('hex') };
console.log(JSON.stringify(result));
