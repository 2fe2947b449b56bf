// What is done to a recording before it becomes a graph: sums folded into what makes their terms, maps that stay apart, and sums that
// are taken while a gradient is written. Each against the eager run of the same operations, which knows nothing of it.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { foldSums, numberOf } from '../../../core/tensor/fold.ts';
import { liveNodes, saveGraph } from '../../../core/tensor/graph.ts';
import { writeFolder } from '../../../core/tensor/graph-cache.ts';
import {
  deletingTensors,
  feedArrays,
  inputNames,
  loadGraph,
  outputNames,
  readOutputs,
} from '../../../core/tensor/loaded.ts';
import { prelus, separable } from '../../../core/tensor/ops.ts';
import { keepApart } from '../../../core/tensor/parts.ts';
import { type Recording, record } from '../../../core/tensor/record.ts';
import { type Scalar, type Tensor, tf } from '../../../core/tensor/tf.ts';
import { sumWhileWriting } from '../../../core/tensor/waiting.ts';
import { elements, leavingNoTensors, numbers, relativeError, tensorOf } from '../../support/tensors.ts';

/** Outputs of the graph that is made of a recording. */
function run(recording: Recording, arrays: readonly Float32Array[]): Float32Array[] {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-folding-'));
  writeFolder(folder, saveGraph(recording));
  const graph = loadGraph(folder);
  rmSync(folder, { recursive: true });
  try {
    return deletingTensors((held) => {
      const fed = feedArrays(recording.inputs, arrays, held);
      const names = outputNames(recording.outputs.length);
      const found = graph.run(inputNames(recording.inputs), fed, names);
      held.push(...found);
      return readOutputs(found);
    });
  } finally {
    graph.dispose();
  }
}

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

const CHAIN_MAP = [2, 40, 37, 8];
const CHAIN_INPUTS = [
  { name: 'x', dtype: 'float32' as const, shape: CHAIN_MAP },
  { name: 'a', dtype: 'float32' as const, shape: [1, 1, 8, 8] },
  { name: 'b', dtype: 'float32' as const, shape: [1, 1, 8, 8] },
  { name: 'c', dtype: 'float32' as const, shape: [1, 1, 16, 8] },
  { name: 'weighting', dtype: 'float32' as const, shape: CHAIN_MAP },
];

/** Two nodes, each the sum of two blocks, the second made from the first, and a block that reads both; gradients of everything. */
function chain(inputs: Tensor[]): Tensor[] {
  const block = (x: Tensor, pointwise: Tensor, kernel: number) => {
    const [channels, out] = [x.shape[3]!, pointwise.shape[3]!];
    return separable(
      x,
      {
        slope: tf.fill([channels], 0.3),
        depthwise: tf.fill([kernel, kernel, channels, 1], 0.2),
        pointwise,
        scale: tf.fill([out], 1.1),
        offset: tf.zeros([out]),
      },
      { stride: 1, padding: (kernel - 1) / 2, epsilon: 1e-5 },
    ).y;
  };
  const loss = (x: Tensor, a: Tensor, b: Tensor, c: Tensor, weighting: Tensor) => {
    const first = tf.add(block(x, a, 3), block(x, b, 5));
    const second = tf.add(block(first, a, 7), block(first, b, 3));
    return tf.sum(tf.mul(block(tf.concat([first, second], 3), c, 1), weighting)) as Scalar;
  };
  return tf.grads(loss as (...tensors: Tensor[]) => Scalar)(inputs);
}

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
    const outputs = run(folded, arrays);
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
    const outputs = run(keepApart(folded), arrays);
    const eager: Float32Array[] = [];
    tf.tidy(() => {
      const tensors = SIDE_INPUTS.map(({ shape }, index) => tensorOf(shape, index + 1));
      eager.push(...sideBySide(tensors).map((tensor) => tensor.dataSync() as Float32Array));
    });
    assert.deepEqual(outputs, eager);
  });
});

test('whoever writes the gradient of a block takes its sums, to rounding', () => {
  leavingNoTensors(() => {
    const folded = sumWhileWriting(keepApart(foldSums(record({ inputs: CHAIN_INPUTS, build: chain }))));
    const live = liveNodes(folded);
    const waiting = folded.nodes.filter(
      (node, index) => live.has(index) && node.kind === 'operation' && numberOf(node, 'S') === 1,
    );
    // Of the two blocks of each node, and of the one that reads both nodes, only the last has a dy that no block has written.
    assert.equal(waiting.length, 4);

    const arrays = CHAIN_INPUTS.map(({ shape }, index) => numbers(elements(shape), index + 1));
    const outputs = run(folded, arrays);
    tf.tidy(() => {
      const eager = chain(CHAIN_INPUTS.map(({ shape }, index) => tensorOf(shape, index + 1)));
      // As for the block itself: sums of some 3,000 terms of either sign, in another order.
      for (const [index, tensor] of eager.entries()) {
        const error = relativeError(outputs[index]!, tensor.dataSync());
        assert.ok(error < 5e-6, `gradient ${index}: off by ${error}`);
      }
    });
  });
});
