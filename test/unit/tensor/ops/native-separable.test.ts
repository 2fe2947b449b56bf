// The separable block as one operation of our own: equal to its composed parts with every instruction set,
// and the same bits with any number of threads.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { loaderArguments } from '../../../../core/system/script-arguments.ts';
import { batchNormTrain, separable } from '../../../../core/tensor/ops/ops.ts';
import { hasOwnKernels, tf } from '../../../../core/tensor/tf.ts';
import { leavingNoTensors, numbers, ONE_THREAD } from '../../../support/tensors.ts';
import type { SeparableResult } from './separable-process.ts';

const SCRIPT = fileURLToPath(new URL('./separable-process.ts', import.meta.url));

async function inProcess(environment: Record<string, string>): Promise<SeparableResult> {
  const { stdout } = await promisify(execFile)(process.execPath, [...loaderArguments(), SCRIPT], {
    env: { ...process.env, ...ONE_THREAD, ...environment },
  });
  return JSON.parse(stdout) as SeparableResult;
}

test('set-up has built our own operations into the addon', () => {
  assert.ok(hasOwnKernels());
});

for (const level of ['ALL', 'AVX2', 'SSE41'])
  test(`a separable block equals its parts, forward and backward, with instructions up to ${level}`, async () => {
    const { own, cases } = await inProcess({ ONEDNN_MAX_CPU_ISA: level });
    assert.ok(own);
    // The longest sum has some 2,000 terms of either sign; sequential float sums of such are off by
    // sqrt(2,000) 2^-24 = 3e-6.
    for (const { title, error } of cases) assert.ok(error < 5e-6, `${title}: off by ${error}`);
  });

test('the bits of a separable block do not depend on the number of threads', async () => {
  const [one, three] = await Promise.all(
    ['1', '3'].map((threads) => inProcess({ TF_NUM_INTRAOP_THREADS: threads })),
  );
  // The composed operations are not hashed, because their bits depend on the number of threads.
  assert.equal(three!.bits, one!.bits);
});

test("the library's operations, which other devices and other addons use, pass the tests of all operations", async () => {
  const tests = fileURLToPath(new URL('./ops.test.ts', import.meta.url));
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [...loaderArguments(), '--test', '--test-reporter=tap', tests],
    {
      // With NODE_TEST_CONTEXT the inner test run would report to this one in a binary form.
      env: { ...process.env, ...ONE_THREAD, POCKETFLEET_KERNELS: 'library', NODE_TEST_CONTEXT: undefined },
    },
  );
  assert.match(stdout, /^# fail 0$/m);
  assert.match(stdout, /^# pass [1-9]/m);
  assert.equal((await inProcess({ POCKETFLEET_KERNELS: 'library' })).own, false);
});

test('what does not fit together is refused by name and shape', () => {
  leavingNoTensors(() =>
    tf.tidy(() => {
      const weights = {
        slope: tf.ones([4]),
        depthwise: tf.ones([3, 3, 4, 1]),
        pointwise: tf.ones([1, 1, 5, 6]),
        scale: tf.ones([6]),
        offset: tf.zeros([6]),
      };
      assert.throws(
        () => separable(tf.ones([1, 8, 8, 4]), weights, { stride: 1, padding: 1, epsilon: 1e-5 }),
        /a map \[1, 8, 8, 4\], 4 slopes, a depthwise kernel \[3, 3, 4, 1\] and a pointwise kernel \[1, 1, 5, 6\] make no separable block/,
      );
    }),
  );
});

test('batch norm of a large map with a large mean is as exact as its inputs are', () => {
  leavingNoTensors(() =>
    tf.tidy(() => {
      const [shape, channels] = [[2, 112, 112, 3] as [number, number, number, number], 3];
      const values = numbers(2 * 112 * 112 * channels, 5).map((value) => 30 + value);
      const { mean, variance } = batchNormTrain(tf.tensor4d(values, shape), null, null, 1e-5);
      for (let c = 0; c < channels; c++) {
        const column = values.filter((_, i) => i % channels === c);
        const exactMean = column.reduce((sum, value) => sum + value, 0) / column.length;
        const squares = column.reduce((sum, value) => sum + (value - exactMean) ** 2, 0);
        // Half a unit in the last place of a float near 30 is 1e-6.
        assert.ok(Math.abs(mean.dataSync()[c]! - exactMean) < 2e-6);
        assert.ok(Math.abs(variance.dataSync()[c]! / (squares / (column.length - 1)) - 1) < 1e-6);
      }
    }),
  );
});
