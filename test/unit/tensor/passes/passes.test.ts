// The passes over a recording: sums folded into the operation that makes a term, maps in parts, sums taken
// while a gradient is written, norms applied by the first reader. Each test compares a run of the changed
// recording with a run without the pass.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeFolder } from '../../../../core/tensor/graph/graph-cache.ts';
import { saveGraph } from '../../../../core/tensor/graph/saved-model.ts';
import {
  deletingTensors,
  feedArrays,
  inputNames,
  loadGraph,
  outputNames,
  readOutputs,
} from '../../../../core/tensor/graph/session.ts';
import { addAll } from '../../../../core/tensor/ops/kernels.ts';
import { affineSeparable, prelus, separable } from '../../../../core/tensor/ops/ops.ts';
import { evenAndOdd } from '../../../../core/tensor/ops/sample.ts';
import { foldSums } from '../../../../core/tensor/passes/fold-sums.ts';
import { normaliseWhileReading } from '../../../../core/tensor/passes/normalise-while-reading.ts';
import { splitMaps } from '../../../../core/tensor/passes/split-maps.ts';
import { sumWhileWriting } from '../../../../core/tensor/passes/sum-while-writing.ts';
import { numberOf } from '../../../../core/tensor/recording/attributes.ts';
import { liveNodes } from '../../../../core/tensor/recording/consumers.ts';
import { type Recording, record } from '../../../../core/tensor/recording/record.ts';
import { type Scalar, type Tensor, tf } from '../../../../core/tensor/tf.ts';
import { elements, leavingNoTensors, numbers, relativeError, tensorOf } from '../../../support/tensors.ts';

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

/**
 * Two blocks that read one map, their sum, and one more block of it: each kind of sum that a cell has, both
 * ways.
 */
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

/**
 * Two nodes, each the sum of two blocks, the second made from the first, and a block that reads both;
 * gradients of everything.
 */
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
 * Four nodes side by side, as a cell's are: two blocks read them, a PReLU in front of a convolution, and the
 * samples of a reduction; the gradient of each node is a part of theirs.
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
    const sums = [...ends, activated!, ...evenAndOdd(all)].map((map) => tf.sum(tf.square(map)));
    return addAll(sums) as Scalar;
  };
  return tf.grads(loss as (...tensors: Tensor[]) => Scalar)([a!, b!, pointwise!, slope!]);
}

const SIDE_INPUTS = [
  { name: 'a', dtype: 'float32' as const, shape: NODE },
  { name: 'b', dtype: 'float32' as const, shape: NODE },
  { name: 'pointwise', dtype: 'float32' as const, shape: [1, 1, 32, 16] },
  { name: 'slope', dtype: 'float32' as const, shape: [32] },
];

test('maps that lie side by side are read and written in parts, and the bits stay', () => {
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
    assert.equal(copies(splitMaps(folded)), 0);

    const arrays = [numbers(2 * 6 * 6 * 8, 1), numbers(2 * 6 * 6 * 8, 2), numbers(512, 3), numbers(32, 4)];
    const outputs = run(splitMaps(folded), arrays);
    const eager: Float32Array[] = [];
    tf.tidy(() => {
      const tensors = SIDE_INPUTS.map(({ shape }, index) => tensorOf(shape, index + 1));
      eager.push(...sideBySide(tensors).map((tensor) => tensor.dataSync() as Float32Array));
    });
    assert.deepEqual(outputs, eager);
  });
});

test('the operation that writes a dy takes the sums of the norm behind it, equal to rounding', () => {
  leavingNoTensors(() => {
    const folded = sumWhileWriting(splitMaps(foldSums(record({ inputs: CHAIN_INPUTS, build: chain }))));
    const live = liveNodes(folded);
    const asking = folded.nodes.filter(
      (node, index) => live.has(index) && node.kind === 'operation' && numberOf(node, 'S') === 1,
    );
    // There are five blocks: two for each node, and one that reads both nodes. Only the dy of that one is
    // written by no block.
    assert.equal(asking.length, 4);

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

test('the gradient of samples is written in parts, with what is to be added', () => {
  leavingNoTensors(() => {
    const inputs = SIDE_INPUTS.slice(0, 2);
    const build = (tensors: Tensor[]): Tensor[] =>
      tf.grads(((a: Tensor, b: Tensor) => {
        const all = tf.concat([a, b, tf.mul(a, 2), tf.mul(b, 3)], 3);
        return addAll(evenAndOdd(all).map((map, i) => tf.sum(tf.pow(map, i + 2)))) as Scalar;
      }) as (...tensors: Tensor[]) => Scalar)(tensors);
    const apart = splitMaps(foldSums(record({ inputs, build })));
    const gradient = apart.nodes.find((node) => node.kind === 'operation' && node.op === 'FleetSampleGrad');
    assert.equal(gradient?.outputs.length, 4);
    const arrays = inputs.map(({ shape }, index) => numbers(elements(shape), index + 1));
    const outputs = run(apart, arrays);
    tf.tidy(() => {
      const eager = build(inputs.map(({ shape }, index) => tensorOf(shape, index + 1)));
      assert.deepEqual(
        outputs,
        eager.map((tensor) => tensor.dataSync()),
      );
    });
  });
});

/**
 * Every kind of map whose norm is left to its reader: alone, with a summand that is normalised or itself
 * before its norm, as one part of several; readers with windows, without, and with strides that leave rows
 * out; channels that fill vectors or do not.
 */
const pendingMaps = (of: { channels: number; height: number; width: number; isAffine: boolean }) => {
  const { channels, height, width, isAffine } = of;
  const inputs = [
    { name: 'x', dtype: 'float32' as const, shape: [2, height, width, channels] },
    { name: 'a', dtype: 'float32' as const, shape: [1, 1, channels, channels] },
    { name: 'b', dtype: 'float32' as const, shape: [1, 1, channels, channels] },
    { name: 'c', dtype: 'float32' as const, shape: [1, 1, 2 * channels, channels] },
  ];
  const block = (x: Tensor, pointwise: Tensor, kernel: number, stride = 1) => {
    const [into, out] = [x.shape[3]!, pointwise.shape[3]!];
    const weights = {
      slope: tf.fill([into], 0.3),
      depthwise: tf.fill([kernel, kernel, into, 1], 0.2),
      pointwise,
      scale: tf.linspace(0.5, 1.5, out),
      offset: tf.linspace(-1, 1, out),
    };
    const window = { stride, padding: (kernel - 1) / 2 };
    return isAffine
      ? affineSeparable(x, weights, window)
      : separable(x, weights, { ...window, epsilon: 1e-5 }).y;
  };
  const loss = (x: Tensor, a: Tensor, b: Tensor, c: Tensor) => {
    const plain = block(x, a, 3);
    const skipping = tf.add(block(plain, b, 5), x);
    const both = tf.add(block(skipping, a, 3), block(plain, b, 1));
    const ends = [block(both, a, 1, 2), block(both, b, 3, 2), block(tf.concat([both, skipping], 3), c, 1)];
    return addAll(ends.map((map) => tf.sum(tf.square(tf.square(map))))) as Scalar;
  };
  const build = (tensors: Tensor[]): Tensor[] => [
    loss(tensors[0]!, tensors[1]!, tensors[2]!, tensors[3]!),
    ...(isAffine ? [] : tf.grads(loss as (...tensors: Tensor[]) => Scalar)(tensors)),
  ];
  return { inputs, build };
};

for (const [channels, height, width, isAffine = false] of [
  [8, 11, 9],
  [16, 14, 14],
  [6, 8, 8],
  // Large enough for stores past the caches.
  [32, 131, 126],
  // As in evaluation.
  [8, 11, 9, true],
  [32, 131, 126, true],
] as const)
  test(`the first reader of a map of ${channels} channels, ${height} by ${width}, ${isAffine ? 'with an affine norm ' : ''}normalises it, and the bits stay`, () => {
    leavingNoTensors(() => {
      const { inputs, build } = pendingMaps({ channels, height, width, isAffine });
      const before = sumWhileWriting(splitMaps(foldSums(record({ inputs, build }))));
      const after = normaliseWhileReading(before);
      const blocks = after.nodes.filter((node) => node.kind === 'operation' && node.op === 'FleetSeparable');
      const terms = blocks.flatMap((node) =>
        node.kind === 'operation'
          ? ((node.attributes.find(({ name }) => name === 'terms')?.value as number[] | undefined) ?? [])
          : [],
      );
      assert.deepEqual(terms.sort(), [0, 1, 2]);
      const arrays = inputs.map(({ shape }, index) => numbers(elements(shape), index + 1));
      assert.deepEqual(run(after, arrays), run(before, arrays));
    });
  });
