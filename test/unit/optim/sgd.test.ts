import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { FleetError } from '../../../core/errors.ts';
import { buildNetwork } from '../../../core/nn/build.ts';
import { initialRunning, initialWeights } from '../../../core/nn/init.ts';
import { type Layout, layoutOf } from '../../../core/nn/layout.ts';
import { applyStep } from '../../../core/optim/sgd.ts';
import { normals } from '../../../core/rng.ts';
import { networkSchema } from '../../../core/spec/network.ts';

const layoutFor = (spec: unknown, classes = 4) =>
  layoutOf(buildNetwork(networkSchema.parse(spec)), { classes });
const SMALL = layoutFor({ kind: 'pocketnet', channels: 2, layers: 4, embedding: 4 });
// The teacher has a frozen scale in the middle of its parameters.
const TEACHER = layoutFor({
  kind: 'iresnet',
  blocks: [1, 1, 1, 1],
  widths: [2, 2, 2, 2],
  stem: 2,
  embedding: 4,
});
const OPTIMIZER = { momentum: 0.9, weightDecay: 5e-4, clipNorm: 5 };

const state = (layout: Layout) => ({
  weights: initialWeights(layout, 1),
  momentum: new Float32Array(layout.parameterCount),
  running: initialRunning(layout),
});

/** PyTorch's clip_grad_norm_ and SGD written slot by slot and value by value. */
function reference(
  layout: Layout,
  from: ReturnType<typeof state>,
  mean: Float32Array,
  optimizer: typeof OPTIMIZER,
  rate: number,
) {
  let square = 0;
  for (const slot of layout.parameters)
    if (slot.role !== 'head')
      for (let i = slot.offset; i < slot.offset + slot.size; i++) square += (mean[i] ?? 0) * (mean[i] ?? 0);
  const norm = Math.sqrt(square);
  const clip = Math.min(1, optimizer.clipNorm / (norm + 1e-6));
  const weights = from.weights.slice();
  const momentum = from.momentum.slice();
  for (const slot of layout.parameters) {
    if (!slot.trainable) continue;
    for (let i = slot.offset; i < slot.offset + slot.size; i++) {
      const weight = weights[i] ?? 0;
      const gradient = (mean[i] ?? 0) * (slot.role === 'head' ? 1 : clip) + optimizer.weightDecay * weight;
      momentum[i] = optimizer.momentum * (momentum[i] ?? 0) + gradient;
      weights[i] = weight - rate * (momentum[i] ?? 0);
    }
  }
  const running = from.running.map((old, i) => 0.9 * old + 0.1 * (mean[layout.parameterCount + i] ?? 0));
  return { weights, momentum, running, norm };
}

const noise = (count: number, seed: number, size: number) =>
  Float32Array.from(normals(seed, 'noise', count), (value) => value * size);

for (const [name, layout] of [
  ['PocketNet', SMALL],
  ['teacher with a frozen scale', TEACHER],
] as const)
  test(`several steps of a ${name} equal the plain reference, bit for bit`, () => {
    fc.assert(
      fc.property(
        fc.record({
          size: fc.constantFrom(1e-4, 0.01, 1),
          seed: fc.nat(1000),
          rate: fc.constantFrom(0.1, 0.01),
          momentum: fc.constantFrom(0, 0.9),
          weightDecay: fc.constantFrom(0, 5e-4),
          clipNorm: fc.constantFrom(0.1, 5, 1e9),
        }),
        ({ size, seed, rate, ...optimizer }) => {
          let expected = { ...state(layout), norm: 0 };
          const got = state(layout);
          for (let step = 0; step < 3; step++) {
            const mean = noise(layout.vectorCount, seed + step, size);
            expected = reference(layout, expected, mean, optimizer, rate);
            const applied = applyStep({ layout, ...got, mean, learningRate: rate, optimizer });
            assert.equal(applied.gradientNorm, expected.norm);
          }
          assert.deepEqual(got.weights, expected.weights);
          assert.deepEqual(got.momentum, expected.momentum);
          assert.deepEqual(got.running, expected.running);
        },
      ),
      { numRuns: 20 },
    );
  });

test('the head is neither clipped nor counted in the norm', () => {
  const mean = new Float32Array(SMALL.vectorCount);
  mean.fill(100, SMALL.backboneCount, SMALL.parameterCount);
  const one = state(SMALL);
  const optimizer = { ...OPTIMIZER, weightDecay: 0 };
  const { gradientNorm, headGradientNorm } = applyStep({
    layout: SMALL,
    ...one,
    mean,
    learningRate: 0.1,
    optimizer,
  });
  assert.equal(gradientNorm, 0);
  // 16 values of 100: the head is [4, 4].
  assert.equal(headGradientNorm, 400);
  assert.equal(one.momentum[SMALL.backboneCount], 100);
});

test('a frozen scale stays 1 and its momentum 0, whatever the decay', () => {
  const one = state(TEACHER);
  const slot = TEACHER.parameters.find((candidate) => !candidate.trainable);
  assert.ok(slot);
  const mean = noise(TEACHER.vectorCount, 5, 0.1);
  applyStep({
    layout: TEACHER,
    ...one,
    mean,
    learningRate: 0.1,
    optimizer: { ...OPTIMIZER, weightDecay: 0.5 },
  });
  const range = [slot.offset, slot.offset + slot.size] as const;
  assert.ok(one.weights.subarray(...range).every((value) => value === 1));
  assert.ok(one.momentum.subarray(...range).every((value) => value === 0));
});

test('a value that is not finite stops the step before anything changes and names tensor and step', () => {
  const cases = [
    [
      (layout: Layout) => layout.parameters[3]?.offset ?? 0,
      /gradient of cells\.0\.preproc0\.net\.0\.weight is NaN in step 17/,
    ],
    [(layout: Layout) => layout.backboneCount + 2, /gradient of head\.kernel is NaN/],
    [(layout: Layout) => layout.parameterCount, /batch statistic for stem\.1\.running_mean is NaN/],
    [(layout: Layout) => layout.vectorCount - 2, /the margin loss is NaN/],
  ] as const;
  for (const [place, message] of cases) {
    const mean = noise(SMALL.vectorCount, 1, 0.1);
    mean[place(SMALL)] = Number.NaN;
    const one = state(SMALL);
    const before = structuredClone(one);
    assert.throws(
      () => applyStep({ layout: SMALL, ...one, mean, learningRate: 0.1, optimizer: OPTIMIZER, step: 17 }),
      (error: unknown) =>
        error instanceof FleetError && error.code === 'outOfRange' && message.test(error.message),
    );
    assert.deepEqual(one, before);
  }
});

test('of all that is not finite what was computed first is named, with its value', () => {
  const slot = SMALL.parameters[3]!;
  const named = (spoil: (one: ReturnType<typeof state>, mean: Float32Array) => void) => {
    const [one, mean] = [state(SMALL), new Float32Array(SMALL.vectorCount).fill(Number.NaN)];
    spoil(one, mean);
    try {
      applyStep({ layout: SMALL, ...one, mean, learningRate: 0.1, optimizer: OPTIMIZER, step: 3 });
    } catch (caught) {
      return (caught as FleetError).details;
    }
    return assert.fail('the step was applied');
  };
  const weight = named((one) => one.weights.fill(Number.POSITIVE_INFINITY, slot.offset + 1));
  assert.deepEqual(
    { step: 3, tensor: slot.name, value: Number.POSITIVE_INFINITY, index: slot.offset + 1 },
    weight,
  );
  const finiteFrom = (from: number) => named((_, mean) => mean.fill(1, from));
  assert.equal(named(() => undefined).tensor, 'the batch statistic for stem.1.running_mean');
  const loss = named((_, mean) => mean.fill(0, SMALL.parameterCount, SMALL.vectorCount - 3));
  assert.deepEqual([loss.tensor, loss.value], ['the loss', Number.NaN]);
  // The gradients are computed from the last layer to the first.
  assert.equal(finiteFrom(SMALL.parameterCount).tensor, 'the gradient of head.kernel');
  assert.equal(finiteFrom(slot.offset + 1).tensor, `the gradient of ${slot.name}`);
});

test('a vector of another layout is refused', () => {
  const mean = new Float32Array(SMALL.vectorCount - 1);
  assert.throws(
    () => applyStep({ layout: SMALL, ...state(SMALL), mean, learningRate: 0.1, optimizer: OPTIMIZER }),
    /mean has \d+ values, the layout \d+/,
  );
});
