// The native kernels against the composed operations, values and gradients, and the composed ones against
// numbers computed by hand and finite differences.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  composedAvgPool,
  composedBatchNorm,
  composedBatchNormEval,
  composedConv2d,
  composedDepthwiseConv2d,
  composedMaxPool,
  composedPrelu,
} from '../../../../core/tensor/ops/composed.ts';
import {
  avgPool,
  batchNormEval,
  batchNormTrain,
  conv2d,
  depthwiseConv2d,
  flattenChw,
  groupedConv2d,
  linear,
  matMul,
  maxPool,
  prelu,
  prelus,
} from '../../../../core/tensor/ops/ops.ts';
import { evenAndOdd, sample } from '../../../../core/tensor/ops/sample.ts';
import {
  deviceInfo,
  hasOwnKernels,
  type Scalar,
  type Tensor,
  type Tensor2D,
  tf,
} from '../../../../core/tensor/tf.ts';
import { leavingNoTensors, numbers, relativeError, tensorOf } from '../../../support/tensors.ts';

type Operation = (...inputs: Tensor[]) => Tensor;

/** Asserts equal values and equal gradients by every input, under a random weighting of the output. */
function assertSame(title: string, native: Operation, composed: Operation, shapes: number[][]): void {
  leavingNoTensors(() =>
    tf.tidy(() => {
      const inputs = shapes.map((shape, index) => tensorOf(shape, 11 + index));
      const expected = composed(...inputs);
      assert.deepEqual(native(...inputs).shape, expected.shape, title);
      assert.ok(relativeError(native(...inputs).dataSync(), expected.dataSync()) < 1e-5, title);
      const weighting = tensorOf(expected.shape, 5);
      const gradients = (operation: Operation) =>
        tf.grads((...tensors: Tensor[]) => tf.sum(tf.mul(operation(...tensors), weighting)) as Scalar)(
          inputs,
        );
      const [actual, wanted] = [gradients(native), gradients(composed)];
      for (const [index, gradient] of wanted.entries()) {
        const error = relativeError(actual[index]!.dataSync(), gradient.dataSync());
        assert.ok(error < 1e-5, `${title}: gradient of input ${index} is off by ${error}`);
      }
    }),
  );
}

const STRIDES = [1, 2];
const SIZES = [
  [8, 8],
  [9, 7],
];

test('a convolution equals pad and convolve for any kernel, stride, padding and odd channel count', () => {
  for (const [kernel, padding] of [
    [1, 0],
    [3, 0],
    [3, 1],
    [5, 2],
    [7, 3],
    [3, 2],
  ] as const)
    for (const stride of STRIDES)
      for (const [height, width] of SIZES)
        assertSame(
          `${kernel}x${kernel} stride ${stride} padding ${padding} on ${height}x${width}`,
          (x, k) => conv2d(x!, k!, stride, padding),
          (x, k) => composedConv2d(x!, k!, stride, padding),
          [
            [2, height!, width!, 3],
            [kernel, kernel, 3, 5],
          ],
        );
});

test('a depthwise convolution equals pad and convolve for any kernel, stride, padding and odd channel count', () => {
  for (const [kernel, padding] of [
    [1, 0],
    [3, 1],
    [5, 2],
    [7, 3],
    [7, 0],
    [3, 2],
  ] as const)
    for (const stride of STRIDES)
      for (const [height, width] of SIZES)
        for (const channels of [5, 16])
          assertSame(
            `${kernel}x${kernel} stride ${stride} padding ${padding} on ${height}x${width}x${channels}`,
            (x, k) => depthwiseConv2d(x!, k!, stride, padding),
            (x, k) => composedDepthwiseConv2d(x!, k!, stride, padding),
            [
              [2, height!, width!, channels],
              [kernel, kernel, channels, 1],
            ],
          );
});

test('a grouped convolution with one channel a group is the depthwise one, and with one group the plain one', () => {
  assertSame(
    'groups = channels',
    (x, k) => groupedConv2d(x!, tf.reshape(k!, [3, 3, 1, 6]), 6, 2, 1),
    (x, k) => composedDepthwiseConv2d(x!, k!, 2, 1),
    [
      [2, 8, 8, 6],
      [3, 3, 6, 1],
    ],
  );
  assertSame(
    'one group',
    (x, k) => groupedConv2d(x!, k!, 1, 1, 1),
    (x, k) => composedConv2d(x!, k!, 1, 1),
    [
      [2, 5, 5, 4],
      [3, 3, 4, 6],
    ],
  );
});

test('a group of a grouped convolution sees only its own channels', () => {
  leavingNoTensors(() =>
    tf.tidy(() => {
      // Channels 1, 2 | 3, 4 and all weights 1: the groups give 3 and 7.
      const y = groupedConv2d(tf.tensor4d([1, 2, 3, 4], [1, 1, 1, 4]), tf.ones([1, 1, 2, 2]), 2);
      assert.deepEqual([...y.dataSync()], [3, 7]);
    }),
  );
});

test('batch norm equals moments and normalise, on maps and on vectors, with and without scale', () => {
  for (const shape of [
    [3, 5, 7, 6],
    [9, 5],
    [6, 1, 1, 3],
  ]) {
    const channels = shape.at(-1)!;
    assertSame(
      `affine on [${shape}]`,
      (x, scale, offset) => batchNormTrain(x!, scale!, offset!, 1e-5).y,
      (x, scale, offset) => composedBatchNorm(x!, scale!, offset!, 1e-5)[0]!,
      [shape, [channels], [channels]],
    );
    assertSame(
      `plain on [${shape}]`,
      (x) => batchNormTrain(x!, null, null, 1e-5).y,
      (x) => composedBatchNorm(x!, tf.ones([channels]), tf.zeros([channels]), 1e-5)[0]!,
      [shape],
    );
  }
});

test('batch norm reports the mean and the unbiased variance of the batch', () => {
  leavingNoTensors(() =>
    tf.tidy(() => {
      // 1, 2, 3, 6: mean 3; squared deviations 4 + 1 + 0 + 9 = 14, over n - 1 = 3.
      const { mean, variance } = batchNormTrain(tf.tensor4d([1, 2, 3, 6], [1, 2, 2, 1]), null, null, 1e-5);
      assert.ok(Math.abs(mean.dataSync()[0]! - 3) < 1e-6);
      assert.ok(Math.abs(variance.dataSync()[0]! - 14 / 3) < 1e-5);
    }),
  );
});

test('batch norm by given statistics equals the composed one', () => {
  leavingNoTensors(() =>
    tf.tidy(() => {
      const [x, mean, scale, offset] = [
        tensorOf([2, 3, 3, 5], 1),
        tensorOf([5], 2),
        tensorOf([5], 3),
        tensorOf([5], 4),
      ];
      const variance = tf.add(tf.abs(tensorOf([5], 6)), 0.1);
      const actual = batchNormEval(x, mean, variance, scale, offset, 1e-5);
      const expected = composedBatchNormEval({ x, mean, variance, scale, offset }, 1e-5);
      assert.ok(relativeError(actual.dataSync(), expected.dataSync()) < 1e-5);
    }),
  );
});

test('PReLU is right for slopes below 0 and above 1, and its slopes get their gradient', () => {
  assertSame(
    'slopes in [-3, 3)',
    (x, slope) => prelu(x!, tf.mul(slope!, 3)),
    (x, slope) => composedPrelu(x!, tf.mul(slope!, 3)),
    [[3, 5, 7, 9], [9]],
  );
  leavingNoTensors(() =>
    tf.tidy(() => {
      const x = tf.tensor4d([-2, 4, -2, 4], [1, 1, 2, 2]);
      // Channel 0 is -2 twice with slope 3, channel 1 is 4 twice with slope -1.
      assert.deepEqual([...prelu(x, tf.tensor1d([3, -1])).dataSync()], [-6, 4, -6, 4]);
      const slopes = tf.grad((slope: Tensor) => tf.sum(prelu(x, slope)) as Scalar)(tf.tensor1d([3, -1]));
      assert.deepEqual([...slopes.dataSync()], [-4, 0]);
    }),
  );
});

test('PReLUs of one map at once equal one after the other', () => {
  for (const shape of [
    [3, 5, 7, 9],
    [4, 6],
  ]) {
    const slopes = Array.from({ length: 3 }, () => [shape.at(-1)!]);
    const weights = [1, -2, 3];
    const sum = (outputs: Tensor[]) => tf.addN(outputs.map((y, i) => tf.mul(y, weights[i]!)));
    assertSame(
      `on [${shape}]`,
      (x, ...a) => sum(prelus(x!, a)),
      (x, ...a) => sum(a.map((slope) => composedPrelu(x!, slope))),
      [shape, ...slopes],
    );
  }
});

test('at 0 a PReLU has the slope of its negative side, alone and beside others', () => {
  leavingNoTensors(() =>
    tf.tidy(() => {
      const total = (x: Tensor, slopes: number[]) =>
        tf.sum(
          tf.addN(
            prelus(
              x,
              slopes.map((slope) => tf.tensor1d([slope])),
            ),
          ),
        ) as Scalar;
      const x = tf.tensor2d([0, -0, 1, -1], [4, 1]);
      const slopesAt = (slopes: number[]) => [
        ...tf
          .grad((map: Tensor) => total(map, slopes))(x)
          .dataSync(),
      ];
      assert.deepEqual(slopesAt([0.5]), [0.5, 0.5, 1, 0.5]);
      assert.deepEqual(slopesAt([0.5, 3]), [3.5, 3.5, 2, 3.5]);
    }),
  );
});

test('a PReLU whose output counts for nothing gives its slope gradient 0 and the map that of the others', () => {
  leavingNoTensors(() =>
    tf.tidy(() => {
      const x = tf.tensor2d([-2, 4], [1, 2]);
      const second = (...[map, a, b]: Tensor[]) => {
        const [none, all] = prelus(map!, [a!, b!]);
        return tf.sum(tf.add(tf.mul(none!, 0), all!)) as Scalar;
      };
      const gradients = tf.grads(second)([x, tf.tensor1d([7, 7]), tf.tensor1d([3, 3])]);
      assert.deepEqual(
        // -0 + 0 is 0.
        gradients.map((gradient) => [...gradient.dataSync()].map((value) => value + 0)),
        [
          [3, 1],
          [0, 0],
          [-2, 0],
        ],
      );
    }),
  );
});

test('pools equal pad and pool for any stride and padding', () => {
  for (const [size, padding] of [
    [3, 1],
    [3, 0],
    [2, 0],
    [5, 2],
    [3, 0],
  ] as const)
    for (const stride of STRIDES)
      for (const [height, width] of SIZES) {
        const title = `${size}x${size} stride ${stride} padding ${padding} on ${height}x${width}`;
        const pool = { size, stride, padding };
        const shapes = [[2, height!, width!, 5]];
        assertSame(
          `max ${title}`,
          (x) => maxPool(x!, size, stride, padding),
          (x) => composedMaxPool(x!, pool),
          shapes,
        );
        assertSame(
          `mean ${title}`,
          (x) => avgPool(x!, size, stride, padding),
          (x) => composedAvgPool(x!, pool),
          shapes,
        );
      }
});

test('both samples of a map at once equal one after the other', () => {
  for (const channels of [1, 8, 12])
    for (const branch of [0, 1])
      assertSame(
        `sample ${branch} of ${channels} channels`,
        (x) => evenAndOdd(x!)[branch]!,
        (x) => sample(x!, 2, branch),
        [[3, 6, 10, channels]],
      );
  if (!hasOwnKernels()) return;
  assert.throws(
    () => evenAndOdd(tf.zeros([1, 5, 6, 2])),
    /a map \[1, 5, 6, 2\] has no samples of even and of odd rows/,
  );
});

test('padding never wins a max pool and never counts in a mean', () => {
  leavingNoTensors(() =>
    tf.tidy(() => {
      const x = tf.tensor4d([-1, -2, -3, -4], [1, 2, 2, 1]);
      assert.deepEqual([...maxPool(x, 3, 2, 1).dataSync()], [-1]);
      assert.deepEqual([...avgPool(x, 3, 2, 1).dataSync()], [-2.5]);
      // Stride 1: each of the four windows holds the whole map.
      assert.deepEqual([...avgPool(x, 3, 1, 1).dataSync()], [-2.5, -2.5, -2.5, -2.5]);
    }),
  );
});

test('of equal values of a window the first one, row by row, gets the gradient, and a NaN wins', () => {
  leavingNoTensors(() =>
    tf.tidy(() => {
      const x = tf.tensor4d([1, 2, 0, 2, 2, 0, 1, 2, 1], [1, 3, 3, 1]);
      const dx = tf.grad((map: Tensor) => maxPool(map, 2, 1, 0).sum())(x);
      assert.deepEqual([...dx.dataSync()], [0, 2, 0, 1, 1, 0, 0, 0, 0]);
      if (!hasOwnKernels()) return;
      // Vectors and what is left behind them.
      for (const channels of [1, 8, 19]) {
        const values = Array.from({ length: 9 * channels }, (_, i) =>
          Math.floor(i / channels) === 4 ? NaN : 1,
        );
        assert.ok(
          maxPool(tf.tensor4d(values, [1, 3, 3, channels]), 3, 1, 1)
            .dataSync()
            .every(Number.isNaN),
        );
      }
      assert.throws(
        () => maxPool(tf.zeros([1, 2, 2, 3]), 5, 1, 1),
        /a map \[1, 2, 2, 3\] has no windows of 5 by 5 pixels with padding 1/,
      );
    }),
  );
});

test('the bits of pools and their gradients do not depend on the images beside them', () => {
  if (!hasOwnKernels()) return;
  leavingNoTensors(() =>
    tf.tidy(() => {
      const shape = [3, 9, 7, 12] as [number, number, number, number];
      const x = tf.tensor4d(numbers(3 * 9 * 7 * 12, 4), shape);
      for (const pool of [maxPool, avgPool]) {
        const both = (map: Tensor) => [
          pool(map, 3, 2, 1),
          tf.grad((each: Tensor) => tf.square(pool(each, 3, 1, 1)).sum())(map),
        ];
        const whole = both(x).map((tensor) => tf.unstack(tensor).map((one) => [...one.dataSync()]));
        for (const [image, alone] of tf.split(x, 3).entries())
          assert.deepEqual(
            both(alone).map((tensor) => [...tensor.dataSync()]),
            whole.map((images) => images[image]),
          );
      }
    }),
  );
});

test('matrix products and linear layers equal the composed ones however transposed', () => {
  for (const transposeA of [false, true])
    for (const transposeB of [false, true])
      assertSame(
        `transposed ${transposeA}, ${transposeB}`,
        (a, b) => matMul(a!, b!, transposeA, transposeB),
        (a, b) => tf.matMul(a as Tensor2D, b as Tensor2D, transposeA, transposeB),
        [transposeA ? [5, 3] : [3, 5], transposeB ? [4, 5] : [5, 4]],
      );
  assertSame(
    'linear',
    (x, weight, bias) => linear(x!, weight!, bias!),
    (x, weight, bias) => tf.add(tf.matMul(x as Tensor2D, weight as Tensor2D), bias!),
    [[3, 5], [5, 4], [4]],
  );
});

test('a flattened map has its channels slowest', () => {
  leavingNoTensors(() =>
    tf.tidy(() => {
      // Two pixels of two channels: 1, 2 | 3, 4 becomes channel 0 (1, 3) then channel 1 (2, 4).
      assert.deepEqual([...flattenChw(tf.tensor4d([1, 2, 3, 4], [1, 1, 2, 2])).dataSync()], [1, 3, 2, 4]);
    }),
  );
});

test('gradients of the native kernels agree with finite differences', () => {
  const values = numbers(2 * 6 * 6 * 3, 21);
  const loss = (x: Tensor): Scalar => {
    const normal = batchNormTrain(conv2d(x, tensorOf([3, 3, 3, 4], 22), 2, 1), null, null, 1e-5).y;
    const mixed = depthwiseConv2d(prelu(normal, tensorOf([4], 23)), tensorOf([3, 3, 4, 1], 24), 1, 1);
    return tf.sum(tf.mul(mixed, tensorOf([2, 3, 3, 4], 25))) as Scalar;
  };
  leavingNoTensors(() =>
    tf.tidy(() => {
      const gradient = tf
        .grad((x: Tensor) => loss(x))(tf.tensor(values, [2, 6, 6, 3]))
        .dataSync();
      const at = (array: Float32Array) => loss(tf.tensor(array, [2, 6, 6, 3])).dataSync()[0]!;
      for (const index of [0, 50, 101, 170, 215]) {
        const [up, down] = [1e-2, -1e-2].map((step) => at(values.with(index, values[index]! + step)));
        const slope = (up! - down!) / 2e-2;
        assert.ok(Math.abs(slope - gradient[index]!) < 2e-2 * Math.max(1, Math.abs(slope)), `value ${index}`);
      }
    }),
  );
});

test('a kernel that does not fit its map is refused with both shapes', () => {
  leavingNoTensors(() =>
    tf.tidy(() =>
      assert.throws(() => conv2d(tensorOf([1, 4, 4, 3]), tensorOf([3, 3, 2, 4])), {
        code: 'invalidArgument',
        message: /\[1,4,4,3\].*\[3,3,2,4\].*needs 2 channels/,
      }),
    ),
  );
});

test('the device is named after a kernel ran on it', () => {
  leavingNoTensors(() => {
    const device = deviceInfo({ TF_NUM_INTRAOP_THREADS: '1' });
    assert.ok(['cpu', 'gpu'].includes(device.kind));
    assert.equal(device.backend, 'tensorflow');
    assert.equal(device.threads, 1);
    assert.match(device.tensorflow, /^2\./);
  });
});
