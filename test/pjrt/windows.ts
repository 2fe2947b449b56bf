// `npm run test:pjrt`, the lowerings of operations with windows: convolutions and pools give on the CPU plugin what
// TensorFlow's own give, forward and gradient, on random shapes, strides, paddings and dilations. Sums differ by no
// more than their order explains.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attr, DT, executeOne, withIntegers } from '../../core/tensor/ops/kernels.ts';
import { type Tensor, tf } from '../../core/tensor/tf.ts';
import { type Case, compareLowered, EPSILON, exact, summing } from '../support/lowered.ts';
import { chooser, operation, seen, WINDOWED } from '../support/lowered-operations.ts';

/** A random window over a random map. */
function windows(seed: number, options: { readonly square: boolean; readonly dilated: boolean }) {
  const choose = chooser(seed);
  const [n, h, w, c] = [choose(1, 3), choose(7, 15), choose(7, 15), choose(1, 5)];
  const kh = choose(1, 5);
  const kw = options.square ? kh : choose(1, 5);
  const s = choose(1, 3);
  const d = options.dilated && s === 1 ? choose(1, 2) : 1;
  const padding = (['VALID', 'SAME', 'EXPLICIT'] as const)[choose(0, 2)]!;
  const pads = [choose(0, kh - 1), choose(0, kh - 1), choose(0, kw - 1), choose(0, kw - 1)];
  const out = (length: number, k: number, before: number, after: number) => {
    const reach = (k - 1) * d + 1;
    if (padding === 'SAME') return Math.ceil(length / s);
    return Math.floor((length + (padding === 'VALID' ? 0 : before + after) - reach) / s) + 1;
  };
  const attributes = () => [
    attr.type('T', DT.float32),
    attr.int('strides', [1, s, s, 1]),
    attr.text('padding', padding),
    ...(padding === 'EXPLICIT' ? [attr.int('explicit_paddings', [0, 0, ...pads, 0, 0])] : []),
    attr.text('data_format', 'NHWC'),
    attr.int('dilations', [1, d, d, 1]),
  ];
  const what = `stride ${s}, dilation ${d}, ${padding} ${padding === 'EXPLICIT' ? pads : ''}`;
  return {
    n,
    h,
    w,
    c,
    kh,
    kw,
    oh: out(h, kh, pads[0]!, pads[1]!),
    ow: out(w, kw, pads[2]!, pads[3]!),
    attributes,
    what,
    choose,
  };
}

for (const kind of ['Conv2D', 'DepthwiseConv2dNative'] as const)
  test(`${kind} and its gradients, on random windows`, () => {
    const depthwise = kind === 'DepthwiseConv2dNative';
    const cases = Array.from({ length: 14 }, (_, i) => {
      // TensorFlow's processor kernels have no gradients with dilations.
      const window = windows(100 + i, { square: depthwise, dilated: !depthwise && i < 4 });
      const { n, h, w, c, kh, kw, oh, ow, attributes, what, choose } = window;
      const last = choose(1, depthwise ? 2 : 6);
      const kernel = [kh, kw, c, last];
      const map = [n, h, w, c];
      const dy = [n, oh, ow, depthwise ? c * last : last];
      const forward = operation(kind, [map, kernel], summing(kh * kw * c), {
        seed: i,
        build: ([x, k]) => [executeOne(kind, attributes(), [x!, k!])],
      });
      const backInput = operation(`${kind}BackpropInput`, [kernel, dy], summing(kh * kw * last), {
        seed: i,
        build: ([k, g]) => [
          withIntegers(map, (sizes) => executeOne(`${kind}BackpropInput`, attributes(), [sizes, k!, g!])),
        ],
      });
      const backFilter = operation(`${kind}BackpropFilter`, [map, dy], summing(n * oh * ow), {
        seed: i,
        build: ([x, g]) => [
          withIntegers(kernel, (sizes) => executeOne(`${kind}BackpropFilter`, attributes(), [x!, sizes, g!])),
        ],
      });
      const all = what.includes('dilation 1') ? [forward, backInput, backFilter] : [forward];
      return all.map((one) => ({ ...one, title: `${one.title} with ${what}` }));
    });
    compareLowered(cases.flat());
  });

test('a dilated gradient is that of the convolution with a spread kernel', () => {
  // [1, 3] with dilation 2 is [1, 5] with zeros between: both directions, and the kernel's gradient at its places.
  const strides = () => [
    attr.type('T', DT.float32),
    attr.int('strides', [1, 1, 1, 1]),
    attr.text('padding', 'VALID'),
    attr.text('data_format', 'NHWC'),
  ];
  const dilated = () => [...strides(), attr.int('dilations', [1, 1, 2, 1])];
  const spread = (k: Tensor) => {
    const [a, b, c] = tf.split(k, 3, 1) as [Tensor, Tensor, Tensor];
    const zero = tf.zerosLike(a);
    return tf.concat([a, zero, b, zero, c], 1);
  };
  const [map, kernel, dy] = [
    [2, 4, 9, 3],
    [1, 3, 3, 2],
    [2, 4, 5, 2],
  ];
  let lowering = false;
  const twoWays = (one: (attributes: typeof dilated) => Tensor, other: () => Tensor) => [
    lowering ? one(dilated) : other(),
  ];
  const cases: Case[] = [
    operation('Conv2DBackpropInput', [kernel, dy], summing(3 * 2), {
      build: ([k, g]) =>
        withIntegers(map, (sizes) =>
          twoWays(
            (attributes) => executeOne('Conv2DBackpropInput', attributes(), [sizes, k!, g!]),
            () => executeOne('Conv2DBackpropInput', strides(), [sizes, spread(k!), g!]),
          ),
        ),
    }),
    operation('Conv2DBackpropFilter', [map, dy], summing(2 * 4 * 5), {
      build: ([x, g]) =>
        twoWays(
          (attributes) =>
            withIntegers(kernel, (sizes) =>
              executeOne('Conv2DBackpropFilter', attributes(), [x!, sizes, g!]),
            ),
          () =>
            withIntegers([1, 5, 3, 2], (sizes) => {
              const columns = tf.split(executeOne('Conv2DBackpropFilter', strides(), [x!, sizes, g!]), 5, 1);
              return tf.concat([columns[0]!, columns[2]!, columns[4]!], 1);
            }),
        ),
    }),
  ];
  compareLowered(cases, (recording) => {
    lowering = recording;
  });
});

test('pools and their gradients, on random windows', () => {
  const cases = Array.from({ length: 12 }, (_, i) => {
    const { n, h, w, c, kh, oh, ow, attributes, what } = windows(300 + i, { square: true, dilated: false });
    if (what.includes('EXPLICIT')) return [];
    const pool = () => [
      ...attributes().filter(({ name }) => name !== 'dilations'),
      attr.int('ksize', [1, kh, kh, 1]),
    ];
    const [map, out] = [
      [n, h, w, c],
      [n, oh, ow, c],
    ];
    // Few different values, so that several pixels of a window have its maximum.
    const steps = (value: number) => Math.round(value * 3);
    const all = [
      operation('MaxPool', [map], exact, {
        seed: i,
        change: steps,
        build: ([x]) => [executeOne('MaxPool', pool(), [x!])],
      }),
      operation('MaxPoolGrad', [map, out], summingSecond(kh * kh), {
        seed: i,
        change: steps,
        build: ([x, dy]) => [
          executeOne('MaxPoolGrad', pool(), [x!, executeOne('MaxPool', pool(), [x!]), dy!]),
        ],
      }),
      operation('AvgPool', [map], summing(kh * kh), {
        seed: i,
        build: ([x]) => [executeOne('AvgPool', pool(), [x!])],
      }),
      operation('AvgPoolGrad', [out], summing(kh * kh), {
        seed: i,
        build: ([dy]) => [withIntegers(map, (sizes) => executeOne('AvgPoolGrad', pool(), [sizes, dy!]))],
      }),
    ];
    return all.map((one) => ({ ...one, title: `${one.title}, ${kh} pixels, ${what}` }));
  });
  assert.ok(cases.flat().length >= 24);
  compareLowered(cases.flat());
});

/** As `summing`, of the second input's magnitudes alone: the first decides where they go. */
function summingSecond(terms: number): Case['bound'] {
  return (_wanted, run, [x, dy]) =>
    run([x!, dy!.map((value: number) => Math.abs(value)) as Float32Array]).map(
      (sums) => (index) => 2 * (terms + 1) * EPSILON * sums[index]!,
    );
}

test('every operation with a window was compared', () => {
  assert.deepEqual([...seen].sort(), WINDOWED);
});
