// Recordings as StableHLO text: the exact text of a small function, what is refused and when, which values are
// arguments and results, whose memory is donated, and what is bfloat16. That the text computes what TensorFlow
// computes is shown on a compiler's plugin by `npm run test:pjrt`.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FleetError } from '../../../../core/errors.ts';
import { lower, recordLowerable } from '../../../../core/tensor/lowering/lower.ts';
import { conv2d } from '../../../../core/tensor/ops/ops.ts';
import type { Edge, GraphInput, Recording } from '../../../../core/tensor/recording/record.ts';
import { type Tensor, tf } from '../../../../core/tensor/tf.ts';
import { leavingNoTensors, smallStep } from '../../../support/tensors.ts';

const FLOATS = (...shapes: number[][]): GraphInput[] =>
  shapes.map((shape, index) => ({ name: `x${index}`, dtype: 'float32', shape }));

const recordOf = (inputs: readonly GraphInput[], build: (inputs: Tensor[]) => Tensor[]): Recording =>
  recordLowerable({ inputs, build });

const edgeOf = ({ nodes }: Recording, op: string): Edge => ({
  node: nodes.findIndex((node) => node.kind === 'operation' && node.op === op),
  output: 0,
});

test('a small function is this module', () => {
  const recording = recordOf(FLOATS([1, 4, 4, 2], [3, 3, 2, 2], [2]), ([x, kernel, bias]) => [
    tf.relu(tf.add(conv2d(x!, kernel!, 2, 1), bias!)),
    tf.sum(x!, [1, 2]),
  ]);
  const { text, inputs, outputs } = lower(recording);
  assert.equal(
    text,
    `module @pocketfleet {
  func.func public @main(%arg0: tensor<1x4x4x2xf32>, %arg1: tensor<3x3x2x2xf32>, %arg2: tensor<2xf32>) -> (tensor<1x2x2x2xf32>, tensor<1x2xf32>) {
    %0 = "stablehlo.convolution"(%arg0, %arg1) {batch_group_count = 1 : i64, dimension_numbers = #stablehlo.conv<[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]>, feature_group_count = 1 : i64, lhs_dilation = array<i64: 1, 1>, padding = dense<[[1, 1], [1, 1]]> : tensor<2x2xi64>, precision_config = [#stablehlo<precision HIGHEST>, #stablehlo<precision HIGHEST>], rhs_dilation = array<i64: 1, 1>, window_strides = array<i64: 2, 2>} : (tensor<1x4x4x2xf32>, tensor<3x3x2x2xf32>) -> tensor<1x2x2x2xf32>
    %1 = "stablehlo.broadcast_in_dim"(%arg2) {broadcast_dimensions = array<i64: 3>} : (tensor<2xf32>) -> tensor<1x2x2x2xf32>
    %2 = stablehlo.add %0, %1 : tensor<1x2x2x2xf32>
    %3 = stablehlo.constant dense<0x00000000> : tensor<1x2x2x2xf32>
    %4 = stablehlo.maximum %2, %3 : tensor<1x2x2x2xf32>
    %5 = stablehlo.constant dense<0x00000000> : tensor<f32>
    %6 = stablehlo.reduce(%arg0 init: %5) applies stablehlo.add across dimensions = [2] : (tensor<1x4x4x2xf32>, tensor<f32>) -> tensor<1x4x2xf32>
    %7 = stablehlo.optimization_barrier %6 : tensor<1x4x2xf32>
    %8 = stablehlo.reduce(%7 init: %5) applies stablehlo.add across dimensions = [1] : (tensor<1x4x2xf32>, tensor<f32>) -> tensor<1x2xf32>
    return %4, %8 : tensor<1x2x2x2xf32>, tensor<1x2xf32>
  }
}
`,
  );
  assert.deepEqual(inputs[2], { element: 'f32', shape: [2] });
  assert.deepEqual(
    outputs.map(({ shape }) => shape),
    [
      [1, 2, 2, 2],
      [1, 2],
    ],
  );
});

test('a step is recorded without operations of ours, on a processor too, and lowered twice to the same text', () => {
  leavingNoTensors(() => {
    const recording = recordLowerable(smallStep);
    const ops = recording.nodes.flatMap((node) => (node.kind === 'operation' ? [node.op] : []));
    assert.deepEqual(
      ops.filter((op) => op.startsWith('Fleet')),
      [],
    );
    assert.ok(ops.includes('FusedBatchNormGradV3') && ops.includes('DepthwiseConv2dNativeBackpropFilter'));
    // Detours around the CPU library's slow kernels are left out: a padded gradient is one convolution.
    assert.equal(ops.filter((op) => op === 'Pad').length, 0);
    assert.equal(lower(recording).text, lower(recordLowerable(smallStep)).text);
  });
});

test('an operation without a lowering is named while the function is recorded, and nothing is left', () => {
  leavingNoTensors(() => {
    let after = false;
    assert.throws(
      () =>
        recordOf(FLOATS([2]), ([x]) => {
          const y = tf.erf(x!);
          after = true;
          return [y];
        }),
      (error) =>
        error instanceof FleetError &&
        error.code === 'unimplemented' &&
        /^Erf has no lowering/.test(error.message),
    );
    assert.equal(after, false);
  });
});

test('a form without a lowering is named with its operation', () => {
  const recording = recordOf(FLOATS([4, 3], [2]), ([x]) => [tf.gather(x!, tf.tensor1d([0, 1], 'int32'))]);
  const batched: Recording = {
    ...recording,
    nodes: recording.nodes.map((node) =>
      node.kind === 'operation' && node.op === 'GatherV2'
        ? { ...node, attributes: [{ name: 'batch_dims', type: 0, value: 1 }] }
        : node,
    ),
  };
  assert.throws(() => lower(batched), /^FleetError: GatherV2 with batch axes has no lowering/);
});

test('results may be arguments, and only what follows from them is computed', () => {
  const recording = recordOf(FLOATS([3], [3]), ([a, b]) => {
    const product = tf.mul(a!, b!);
    return [tf.exp(product), tf.neg(tf.square(product))];
  });
  const { text, inputs, outputs } = lower(recording, {
    feeds: [edgeOf(recording, 'Mul')],
    fetches: [recording.outputs[1]!, edgeOf(recording, 'Square')],
  });
  assert.equal(inputs.length, 1);
  assert.equal(outputs.length, 2);
  assert.doesNotMatch(text, /exponential|%arg1/);
  assert.throws(
    () => lower(recording, { feeds: [], fetches: recording.outputs }),
    /reads input 0, which is not among its arguments/,
  );
});

test('a donated argument is an alias of its result, which has its type', () => {
  const recording = recordOf(FLOATS([3], [3]), ([a, b]) => [tf.add(a!, b!), tf.sum(a!)]);
  assert.match(
    lower(recording, { donated: new Map([[1, 0]]) }).text,
    /main\(%arg0: tensor<3xf32>, %arg1: tensor<3xf32> \{tf\.aliasing_output = 0 : i32\}\)/,
  );
  assert.throws(
    () => lower(recording, { donated: new Map([[1, 1]]) }),
    /argument 1 \(tensor<3xf32>\) is donated to result 1, which is tensor<f32>/,
  );
});

test('in bf16 maps and their products are bfloat16, and every sum and result is float32', () => {
  const recording = recordLowerable(smallStep);
  const lines = (precision: 'float32' | 'tf32' | 'bf16') => lower(recording, { precision }).text.split('\n');
  assert.equal(lines('float32').filter((line) => line.includes('bf16')).length, 0);
  assert.deepEqual(
    lines('tf32').map((line) => line.replaceAll('precision DEFAULT', 'precision HIGHEST')),
    lines('float32'),
  );
  const bf16 = lines('bf16');
  const convolutions = bf16.filter((line) => line.includes('stablehlo.convolution'));
  assert.ok(convolutions.length >= 5);
  for (const line of convolutions)
    assert.match(line, /\(tensor<[\dx]+bf16>, tensor<[\dx]+bf16>\) -> tensor<[\dx]+f32>/);
  for (const line of bf16.filter((text) => text.includes('stablehlo.reduce(')))
    assert.doesNotMatch(line, /bf16/);
  assert.match(bf16[1]!, /-> \(tensor<551xf32>\)/);
  assert.match(bf16.at(-4)!, /: tensor<551xf32>$/);
});
