// `npm run test:pjrt`, the optimiser: the module on the CPU plugin changes weights, momentum and running statistics as
// applyStep does, bit by bit, and in the memory of its arguments.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildNetwork } from '../../core/nn/build.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import { applyStep, assessStep } from '../../core/optim/sgd.ts';
import { updateModule } from '../../core/optim/sgd-module.ts';
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
