// The separable block as one operation of our own: equal to its parts with every instruction set, the same bits with any number of
// threads, and sums that are folded into it change nothing.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { compileGraph } from '../../../core/tensor/compiled.ts';
import { foldSums } from '../../../core/tensor/fold.ts';
import { liveNodes, saveGraph } from '../../../core/tensor/graph.ts';
import { batchNormTrain, prelus, separable } from '../../../core/tensor/ops.ts';
import { keepApart } from '../../../core/tensor/parts.ts';
import { type Recording, record } from '../../../core/tensor/record.ts';
import { hasOwnKernels, type Scalar, type Tensor, tf } from '../../../core/tensor/tf.ts';
import { leavingNoTensors, numbers, ONE_THREAD, tensorOf } from '../../support/tensors.ts';
import type { SeparableResult } from './separable-process.ts';

const SCRIPT = fileURLToPath(new URL('./separable-process.ts', import.meta.url));

async function inProcess(environment: Record<string, string>): Promise<SeparableResult> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', SCRIPT], {
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
    // The longest sum has some 2,000 terms of either sign; sequential float sums of such are off by sqrt(2,000) 2^-24 = 3e-6.
    for (const { title, error } of cases) assert.ok(error < 5e-6, `${title}: off by ${error}`);
  });

test('the bits of a separable block do not depend on the number of threads', async () => {
  const [one, three] = await Promise.all(
    ['1', '3'].map((threads) => inProcess({ TF_NUM_INTRAOP_THREADS: threads })),
  );
  // The composed operations are not hashed: theirs do.
  assert.equal(three!.bits, one!.bits);
});

test("the library's operations, which other devices and other addons use, pass the tests of all operations", async () => {
  const tests = fileURLToPath(new URL('./ops.test.ts', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', '--test', tests], {
    // A test that runs tests must not look like one of theirs.
    env: { ...process.env, ...ONE_THREAD, POCKETFLEET_KERNELS: 'library', NODE_TEST_CONTEXT: undefined },
  });
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

const WINDOW = { stride: 1, padding: 1, epsilon: 1e-5 };
const MAP = [2, 6, 6, 8];

/** Two blocks that read one map, their sum, and one more block of it: each kind of sum that a cell has, both ways. */
function cell(inputs: Tensor[]): Tensor[] {
  const block = (x: Tensor, pointwise: Tensor) =>
    separable(
      x,
      {
        slope: tf.fill([8], 0.3),
        depthwise: tf.fill([3, 3, 8, 1], 0.2),
        pointwise,
        scale: tf.fill([8], 1.1),
        offset: tf.zeros([8]),
      },
      WINDOW,
    ).y;
  const loss = (x: Tensor, a: Tensor, b: Tensor) => {
    const node = tf.add(block(x, a), block(x, b));
    return tf.sum(tf.square(tf.add(block(node, a), x))) as Scalar;
  };
  const gradients = tf.grads(loss as (...tensors: Tensor[]) => Scalar)(inputs);
  return [loss(inputs[0]!, inputs[1]!, inputs[2]!), ...gradients];
}

const CELL_INPUTS = [
  { name: 'x', dtype: 'float32' as const, shape: MAP },
  { name: 'a', dtype: 'float32' as const, shape: [1, 1, 8, 8] },
  { name: 'b', dtype: 'float32' as const, shape: [1, 1, 8, 8] },
];

const sumsOf = ({ nodes }: Recording): number =>
  nodes.filter(
    (node) =>
      node.kind === 'operation' &&
      (node.op === 'Add' || node.op === 'AddV2') &&
      node.outputs[0]!.shape.length === 4,
  ).length;

test('sums of maps are folded into the operations that make their terms, and the bits stay', () => {
  leavingNoTensors(() => {
    const recording = record({ inputs: CELL_INPUTS, build: cell });
    const folded = foldSums(recording);
    assert.ok(sumsOf(recording) >= 3, 'the function has sums to fold');
    assert.ok(saveGraph(folded).nodes <= saveGraph(recording).nodes - 3, 'three sums are gone at least');

    const arrays = [numbers(2 * 6 * 6 * 8, 1), numbers(64, 2), numbers(64, 3)];
    const graph = compileGraph({ key: 'cell', inputs: CELL_INPUTS, build: cell });
    const outputs = graph.run(arrays);
    graph.dispose();
    const eager: Float32Array[] = [];
    tf.tidy(() => {
      const tensors = [tensorOf(MAP, 1), tensorOf([1, 1, 8, 8], 2), tensorOf([1, 1, 8, 8], 3)];
      eager.push(...cell(tensors).map((tensor) => tensor.dataSync() as Float32Array));
    });
    // Eager runs have nothing folded and the same operations otherwise.
    assert.deepEqual(outputs, eager);
  });
});

const NODE = [2, 6, 6, 8];

/**
 * Four nodes side by side, as a cell's are: two blocks read them, and a PReLU in front of a convolution; the gradient of each node is
 * a part of theirs.
 */
function sideBySide([a, b, pointwise, slope]: Tensor[]): Tensor[] {
  const loss = (first: Tensor, second: Tensor, weights: Tensor, slopes: Tensor) => {
    const nodes = [first, second, tf.mul(first, 0.5), tf.add(first, second)].map((node) => tf.mul(node, 1.5));
    const all = tf.concat(nodes, 3);
    const ends = [3, 1].map(
      (kernel) =>
        separable(
          all,
          {
            slope: slopes,
            depthwise: tf.fill([kernel, kernel, 32, 1], 0.2),
            pointwise: weights,
            scale: tf.fill([16], 1.1),
            offset: tf.zeros([16]),
          },
          { stride: 1, padding: (kernel - 1) / 2, epsilon: 1e-5 },
        ).y,
    );
    const [activated] = prelus(all, [tf.neg(slopes)]);
    const sums = [...ends, activated!].map((map) => tf.sum(tf.square(map)));
    return tf.addN(sums) as Scalar;
  };
  return tf.grads(loss as (...tensors: Tensor[]) => Scalar)([a!, b!, pointwise!, slope!]);
}

const SIDE_INPUTS = [
  { name: 'a', dtype: 'float32' as const, shape: NODE },
  { name: 'b', dtype: 'float32' as const, shape: NODE },
  { name: 'pointwise', dtype: 'float32' as const, shape: [1, 1, 32, 16] },
  { name: 'slope', dtype: 'float32' as const, shape: [32] },
];

test('maps that lie side by side stay apart, and the bits stay', () => {
  leavingNoTensors(() => {
    const folded = foldSums(record({ inputs: SIDE_INPUTS, build: sideBySide }));
    const copies = (recording: Recording) => {
      const live = liveNodes(recording);
      return recording.nodes.filter(
        (node, index) =>
          live.has(index) &&
          node.kind === 'operation' &&
          (node.op === 'ConcatV2' || node.op === 'SplitV') &&
          node.outputs[0]!.shape.length === 4,
      ).length;
    };
    assert.equal(copies(folded), 2, 'one concatenation, and one split of its gradient');
    assert.equal(copies(keepApart(folded)), 0);

    const arrays = [numbers(2 * 6 * 6 * 8, 1), numbers(2 * 6 * 6 * 8, 2), numbers(512, 3), numbers(32, 4)];
    const graph = compileGraph({ key: 'side by side', inputs: SIDE_INPUTS, build: sideBySide });
    const outputs = graph.run(arrays);
    graph.dispose();
    const eager: Float32Array[] = [];
    tf.tidy(() => {
      const tensors = SIDE_INPUTS.map(({ shape }, index) => tensorOf(shape, index + 1));
      eager.push(...sideBySide(tensors).map((tensor) => tensor.dataSync() as Float32Array));
    });
    assert.deepEqual(outputs, eager);
  });
});
