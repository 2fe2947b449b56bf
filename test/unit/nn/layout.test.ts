import assert from 'node:assert/strict';
import test from 'node:test';
import { buildNetwork } from '../../../core/nn/build.ts';
import { initialRunning, initialWeights } from '../../../core/nn/init.ts';
import { layoutOf, type Slot } from '../../../core/nn/layout.ts';
import { networkSchema } from '../../../core/spec/network.ts';

const network = (spec: unknown) => buildNetwork(networkSchema.parse(spec));
const small = network({ kind: 'pocketnet', channels: 4, layers: 4, embedding: 8 });
const teacher = network({ kind: 'iresnet', blocks: [1, 1, 1, 1], embedding: 8 });

test('slots follow each other without gaps, head last', () => {
  for (const one of [small, teacher, network({ kind: 'mobilefacenet' })]) {
    const layout = layoutOf(one, { classes: 10 });
    for (const slots of [layout.parameters, layout.running]) {
      let end = 0;
      for (const slot of slots) {
        assert.equal(slot.offset, end, slot.name);
        assert.equal(
          slot.size,
          slot.shape.reduce((a, b) => a * b, 1),
        );
        end += slot.size;
      }
      assert.equal(end, slots === layout.parameters ? layout.parameterCount : layout.runningCount);
    }
    assert.equal(layout.parameters.at(-1)?.name, 'head.kernel');
    assert.equal(layout.parameterCount - layout.backboneCount, one.embedding * 10);
    assert.equal(layout.vectorCount, layout.parameterCount + layout.runningCount + 3);
  }
});

test('the order of parameters is fixed: a checkpoint of today must be readable tomorrow', () => {
  const { parameters, running } = layoutOf(small, { classes: 3 });
  assert.deepEqual(
    parameters.slice(0, 12).map((slot) => slot.name),
    [
      'stem.0.weight',
      'stem.1.weight',
      'stem.1.bias',
      'cells.0.preproc0.net.0.weight',
      'cells.0.preproc0.net.1.weight',
      'cells.0.preproc0.net.2.weight',
      'cells.0.preproc0.net.3.weight',
      'cells.0.preproc0.net.3.bias',
      'cells.0.preproc1.net.0.weight',
      'cells.0.preproc1.net.1.weight',
      'cells.0.preproc1.net.2.weight',
      'cells.0.preproc1.net.3.weight',
    ],
  );
  assert.deepEqual(
    running.slice(0, 3).map((slot) => slot.name),
    ['stem.1.running_mean', 'stem.1.running_var', 'cells.0.preproc0.net.3.running_mean'],
  );
});

test('S-128 has the 786 parameter tensors of the reference', () => {
  assert.equal(layoutOf(network({ kind: 'pocketnet' })).parameters.length, 786);
});

const part = (slot: Slot, vector: Float32Array) => vector.subarray(slot.offset, slot.offset + slot.size);
const largest = (values: Float32Array) => values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
const moments = (values: Float32Array) => {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
  return { mean, deviation: Math.sqrt(variance) };
};

test('an untrained PocketNet starts with the distributions of the reference', () => {
  const layout = layoutOf(network({ kind: 'pocketnet' }), { classes: 1000 });
  const weights = initialWeights(layout, 1);
  const at = (name: string) => {
    const slot = layout.parameters.find((one) => one.name === name);
    assert.ok(slot, name);
    return part(slot, weights);
  };
  // Uniform in +-sqrt(6/fan_in): tail.1 has fan_in 512, bound 0.10825; deviation = bound / sqrt(3) = 0.0625.
  const pointwise = at('tail.1.weight');
  assert.ok(largest(pointwise) <= Math.sqrt(6 / 512));
  assert.ok(Math.abs(moments(pointwise).deviation - 0.0625) < 0.0005);
  assert.ok(Math.abs(moments(pointwise).mean) < 0.001);
  // Depthwise 7x7: fan_in 49, deviation sqrt(2/49) = 0.2020.
  assert.ok(Math.abs(moments(at('tail.4.weight')).deviation - 0.202) < 0.005);
  assert.ok(at('tail.0.weight').every((slope) => slope === 0.25));
  assert.ok(at('tail.2.weight').every((scale) => scale === 1));
  assert.ok(at('tail.2.bias').every((shift) => shift === 0));
  // Normal with deviation 0.01: 128,000 values.
  assert.ok(Math.abs(moments(at('head.kernel')).deviation - 0.01) < 0.0001);
});

test('an untrained teacher has normal convolutions of deviation 0.1 and a default linear layer', () => {
  const layout = layoutOf(teacher);
  const weights = initialWeights(layout, 3);
  for (const slot of layout.parameters) {
    const values = part(slot, weights);
    if (/conv\d?\.weight$|downsample\.0/.test(slot.name) && slot.size > 20_000)
      assert.ok(Math.abs(moments(values).deviation - 0.1) < 0.003, slot.name);
  }
  const fc = layout.parameters.find((slot) => slot.name === 'fc.weight');
  assert.ok(fc);
  const bound = 1 / Math.sqrt(25_088);
  assert.ok(largest(part(fc, weights)) <= bound * 1.000001);
  assert.ok(Math.abs(moments(part(fc, weights)).deviation - bound / Math.sqrt(3)) < bound / 100);
});

test('a start depends on the seed and the name only: layers in common start alike', () => {
  const options = { classes: 5 };
  const layout = layoutOf(small, options);
  assert.deepEqual(initialWeights(layout, 9), initialWeights(layout, 9));
  assert.notDeepEqual(initialWeights(layout, 9), initialWeights(layout, 10));
  const wider = layoutOf(network({ kind: 'pocketnet', channels: 4, layers: 4, embedding: 16 }), options);
  const stem = (from: typeof layout) => initialWeights(from, 9).slice(0, 432);
  assert.deepEqual(stem(layout), stem(wider));
});

test('running means start at 0 and variances at 1', () => {
  const layout = layoutOf(small);
  const running = initialRunning(layout);
  for (const slot of layout.running)
    assert.ok(part(slot, running).every((value) => value === (slot.role === 'running_var' ? 1 : 0)));
});
