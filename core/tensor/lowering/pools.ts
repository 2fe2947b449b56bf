// Lowerings of pools and their gradients. Definitions: TensorFlow's nn_ops; StableHLO, "reduce_window" and
// "pad".
//
// The gradient of a maximum goes to the first pixel of a window, row by row, that has it (TensorFlow,
// maxpooling_op). It is written as one comparison and one padding for each place of the window, without
// StableHLO's select_and_scatter, whose sums of overlapping windows GPUs take in any order.

import { attributeOf, type Call, type Lowering, type Lowerings, outputOf } from './call.ts';
import type { Ref } from './literals.ts';
import { type Slide, slidesOf } from './windows.ts';

function poolOf(call: Call, map: readonly number[]): readonly [Slide, Slide] {
  const [, height, width] = attributeOf(call, 'ksize') as [number, number, number, number];
  return slidesOf(call, map, [height, width]);
}

/** The window of both axes in StableHLO's terms, from a map to `shape`. */
const windowOf = ([rows, columns]: readonly [Slide, Slide], shape: readonly number[]) => ({
  sizes: [1, rows.window, columns.window, 1],
  strides: [1, rows.stride, columns.stride, 1],
  paddings: [
    [0, 0],
    [rows.low, rows.high],
    [columns.low, columns.high],
    [0, 0],
  ] as const,
  shape,
});

/** What an operation makes of each window, and the pixels of each. */
function pooled(call: Call, operation: 'maximum' | 'add') {
  const x = call.input(0);
  const { shape } = outputOf(call);
  const slides = poolOf(call, x.shape);
  return { pool: call.text.reduceWindow(operation, x, windowOf(slides, shape)), slides, shape };
}

const maxPool: Lowering = (call) => [pooled(call, 'maximum').pool];

/** Inputs: x, y, dy. */
const maxPoolGrad: Lowering = (call) => {
  const { text } = call;
  const [x, y, dy] = [call.input(0), call.input(1), call.input(2)];
  const [rows, columns] = poolOf(call, x.shape);
  const border = (slide: Slide) =>
    (slide.outputs - 1) * slide.stride + slide.window - slide.length - slide.low;
  const lowest = text.splat(Number.NEGATIVE_INFINITY, x.element);
  // Exactly the pixels that windows cover, padding included: [N, (H' - 1) s + k, (W' - 1) s + k, C].
  const covered = text.pad(x, lowest, {
    low: [0, rows.low, columns.low, 0],
    high: [0, border(rows), border(columns), 0],
  });
  const [images, height, width, channels] = covered.shape as [number, number, number, number];
  const zero = text.splat(0, dy.element);
  const nothing = text.splat(0, dy.element, dy.shape);
  let open = text.splat(1, 'i1', y.shape);
  let sum: Ref | null = null;
  for (let i = 0; i < rows.window; i++)
    for (let j = 0; j < columns.window; j++) {
      const ends = [(rows.outputs - 1) * rows.stride + i + 1, (columns.outputs - 1) * columns.stride + j + 1];
      const place = text.slice(
        covered,
        [0, i, j, 0],
        [images, ends[0]!, ends[1]!, channels],
        [1, rows.stride, columns.stride, 1],
      );
      const found = text.binary('and', open, text.compare('EQ', place, y));
      open = text.binary('and', open, text.unary('not', found));
      const spread = text.pad(text.select(found, dy, nothing), zero, {
        low: [0, i, j, 0],
        high: [0, height - ends[0]!, width - ends[1]!, 0],
        inside: [0, rows.stride - 1, columns.stride - 1, 0],
      });
      sum = sum === null ? spread : text.binary('add', sum, spread);
    }
  return [
    text.pad(sum!, zero, {
      low: [0, -rows.low, -columns.low, 0],
      high: [0, -border(rows), -border(columns), 0],
    }),
  ];
};

/** Pixels of each window that lie inside the map, [N, H', W', C]: padding is no part of a mean. */
function countsOf({ text }: Call, [rows, columns]: readonly [Slide, Slide], shape: readonly number[]): Ref {
  const along = ({ outputs, stride, low, window, length }: Slide) =>
    Array.from({ length: outputs }, (_, i) => {
      const from = i * stride - low;
      return Math.min(from + window, length) - Math.max(from, 0);
    });
  const axis = (counts: number[], at: number) =>
    text.broadcastInto(text.constant(counts, 'f32', [counts.length]), shape, [at]);
  return text.binary('multiply', axis(along(rows), 1), axis(along(columns), 2));
}

const avgPool: Lowering = (call) => {
  const { pool, slides, shape } = pooled(call, 'add');
  return [call.text.binary('divide', pool, countsOf(call, slides, shape))];
};

/** Inputs: sizes of x, dy. Each pixel takes the shares of all windows that cover it. */
const avgPoolGrad: Lowering = (call) => {
  const { text } = call;
  const dy = call.input(1);
  const slides = poolOf(call, call.integers(0));
  const shares = text.binary('divide', dy, countsOf(call, slides, dy.shape));
  const [rows, columns] = slides;
  const low = ({ window, low: before }: Slide) => window - 1 - before;
  // As many as make the result as long as x: n = (n' - 1) s + 1 + low + high - (k - 1).
  const high = (slide: Slide) =>
    slide.length - ((slide.outputs - 1) * slide.stride + 1) - low(slide) + slide.window - 1;
  const apart = text.pad(shares, text.splat(0, dy.element), {
    low: [0, low(rows), low(columns), 0],
    high: [0, high(rows), high(columns), 0],
    inside: [0, rows.stride - 1, columns.stride - 1, 0],
  });
  const window = {
    sizes: [1, rows.window, columns.window, 1],
    strides: [1, 1, 1, 1],
    paddings: [
      [0, 0],
      [0, 0],
      [0, 0],
      [0, 0],
    ] as const,
    shape: outputOf(call).shape,
  };
  return [text.reduceWindow('add', apart, window)];
};

export const pools: Lowerings = {
  AvgPool: avgPool,
  AvgPoolGrad: avgPoolGrad,
  MaxPool: maxPool,
  MaxPoolGrad: maxPoolGrad,
};
