import assert from 'node:assert/strict';
import test from 'node:test';
import { arcfaceLogits, arcfaceLoss } from '../../../core/loss/arcface.ts';
import { distillationLoss } from '../../../core/loss/distillation.ts';
import { oneHot, softmaxCrossEntropy } from '../../../core/loss/softmax.ts';
import { unitAlong } from '../../../core/loss/unit.ts';
import { type Tensor, tf } from '../../../core/tensor/tf.ts';

const MARGIN = { scale: 64, margin: 0.5 };

/** Runs in a tidy and checks that nothing is left; returns plain numbers. */
function numbers(run: () => Tensor): number[] {
  const before = tf.memory().numTensors;
  const values = tf.tidy(() => Array.from(run().dataSync()));
  assert.equal(tf.memory().numTensors, before);
  return values;
}

/** Two classes along the axes; one embedding at `angle` from class 0. */
const at = (angle: number) => tf.tensor2d([[Math.cos(angle), Math.sin(angle)]]);
const kernel = () =>
  tf.tensor2d([
    [3, 0],
    [0, 0.5],
  ]);
const near = (actual: number | undefined, expected: number, tolerance: number) =>
  assert.ok(
    Math.abs((actual ?? Number.NaN) - expected) <= tolerance,
    `${actual} is not ${expected} +- ${tolerance}`,
  );

test('the margin is added to the target angle, and other logits are scaled cosines', () => {
  const [target, other] = numbers(() =>
    arcfaceLogits(at(1), kernel(), oneHot(tf.tensor1d([0], 'int32'), 2), MARGIN),
  );
  near(target, 64 * Math.cos(1.5), 2e-5);
  near(other, 64 * Math.sin(1), 2e-5);
});

test('past pi - m a constant is subtracted instead', () => {
  const [target] = numbers(() =>
    arcfaceLogits(at(2.9), kernel(), oneHot(tf.tensor1d([0], 'int32'), 2), MARGIN),
  );
  near(target, 64 * (Math.cos(2.9) - 0.5 * Math.sin(0.5)), 2e-5);
});

for (const angle of [0, Math.PI])
  test(`a cosine of ${Math.cos(angle)} gives a finite loss and no gradient through the target`, () => {
    const gradient = numbers(() => {
      const loss = (e: Tensor) => arcfaceLoss(unitAlong(e, 1), kernel(), tf.tensor1d([0], 'int32'), MARGIN);
      const value = tf.valueAndGrad(loss as (x: Tensor) => ReturnType<typeof tf.scalar>)(at(angle));
      return tf.concat([tf.reshape(value.value, [1]), tf.reshape(value.grad, [2])]);
    });
    assert.ok(gradient.every(Number.isFinite), gradient.join());
  });

test('the gradient of the margin loss is the difference quotient', () => {
  const start = [0.3, -0.8, 0.5, 0.1, 0.9, -0.2];
  const loss = (e: Tensor): Tensor =>
    arcfaceLoss(
      unitAlong(tf.reshape(e, [2, 3]), 1),
      tf.tensor2d([0.5, -0.2, 0.1, 0.4, 0.3, -0.6], [3, 2]),
      tf.tensor1d([1, 0], 'int32'),
      { scale: 4, margin: 0.5 },
    );
  const gradient = numbers(() => tf.grad(loss as (x: Tensor) => Tensor)(tf.tensor1d(start)));
  start.forEach((_, i) => {
    const moved = (by: number) =>
      numbers(() => loss(tf.tensor1d(start.map((v, j) => (i === j ? v + by : v)))))[0] ?? 0;
    // Central difference with step 1e-2: its own error is below 1e-3, float32 rounding below 1e-4.
    near(gradient[i], (moved(1e-2) - moved(-1e-2)) / 2e-2, 2e-3);
  });
});

test('cross entropy of equal logits is the logarithm of the classes, and large logits do not overflow', () => {
  const targets = () => oneHot(tf.tensor1d([2, 0], 'int32'), 4);
  near(numbers(() => softmaxCrossEntropy(tf.zeros([2, 4]), targets()))[0], Math.log(4), 1e-6);
  const [large] = numbers(() => softmaxCrossEntropy(tf.fill([2, 4], 3e4), targets()));
  near(large, Math.log(4), 1e-3);
});

test('the distillation term is 2 weight / E times one minus the mean cosine', () => {
  // Unit vectors at angles 0.2 and 1.1, E = 2: 100 * mean of squares = 100 * (1 - mean cosine).
  const [loss] = numbers(() =>
    distillationLoss(
      tf.tensor2d([
        [1, 0],
        [1, 0],
      ]),
      tf.tensor2d([
        [5 * Math.cos(0.2), 5 * Math.sin(0.2)],
        [Math.cos(1.1), Math.sin(1.1)],
      ]),
      100,
    ),
  );
  near(loss, 100 * (1 - (Math.cos(0.2) + Math.cos(1.1)) / 2), 1e-4);
});

test('a zero embedding gives a finite gradient', () => {
  const gradient = numbers(() =>
    tf.grad(((e: Tensor) => arcfaceLoss(unitAlong(e, 1), kernel(), tf.tensor1d([0], 'int32'), MARGIN)) as (
      x: Tensor,
    ) => Tensor)(tf.zeros([1, 2])),
  );
  assert.ok(gradient.every(Number.isFinite), gradient.join());
});
