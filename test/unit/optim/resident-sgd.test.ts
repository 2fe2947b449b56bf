import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildNetwork } from '../../../core/nn/build.ts';
import { layoutOf } from '../../../core/nn/layout.ts';
import { keepState } from '../../../core/optim/resident-sgd.ts';
import type { Engine, Resident, ResidentModule } from '../../../core/tensor/graph/engine.ts';

const network = buildNetwork({
  ...{ kind: 'iresnet', blocks: [1, 1, 1, 1], widths: [4, 4, 4, 4], stem: 4, embedding: 8 },
} as Parameters<typeof buildNetwork>[0]);
const layout = layoutOf(network);
const optimizer = { momentum: 0.9, weightDecay: 5e-4, clipNorm: 5 };

/** A vector that device `d` has as `values[d]`; on devices that are no real ones. */
const vectorOf = (...values: readonly Float32Array[]): Resident => ({
  length: values[0]!.length,
  devices: [...values.keys()],
  read: (into, device = 0) => into.set(values[device]!),
  free: () => undefined,
});

test('a device whose replica is another one than the first ends the step with the digests of both', () => {
  const state = {
    weights: new Float32Array(layout.parameterCount),
    momentum: new Float32Array(layout.parameterCount),
    running: new Float32Array(layout.runningCount),
  };
  const engine = {
    devices: 2,
    keep: (values: Float32Array) => vectorOf(values, values),
  } as unknown as Engine;
  const giving = (results: readonly Resident[]): ResidentModule => ({
    run: () => [...results],
    runPlaced: () => assert.fail('a step sums nothing'),
    dispose: () => undefined,
  });
  const after = (...sums: readonly Float32Array[]) => {
    const update = giving([state.weights, state.momentum, state.running].map((one) => vectorOf(one, one)));
    const digest = giving([vectorOf(...sums)]);
    const programs = { pairSum: giving([]), update, digest, dispose: () => undefined };
    const mean = new Float32Array(layout.vectorCount);
    const resident = keepState(engine, { layout, optimizer, state });
    resident.apply({ programs, mean, learningRate: 0.1 });
    return resident.digest(programs);
  };
  const sums = Float32Array.of(1.5, -2);
  assert.match(after(sums, sums.slice()), /^[0-9a-f]{16}$/);
  assert.throws(() => after(sums, Float32Array.of(1.5, 2)), {
    code: 'dataLoss',
    message:
      /^replicas differ on the devices of this worker: the first has weights [0-9a-f]{16}, device 1 has [0-9a-f]{16}; that device computes wrongly/,
  });
});
