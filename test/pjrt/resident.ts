// `npm run test:pjrt`, state on the device: a thousand steps whose weights, momentum and running statistics stay there have the
// bits of the optimiser on the host and take no more memory at the end than after the first hundred; members whose state stays on
// the device have, after steps, a change of the gang and a state that a member without one is given, the bits of members whose
// state lies in memory; and no vector of weights crosses between host and device from step to step.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildNetwork } from '../../core/nn/build.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import { compileSgd, keepState } from '../../core/optim/resident-sgd.ts';
import { applyStep } from '../../core/optim/sgd.ts';
import { stateDigest } from '../../core/state-vectors.ts';
import { stepDigest } from '../../core/step-digest.ts';
import { tf } from '../../core/tensor/tf.ts';
import { cpuClient, cpuEngine } from '../support/pjrt.ts';
import { pjrtGangs } from '../support/pjrt-gangs.ts';
import { numbers } from '../support/tensors.ts';
import { tinyRun } from '../support/tiny-run.ts';

const STEPS = 1000;
const WARM_STEPS = 100;
/** The state has half a megabyte: one that each step left behind would be 470 MB. */
const GROWTH_MAX = 48 * 2 ** 20;

const network = {
  kind: 'iresnet',
  blocks: [1, 1, 1, 1],
  widths: [4, 4, 4, 4],
  stem: 4,
  embedding: 8,
} as const;
const spec = tinyRun({ network });
const { onHost, compute, gang } = await pjrtGangs({ name: 'resident', spec });

test('a thousand steps on the device: the bits of the host, and memory that stays level', () => {
  const layout = layoutOf(buildNetwork(spec.network), { classes: 8000 });
  const optimizer = { momentum: 0.9, weightDecay: 5e-4, clipNorm: 5 };
  const engine = cpuEngine();
  const host = {
    weights: numbers(layout.parameterCount, 1),
    momentum: new Float32Array(layout.parameterCount),
    running: numbers(layout.runningCount, 2),
  };
  const memory = {
    weights: host.weights.slice(),
    momentum: host.momentum.slice(),
    running: host.running.slice(),
  };
  const programs = compileSgd(engine, { layout, optimizer })!;
  const state = keepState(engine, { layout, optimizer, state: memory });
  // What a step reads of the state beside the update.
  const graph = engine.compile({
    key: 'product',
    inputs: [{ name: 'weights', dtype: 'float32', shape: [layout.parameterCount] }],
    build: ([weights]) => [tf.mul(weights!, 0.5)],
  });
  const mean = numbers(layout.vectorCount, 3);
  const into = new Float32Array(layout.parameterCount);
  let warm = 0;
  for (let step = 0; step < STEPS; step++) {
    graph.run([state.weights()], into);
    assert.equal(into[7], Math.fround(host.weights[7]! * 0.5));
    const learningRate = 0.1 / (step + 3);
    const before = applyStep({ layout, ...host, mean, learningRate, optimizer });
    const start = cpuClient().copied();
    const applied = state.apply({ programs, mean, learningRate });
    const digest = state.digest(programs);
    const { toDevice, fromDevice } = cpuClient().copied();
    assert.deepEqual(applied, before);
    assert.equal(digest, stepDigest(host.weights), `weights after step ${step}`);
    // The mean, the scale and the rate; the two sums of the digest.
    assert.equal(toDevice - start.toDevice, mean.byteLength + 2 * 8);
    assert.equal(fromDevice - start.fromDevice, 8);
    // Another mean in each step, so that clipping and rounding differ.
    mean[step % mean.length]! += 1;
    if (step === WARM_STEPS) warm = process.memoryUsage.rss();
  }
  const growth = process.memoryUsage.rss() - warm;
  console.log(`${STEPS - WARM_STEPS} steps: ${(growth / 2 ** 20).toFixed(1)} MiB more`);
  assert.ok(growth < GROWTH_MAX, `${growth} bytes more`);
  assert.notDeepEqual(memory.momentum, host.momentum);
  state.read(memory);
  assert.deepEqual(memory, host);
  mean[0] = Number.NaN;
  assert.throws(() => state.apply({ programs, mean, learningRate: 0.1, step: 7 }), /is NaN in step 7/);
  state.read(memory);
  assert.deepEqual(memory, host, 'a step that is refused changes nothing');
  state.free();
  state.free();
  assert.throws(() => state.read(memory), { code: 'failedPrecondition' });
  graph.dispose();
  programs.dispose();
});

type Member = Awaited<ReturnType<typeof gang>>[number];

async function train(members: readonly Member[], steps: number): Promise<void> {
  for (let step = 0; step < steps; step++) await Promise.all(members.map((member) => member.step()));
}

/** All members leave; what memory has of their state then, which is one. */
async function stateAfter(members: readonly Member[]): Promise<string> {
  for (const member of members) await member.leave();
  const [digest, ...others] = new Set(members.map(({ replica }) => stateDigest(replica.vectors)));
  assert.deepEqual(others, []);
  return digest!;
}

test('members whose state stays on the device have the bits of those whose state lies in memory', async () => {
  const reference = await gang({ counts: [4], compute: onHost });
  await train(reference, 4);
  const halfway = stateDigest(reference[0]!.replica.vectors);
  await train(reference, 2);
  const digest = await stateAfter(reference);

  const alone = await gang({ counts: [4] });
  const first = stateDigest(alone[0]!.replica.vectors);
  await train(alone, 4);
  assert.equal(compute.threadGauges().tensors, 3);
  assert.equal(stateDigest(alone[0]!.replica.vectors), first, 'nothing came back from the device');
  assert.equal(await stateAfter(alone), halfway);

  // The gang grows: the next generation begins with what memory has.
  const { replica } = alone[0]!;
  const copy = {
    ...replica,
    vectors: replica.vectors.map(({ name, values }) => ({ name, values: shared(values) })),
  };
  const grown = await gang({ counts: [1, 3], generation: 2, replicas: [replica, copy] });
  await train(grown, 2);
  assert.equal(await stateAfter(grown), digest);
  await compute.proveDevice();
  assert.equal(compute.threadGauges().tensors, 0, 'nothing of a state is left on the device');
});

function shared(values: Float32Array): Float32Array {
  const copy = new Float32Array(new SharedArrayBuffer(values.byteLength));
  copy.set(values);
  return copy;
}
