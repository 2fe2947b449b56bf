// `npm run test:pjrt`, the lowerings of operations without windows: each gives on the CPU plugin what TensorFlow's own
// gives. Where values are only moved or chosen the bits are equal; sums differ by no more than their order explains.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LOWERINGS } from '../../core/tensor/lowering/lowerings.ts';
import { attr, DT, execute, executeOne, withIntegers } from '../../core/tensor/ops/kernels.ts';
import { type Tensor, tf } from '../../core/tensor/tf.ts';
import { type Case, compareLowered, EPSILON, exact, roundings, summing } from '../support/lowered.ts';
import { asFloats, chooser, operation, seen, WINDOWED } from '../support/lowered-operations.ts';

test('operations on each element', () => {
  const shape = [3, 5, 7];
  const pairs = [
    [
      [3, 5, 7],
      [3, 5, 7],
    ],
    [[3, 5, 7], [7]],
    [
      [2, 1, 4],
      [3, 1],
    ],
    [[], [2, 3]],
  ];
  const positive = (value: number) => Math.abs(value) + 0.25;
  const halves = (value: number) => Math.round(value * 2) / 2;
  const exactOnes = [
    'Abs',
    'Ceil',
    'Floor',
    'Identity',
    'Neg',
    'OnesLike',
    'Relu',
    'Sign',
    'Square',
    'ZerosLike',
  ];
  const logical = (op: string) =>
    operation(op, op === 'LogicalNot' ? [shape] : [shape, [7]], exact, {
      build: (inputs) => {
        const truths = inputs.map((input) => tf.greater(input, 0));
        return [asFloats(executeOne(op, [], truths))];
      },
    });
  compareLowered([
    ...exactOnes.map((op) => operation(op, [shape], exact, { change: (value) => value * 3 })),
    operation('Sqrt', [shape], roundings(2), { change: positive }),
    ...['Rsqrt', 'Reciprocal', 'Log', 'Log1p'].map((op) =>
      operation(op, [shape], roundings(8), { change: (value) => positive(value) * 4 }),
    ),
    ...['Exp', 'Expm1', 'Sigmoid', 'Tanh', 'Sin', 'Cos'].map((op) => operation(op, [shape], roundings(12))),
    ...pairs.flatMap((pair) =>
      ['Add', 'AddV2', 'Sub', 'Mul', 'Maximum', 'Minimum', 'SquaredDifference'].map((op) =>
        operation(op, pair, exact),
      ),
    ),
    ...pairs.flatMap((pair) =>
      ['RealDiv', 'Div', 'Pow'].map((op) =>
        operation(op, pair, roundings(op === 'Pow' ? 16 : 2), { change: positive }),
      ),
    ),
    ...pairs.flatMap((pair) =>
      ['Greater', 'GreaterEqual', 'Less', 'LessEqual', 'Equal', 'NotEqual'].map((op) =>
        operation(op, pair, exact, {
          change: halves,
          build: ([a, b]) => [asFloats(executeOne(op, [attr.type('T', DT.float32)], [a!, b!]))],
        }),
      ),
    ),
    ...['LogicalAnd', 'LogicalOr', 'LogicalNot'].map(logical),
    operation('AddN', [shape, shape], exact, { attributes: () => [attr.int('N', 2)] }),
    operation('BiasAdd', [[2, 3, 4, 5], [5]], exact, {
      attributes: () => [attr.text('data_format', 'NHWC')],
    }),
    operation('ReluGrad', [shape, shape], exact, { change: halves }),
    operation('Select', [shape, shape, shape], exact, {
      build: ([c, a, b]) => [executeOne('Select', [attr.type('T', DT.float32)], [tf.greater(c!, 0), a!, b!])],
    }),
    operation('SelectV2', [[5, 1], shape, [7]], exact, {
      build: ([c, a, b]) => [
        executeOne('SelectV2', [attr.type('T', DT.float32)], [tf.greater(c!, 0), a!, b!]),
      ],
    }),
    operation('Cast', [shape], exact, {
      change: (value) => value * 9,
      build: ([x]) => [asFloats(tf.cast(x!, 'int32')), asFloats(tf.cast(x!, 'bool'))],
    }),
    operation('BroadcastTo', [[3, 1]], exact, { build: ([x]) => [tf.broadcastTo(x!, [2, 3, 4])] }),
    operation('Fill', [[]], exact, {
      build: ([x]) => [
        withIntegers([2, 3], (sizes) =>
          executeOne('Fill', [attr.type('T', DT.float32), attr.type('index_type', DT.int32)], [sizes, x!]),
        ),
      ],
    }),
  ]);
});

test('operations that move values', () => {
  const labels = Int32Array.from([2, -1, 0, 4, 7]);
  const blocks = (op: string, shape: number[]) =>
    operation(op, [shape], exact, {
      attributes: () => [attr.int('block_size', 2), attr.text('data_format', 'NHWC')],
    });
  seen.add('OneHot');
  compareLowered([
    operation('Reshape', [[4, 6]], exact, { build: ([x]) => [tf.reshape(x!, [3, -1])] }),
    operation('ExpandDims', [[4, 6]], exact, { build: ([x]) => [tf.expandDims(x!, 1)] }),
    operation('Transpose', [[2, 3, 4, 5]], exact, {
      build: ([x]) => [tf.transpose(x!, [0, 3, 1, 2]), tf.transpose(x!)],
    }),
    operation('PadV2', [[2, 3, 4]], exact, {
      build: ([x]) => [
        tf.pad(
          x!,
          [
            [0, 1],
            [2, 0],
            [1, 3],
          ],
          -2.5,
        ),
      ],
    }),
    operation('Pad', [[2, 3]], exact, {
      build: ([x]) => [
        executeOne(
          'Pad',
          [attr.type('T', DT.float32), attr.type('Tpaddings', DT.int32)],
          [x!, tf.tensor2d([1, 0, 2, 1], [2, 2], 'int32')],
        ),
      ],
    }),
    operation('Slice', [[4, 5, 6]], exact, {
      build: ([x]) => [tf.slice(x!, [1, 0, 2], [2, -1, 3]), tf.slice(x!, [0, 0, 0], [4, 5, 6])],
    }),
    operation('SplitV', [[3, 9]], exact, { build: ([x]) => tf.split(x!, [2, 4, 3], 1) }),
    operation(
      'ConcatV2',
      [
        [2, 3],
        [2, 1],
        [2, 4],
      ],
      exact,
      { build: (parts) => [tf.concat(parts, -1)] },
    ),
    operation(
      'Pack',
      [
        [2, 3],
        [2, 3],
      ],
      exact,
      { build: (parts) => [tf.stack(parts, 1)] },
    ),
    operation('Unpack', [[2, 3, 4]], exact, { build: ([x]) => tf.unstack(x!, 1) }),
    operation('Tile', [[2, 3]], exact, { build: ([x]) => [tf.tile(x!, [2, 3])] }),
    operation('GatherV2', [[5, 3, 2]], exact, {
      build: ([x]) => [
        tf.gather(x!, tf.tensor1d([4, 0, 0, 2], 'int32')),
        tf.gather(x!, tf.tensor2d([2, 1], [1, 2], 'int32'), 1),
      ],
    }),
    blocks('SpaceToDepth', [2, 4, 6, 3]),
    blocks('DepthToSpace', [2, 2, 3, 8]),
    {
      title: 'OneHot, with numbers that are no place',
      inputs: [{ shape: [5], values: labels }],
      build: ([x]) => [asFloats(tf.oneHot(x!, 6)), asFloats(tf.oneHot(x!, 6, 5, -2))],
      bound: exact,
    },
  ]);
});

test('sums, means, extrema and products', () => {
  const truths = (op: string) =>
    operation(op, [[3, 4, 5]], exact, {
      build: ([x]) => [
        asFloats(op === 'All' ? tf.all(tf.greater(x!, -0.9), 1) : tf.any(tf.greater(x!, 0.9), [0, 2], true)),
      ],
    });
  const choose = chooser(5);
  const matrices = Array.from({ length: 8 }, (_, i) => {
    const [m, k, n] = [choose(1, 17), choose(1, 300), choose(1, 17)];
    const [a, b] = [(i & 1) === 1, (i & 2) === 2];
    return operation('MatMul', [a ? [k, m] : [m, k], b ? [n, k] : [k, n]], summing(k), {
      seed: i + 1,
      attributes: () => [attr.bool('transpose_a', a), attr.bool('transpose_b', b)],
    });
  });
  const batched = [false, true].map((transposed) =>
    operation('BatchMatMulV2', [[2, 3, 4, 5], transposed ? [2, 3, 6, 5] : [2, 3, 5, 6]], summing(5), {
      attributes: () => [attr.bool('adj_x', false), attr.bool('adj_y', transposed)],
    }),
  );
  const along = (op: 'Sum' | 'Mean' | 'Max' | 'Min' | 'Prod') => {
    const reduce = { Sum: tf.sum, Mean: tf.mean, Max: tf.max, Min: tf.min, Prod: tf.prod }[op];
    const bound = op === 'Sum' ? summing(19 * 23) : op === 'Prod' ? roundings(16) : exact;
    return operation(op, [op === 'Prod' ? [4, 5] : [19, 23, 7]], bound, {
      build: ([x]) =>
        op === 'Prod' ? [reduce(x!, 1)] : [reduce(x!, [0, 1]), reduce(x!, -1, true), reduce(x!)],
    });
  };
  const meanBound: Case['bound'] = (wanted, run, inputs) => summing(19 * 23 * 7)(wanted, run, inputs);
  const softmax = (op: string) =>
    operation(
      op,
      [[6, 40]],
      (wanted) => wanted.map((values) => (i) => 100 * EPSILON * (1 + Math.abs(values[i]!))),
      {
        change: (value) => value * 20,
      },
    );
  compareLowered([
    ...matrices,
    ...batched,
    ...(['Sum', 'Max', 'Min', 'Prod'] as const).map(along),
    { ...along('Mean'), bound: meanBound },
    operation('BiasAddGrad', [[3, 9, 11, 5]], summing(3 * 9 * 11), {
      attributes: () => [attr.text('data_format', 'NHWC')],
    }),
    ...['Softmax', 'LogSoftmax'].map(softmax),
    ...['All', 'Any'].map(truths),
  ]);
});

test('batch norm in training and evaluation, and its gradient', () => {
  const norm = (epsilon: number, training: boolean) => [
    attr.type('T', DT.float32),
    attr.type('U', DT.float32),
    attr.float('epsilon', epsilon),
    attr.text('data_format', 'NHWC'),
    attr.bool('is_training', training),
  ];
  const average = () => attr.float('exponential_avg_factor', 1);
  const none = () => tf.tensor1d([], 'float32');
  const choose = chooser(9);
  const cases = Array.from({ length: 6 }, (_, i) => {
    const [n, h, w, c] = [choose(1, 3), choose(1, 9), choose(2, 9), choose(1, 9)];
    const map = [n, h, w, c];
    const pixels = n * h * w;
    const epsilon = [1e-5, 2e-3][i % 2]!;
    // Values in [1, 5): a mean that is not small beside the deviation, which a difference of means would lose.
    const shifted = (value: number) => 3 + 2 * value;
    // Statistics are sums of m terms, so each is off by m eps; y and the gradients multiply by at most
    // (1 + mean / deviation) = (1 + 5 / 0.3) of that, twice for the variance, and sums of m terms follow.
    const bound = (wanted: readonly Float32Array[]) =>
      wanted.map((values) => {
        const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
        return () => 2 * (pixels + 8) * EPSILON * 17 * largest;
      });
    const train = (x: Tensor, scale: Tensor, offset: Tensor) =>
      execute('FusedBatchNormV3', [...norm(epsilon, true), average()], [x, scale, offset, none(), none()], 6);
    return [
      operation('FusedBatchNormV3', [map, [c], [c]], bound, {
        seed: i,
        change: shifted,
        build: ([x, scale, offset]) => train(x!, scale!, offset!).slice(0, 3),
      }),
      operation('FusedBatchNormV3', [map, [c], [c], [c], [c]], roundings(64), {
        seed: i,
        change: (value) => Math.abs(value) + 0.5,
        build: ([x, scale, offset, mean, variance]) => [
          execute(
            'FusedBatchNormV3',
            [...norm(epsilon, false), average()],
            [tf.add(x!, 2), scale!, offset!, mean!, variance!],
            6,
          )[0]!,
        ],
      }),
      operation('FusedBatchNormGradV3', [map, map, [c]], bound, {
        seed: i,
        change: shifted,
        build: ([dy, x, scale]) => {
          const [, , , ...reserved] = train(x!, scale!, tf.zerosLike(scale!));
          return execute(
            'FusedBatchNormGradV3',
            norm(epsilon, true),
            [dy!, x!, scale!, ...reserved],
            5,
          ).slice(0, 3);
        },
      }),
    ];
  });
  compareLowered(cases.flat());
});

test('every other lowering was compared', () => {
  assert.deepEqual(
    [...LOWERINGS.keys()].filter((op) => !seen.has(op) && !WINDOWED.includes(op)),
    [],
  );
});
