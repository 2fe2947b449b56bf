// The head in class shards against the head in one piece, on the same numbers, and the sample of negative classes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FleetError } from '../../../core/errors.ts';
import {
  assertClassesDivide,
  classRange,
  placesOf,
  STATISTICS,
  sampleClasses,
  sampledCount,
} from '../../../core/head/classes.ts';
import { putRows, takeRows, updateRows } from '../../../core/head/rows.ts';
import { headGradients, headStatistics } from '../../../core/head/step.ts';
import { arcfaceLoss } from '../../../core/loss/arcface.ts';
import type { TensorFunction } from '../../../core/nn/step-function.ts';
import { normals } from '../../../core/rng.ts';
import { compileGraph } from '../../../core/tensor/graph/compiled.ts';
import { type Tensor, tf } from '../../../core/tensor/tf.ts';

const BATCH = 16;
const EMBEDDING = 12;
const LOSS = { scale: 64, margin: 0.5 };
/**
 * Largest relative error of a float32 scalar product of E terms and its division by a length is (E + 2) 2^-24; the scale makes it an
 * absolute one of the logit, hence a relative one of each probability, on both sides of the comparison.
 */
const TOLERANCE = 2 * LOSS.scale * (EMBEDDING + 2) * 2 ** -24;

const floats = (stream: string, count: number) => Float32Array.from(normals(3, stream, count));

function unitRows(values: Float32Array): Float32Array {
  const unit = values.slice();
  for (let row = 0; row < unit.length; row += EMBEDDING) {
    const part = unit.subarray(row, row + EMBEDDING);
    const length = Math.hypot(...part);
    part.forEach((value, i) => {
      part[i] = value / length;
    });
  }
  return unit;
}

function run(tensorFunction: TensorFunction, inputs: (Float32Array | Int32Array)[]): Float32Array[] {
  const graph = compileGraph({ key: 'head', ...tensorFunction });
  try {
    return graph.run(inputs);
  } finally {
    graph.dispose();
  }
}

interface Problem {
  readonly classes: number;
  readonly shards: number;
  readonly labels: Int32Array;
  readonly negatives?: number;
}

interface Solution {
  readonly losses: Float32Array;
  /** Gradients of the mean over the batch. */
  readonly unit: Float32Array;
  readonly kernel: Float32Array;
  readonly chosen: Uint32Array[];
}

const unit = unitRows(floats('unit', BATCH * EMBEDDING));
const kernelOf = (classes: number) => floats('kernel', classes * EMBEDDING).map((value) => value * 0.01);

/** As the workers do it, for all shards here. */
function sharded({ classes, shards, labels, negatives = 1 }: Problem): Solution {
  const kernel = kernelOf(classes);
  const parts = Array.from({ length: shards }, (_, shard) => {
    const range = classRange(classes, shards, shard);
    const all = new Float32Array(range.count * EMBEDDING);
    takeRows({ kernel, rows: all, classes, range });
    const size = sampledCount({ count: range.count, batch: BATCH, negatives });
    const chosen = sampleClasses({ range, size, labels, seed: 9, step: 4, shard });
    const rows = new Float32Array(size * EMBEDDING);
    chosen.forEach((place, i) => {
      rows.set(all.subarray(place * EMBEDDING, (place + 1) * EMBEDDING), i * EMBEDDING);
    });
    const shape = { batch: BATCH, shards, embedding: EMBEDDING, classes: size, loss: LOSS };
    return { range, chosen, shape, inputs: [unit, rows, placesOf(labels, range, chosen)] };
  });
  const statistics = new Float32Array(shards * STATISTICS * BATCH);
  parts.forEach(({ shape, inputs }, shard) => {
    statistics.set(run(headStatistics(shape), inputs)[0]!, shard * STATISTICS * BATCH);
  });
  const gradient = new Float32Array(kernel.length);
  const unitGradient = new Float32Array(unit.length);
  let losses = new Float32Array();
  for (const { range, chosen, shape, inputs } of parts) {
    const [rows, ofUnit, own] = run(headGradients(shape), [...inputs, statistics]);
    const whole = new Float32Array(range.count * EMBEDDING);
    chosen.forEach((place, i) => {
      whole.set(rows!.subarray(i * EMBEDDING, (i + 1) * EMBEDDING), place * EMBEDDING);
    });
    putRows({ kernel: gradient, rows: whole, classes, range });
    ofUnit!.forEach((value, i) => {
      unitGradient[i]! += value;
    });
    if (losses.length > 0) assert.deepEqual(own, losses, 'every shard finds the same losses');
    losses = new Float32Array(own!);
  }
  return {
    losses,
    unit: unitGradient.map((value) => value / shards),
    kernel: gradient.map((value) => value / shards),
    chosen: parts.map((part) => part.chosen),
  };
}

function inOnePiece({ classes, labels }: Problem): {
  loss: number;
  unit: Float32Array;
  kernel: Float32Array;
} {
  const before = tf.memory().numTensors;
  const result = tf.tidy(() => {
    const differentiate = tf.valueAndGrads((u: Tensor, k: Tensor) =>
      arcfaceLoss(u, k, tf.tensor1d(labels, 'int32'), LOSS).asScalar(),
    );
    const { value, grads } = differentiate([
      tf.tensor2d(unit, [BATCH, EMBEDDING]),
      tf.tensor2d(kernelOf(classes), [EMBEDDING, classes]),
    ]);
    return {
      loss: value.dataSync()[0]!,
      unit: new Float32Array(grads[0]!.dataSync()),
      kernel: new Float32Array(grads[1]!.dataSync()),
    };
  });
  assert.equal(tf.memory().numTensors, before);
  return result;
}

function distance(a: Float32Array, b: Float32Array): number {
  assert.equal(a.length, b.length);
  let difference = 0;
  let size = 0;
  for (let i = 0; i < a.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    size += b[i]! ** 2;
  }
  return Math.sqrt(difference / size);
}

const mean = (values: Float32Array) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** First and last class of each shard, so that an error of one at a border shows. */
function borderLabels(classes: number, shards: number): Int32Array {
  const borders = Array.from({ length: shards }, (_, shard) => classRange(classes, shards, shard)).flatMap(
    ({ first, count }) => [first, first + count - 1],
  );
  return Int32Array.from({ length: BATCH }, (_, i) => borders[i % borders.length]!);
}

for (const shards of [1, 2, 4, 8])
  for (const classes of [16, 37, 64])
    test(`${classes} classes in ${shards} shards give loss and gradients of the whole head`, () => {
      const problem = { classes, shards, labels: borderLabels(classes, shards) };
      const found = sharded(problem);
      const expected = inOnePiece(problem);
      assert.ok(Math.abs(mean(found.losses) - expected.loss) <= TOLERANCE * Math.max(1, expected.loss));
      assert.ok(distance(found.unit, expected.unit) <= TOLERANCE, 'of the embeddings');
      assert.ok(distance(found.kernel, expected.kernel) <= TOLERANCE, 'of the classes');
    });

test('class ranges cover each class once, in sizes that differ by at most one', () => {
  for (const [classes, shards] of [
    [8, 8],
    [85_742, 8],
    [37, 16],
  ] as const) {
    let next = 0;
    const sizes = new Set<number>();
    for (let shard = 0; shard < shards; shard++) {
      const { first, count } = classRange(classes, shards, shard);
      assert.equal(first, next);
      next = first + count;
      sizes.add(count);
    }
    assert.equal(next, classes);
    assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1);
  }
});

test('a sample has its size, all classes of the batch, and follows from seed, step and shard', () => {
  const classes = 1000;
  const shards = 2;
  const labels = borderLabels(classes, shards);
  for (let shard = 0; shard < shards; shard++) {
    const range = classRange(classes, shards, shard);
    const size = sampledCount({ count: range.count, batch: BATCH, negatives: 0.1 });
    assert.equal(size, 50);
    const at = { range, size, labels, seed: 1, step: 2, shard };
    const chosen = sampleClasses(at);
    assert.equal(chosen.length, size);
    assert.ok(chosen.every((place, i) => place < range.count && (i === 0 || place > chosen[i - 1]!)));
    const places = placesOf(labels, range, chosen);
    labels.forEach((label, i) => {
      const inside = label >= range.first && label < range.first + range.count;
      assert.equal(places[i]! >= 0, inside);
      if (inside) assert.equal(chosen[places[i]!]! + range.first, label);
    });
    assert.deepEqual(sampleClasses(at), chosen);
    for (const other of [{ seed: 2 }, { step: 3 }, { shard: 7 }])
      assert.notDeepEqual(sampleClasses({ ...at, ...other }), chosen);
  }
});

test('every class is chosen about as often as any other', () => {
  const range = { first: 0, count: 40 };
  const size = 10;
  const times = new Float64Array(range.count);
  const steps = 2000;
  for (let step = 0; step < steps; step++)
    for (const place of sampleClasses({ range, size, labels: new Int32Array(), seed: 1, step, shard: 0 }))
      times[place]! += 1;
  // Binomial with p = 1/4: five deviations are 97, and 40 classes leave a chance of 2e-5 for one beyond.
  const expected = (steps * size) / range.count;
  const deviation = Math.sqrt(steps * 0.25 * 0.75);
  for (const count of times) assert.ok(Math.abs(count - expected) < 5 * deviation, `${count}`);
});

test('a sample never leaves out a class of the batch, however small the fraction', () => {
  const range = classRange(100, 2, 0);
  assert.equal(sampledCount({ count: range.count, batch: BATCH, negatives: 0.001 }), BATCH);
  assert.equal(sampledCount({ count: 5, batch: BATCH, negatives: 0.001 }), 5);
});

test('with all negatives the bits are those without sampling', () => {
  const problem = { classes: 37, shards: 4, labels: borderLabels(37, 4) };
  assert.deepEqual(sharded({ ...problem, negatives: 1 }), sharded(problem));
  // Every shard has fewer classes than the batch has images, so that none can be left out.
  assert.deepEqual(sharded({ ...problem, negatives: 0.01 }), sharded(problem));
});

test('a sampled head gives the loss of the classes that take part', () => {
  const problem = { classes: 200, shards: 2, labels: borderLabels(200, 2), negatives: 0.3 };
  const found = sharded(problem);
  const whole = sharded({ ...problem, negatives: 1 });
  assert.equal(found.chosen[0]!.length, 30);
  // Fewer classes in the sum of exponents of every image.
  found.losses.forEach((loss, i) => {
    assert.ok(loss <= whole.losses[i]!);
  });
  assert.ok(mean(found.losses) < mean(whole.losses));
});

test('an update changes the rows that took part, and no row ever holds a negative zero', () => {
  const weights = Float32Array.of(1, 2, 3, 4, -1e-45, 0.5);
  const momentum = Float32Array.of(0.1, 0.2, 0.3, 0.4, 0, 0);
  const optimizer = { momentum: 0.9, weightDecay: 0.5, clipNorm: 1 };
  updateRows({
    weights,
    momentum,
    chosen: Uint32Array.of(0, 2),
    gradient: Float32Array.of(8, -4, 0, 2),
    scale: 0.25,
    learningRate: 0.1,
    optimizer,
    step: 0,
  });
  // Row 0: momentum 0.9 * 0.1 + (8/4 + 0.5 * 1) = 2.59, weight 1 - 0.259; second value 0.18 + (-1 + 1) = 0.18 and 2 - 0.018.
  const near = (a: number, b: number) => assert.ok(Math.abs(a - b) < 1e-6, `${a} ${b}`);
  near(momentum[0]!, 2.59);
  near(weights[0]!, 0.741);
  near(momentum[1]!, 0.18);
  near(weights[1]!, 1.982);
  assert.deepEqual([...weights.subarray(2, 4)], [3, 4], 'row 1 is not decayed either');
  assert.deepEqual([...momentum.subarray(2, 4)], [Math.fround(0.3), Math.fround(0.4)]);
  assert.ok([...weights, ...momentum].every((value) => !Object.is(value, -0)));
});

test('a gradient that is not finite changes nothing and names step and tensor', () => {
  const weights = Float32Array.of(1, 2);
  const update = {
    weights,
    momentum: new Float32Array(2),
    chosen: Uint32Array.of(0),
    gradient: Float32Array.of(1, Number.NaN),
    scale: 1,
    learningRate: 1,
    optimizer: { momentum: 0, weightDecay: 0, clipNorm: 1 },
    step: 7,
  };
  assert.throws(() => updateRows(update), { code: 'outOfRange', message: /head\.kernel.*step 7/ });
  assert.deepEqual([...weights], [1, 2]);
});

test('rows taken from a kernel and put back are the kernel', () => {
  const kernel = kernelOf(37);
  const back = new Float32Array(kernel.length);
  for (let shard = 0; shard < 4; shard++) {
    const range = classRange(37, 4, shard);
    const rows = new Float32Array(range.count * EMBEDDING);
    takeRows({ kernel, rows, classes: 37, range });
    putRows({ kernel: back, rows, classes: 37, range });
  }
  assert.deepEqual(back, kernel);
});

test('classes that cannot be cut into shards, or whose labels float32 cannot tell apart, are refused with the field', () => {
  const refusalOf = (classes: number, shards: number) => {
    try {
      assertClassesDivide(classes, shards);
      return undefined;
    } catch (caught) {
      assert.ok(caught instanceof FleetError);
      assert.deepEqual([caught.code, caught.details.field], ['invalidArgument', 'training.head']);
      return caught.message;
    }
  };
  assert.equal(refusalOf(16, 8), undefined);
  assert.match(refusalOf(15, 8)!, /^training\.head: 15 classes in 8 shards are fewer than two a shard/);
  // 2^24 + 1 is the first that float32 takes for another.
  assert.equal(Math.fround(2 ** 24 + 1), 2 ** 24);
  assert.equal(refusalOf(2 ** 24 - 1, 8), undefined);
  assert.match(
    refusalOf(2 ** 24, 8)!,
    /^training\.head: 16777216 classes are too many .* 16777215 are possible/,
  );
});
