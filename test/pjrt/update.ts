// `npm run test:pjrt`, the optimiser: the module on the CPU plugin changes weights, momentum and running statistics as
// applyStep does, bit by bit, and in the memory of its arguments; and the digest of a step's weights is the host's.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildNetwork } from '../../core/nn/build.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import { digestModule, digestOfSums } from '../../core/optim/digest-module.ts';
import { applyStep, assessStep } from '../../core/optim/sgd.ts';
import { updateModule } from '../../core/optim/sgd-module.ts';
import { stepDigest } from '../../core/step-digest.ts';
import { compileModule } from '../support/lowered.ts';
import { numbers } from '../support/tensors.ts';

const NETWORK = buildNetwork({
  kind: 'iresnet',
  blocks: [1, 1, 1, 1],
  widths: [8, 8, 8, 8],
  stem: 8,
  embedding: 128,
});

const bits = (values: Float32Array) => new Uint32Array(values.buffer, values.byteOffset, values.length);

for (const [title, classes] of [
  ['a backbone with frozen scales and a head', 40],
  ['a backbone alone', 0],
] as const)
  test(`${title}: the bits of applyStep over steps that are clipped and not`, () => {
    const layout = layoutOf(NETWORK, { classes });
    const optimizer = { momentum: 0.9, weightDecay: 5e-4, clipNorm: 5 };
    assert.equal(
      layout.parameters.some(({ trainable }) => !trainable),
      true,
    );
    const module = compileModule(updateModule(layout, optimizer), 'the update');
    const host = {
      weights: numbers(layout.parameterCount, 1),
      momentum: new Float32Array(layout.parameterCount),
      running: numbers(layout.runningCount, 2),
    };
    let device = [host.weights.slice(), host.momentum.slice(), host.running.slice()];
    assert.equal(
      module.aliased,
      device.reduce((sum, { byteLength }) => sum + byteLength, 0),
    );
    const scales = [1e-3, 1, 0.03].map((size, step) => {
      const mean = numbers(layout.vectorCount, 10 + step).map((value) => value * size);
      const learningRate = 0.1 / (step + 3);
      const { scale } = assessStep({ layout, weights: () => host.weights, mean, optimizer });
      applyStep({ layout, ...host, mean, learningRate, optimizer });
      device = module.run([
        ...device,
        mean,
        Float64Array.of(scale),
        Float64Array.of(learningRate),
      ]) as Float32Array<ArrayBuffer>[];
      for (const [i, name] of (['weights', 'momentum', 'running'] as const).entries())
        assert.deepEqual(bits(device[i]!), bits(host[name]), `${name} after step ${step}`);
      return scale;
    });
    module.free();
    assert.ok(scales[0] === 1 && scales[1]! < 1, `${scales}`);
  });

test('the digest of weights on the device is that of the host, for any number of words and any bits', () => {
  for (const words of [1, 2, 31, 4096, 70_001]) {
    const module = compileModule(digestModule(words), 'the digest');
    const vector = numbers(words, words);
    bits(vector).set([0x8000_0000, 0x7fc1_2345, 1, 0xff80_0000].slice(0, words));
    const digestOf = () => digestOfSums(module.run([vector])[0] as Float32Array, words);
    assert.equal(digestOf(), stepDigest(vector), `${words} words`);
    const before = digestOf();
    for (const bit of [0, 9, 23, 31]) {
      const place = (bit * 7919) % words;
      bits(vector)[place]! ^= 1 << bit;
      assert.notEqual(digestOf(), before, `bit ${bit} of word ${place}`);
      bits(vector)[place]! ^= 1 << bit;
    }
    module.free();
  }
});
