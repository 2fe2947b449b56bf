// `npm run test:pjrt`, `sync: outer`: inner replicas that stay on the device for a round have the bits of those in memory, for any
// placement and through a generation that ends within a round; a step takes its batch to the device and its vector from there,
// and nothing of a round that is over is left on the device.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Loader } from '../../core/data/loading/loader.ts';
import { FleetError } from '../../core/errors.ts';
import { buildNetwork } from '../../core/nn/build.ts';
import { initialWeights } from '../../core/nn/init.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import { trainingFunction } from '../../core/nn/step-function.ts';
import { applyStep } from '../../core/optim/sgd.ts';
import { stateDigest } from '../../core/state-vectors.ts';
import type { Compute } from '../../worker/compute/client.ts';
import { createKeptStates } from '../../worker/compute/kept-states.ts';
import { createLayouts } from '../../worker/compute/layouts.ts';
import { cpuClient, cpuEngine } from '../support/pjrt.ts';
import { pjrtGangs } from '../support/pjrt-gangs.ts';
import { tinyRun, withTraining } from '../support/tiny-run.ts';

const network = {
  ...{ kind: 'iresnet', blocks: [1, 1, 1, 1], widths: [4, 4, 4, 4], stem: 4, embedding: 8 },
} as const;
// 48 images, 8 a step: rounds of 4 and 2 steps an epoch.
const spec = tinyRun({ network, ...withTraining({ batch: 8, sync: { kind: 'outer', every: 4 } }) });

const gangs = await pjrtGangs({ name: 'outer', spec, devices: 2 });
const { cacheDir, compute, onHost, loader, gang } = gangs;
type Members = Awaited<ReturnType<typeof gang>>;

/** Digests of the state after each of so many rounds, which all members have alike. */
async function digestsOf(members: Members, rounds: number): Promise<string[]> {
  const digests: string[] = [];
  for (let round = 0; round < rounds; round++) {
    await Promise.all(members.map((member) => member.step()));
    const [digest, ...others] = new Set(members.map(({ replica }) => stateDigest(replica.vectors)));
    assert.deepEqual(others, []);
    digests.push(digest!);
  }
  for (const member of members) await member.leave();
  return digests;
}

async function assertNothingKept(): Promise<void> {
  await compute.proveDevice();
  assert.equal(compute.threadGauges().tensors, 0);
}

/** A loader whose batch of this number, counted from 1, ends the generation. */
function endingAt(number: number): { readonly loader: Pick<Loader, 'batch'>; readonly signal: AbortSignal } {
  const generation = new AbortController();
  let asked = 0;
  return {
    signal: generation.signal,
    loader: {
      batch: (request) => {
        if (++asked === number) generation.abort(new FleetError('aborted', 'generation 2 has begun'));
        return loader.batch(request);
      },
    },
  };
}

test('rounds on the device have the bits of rounds in memory, for any placement and through a change of the gang', async () => {
  const reference = await digestsOf(await gang({ counts: [4], compute: onHost }), 3);
  assert.equal(new Set(reference).size, 3);
  await assertNothingKept();
  assert.deepEqual(await digestsOf(await gang({ counts: [4] }), 3), reference);
  assert.deepEqual(await digestsOf(await gang({ counts: [1, 3] }), 3), reference);
  await assertNothingKept();

  const interrupted = await gang({ counts: [4], ...endingAt(10) });
  await assert.rejects(interrupted[0]!.step(), /generation 2 has begun/);
  assert.ok(compute.threadGauges().tensors > 0, 'the open round is still on the device');
  const { replica, procedure } = interrupted[0]!;
  const next = { counts: [4], generation: 2, replicas: [replica], procedures: [procedure] };
  assert.deepEqual(await digestsOf(await gang(next), 3), reference);
  await assertNothingKept();

  const dropped = await gang({ counts: [4], ...endingAt(10) });
  await assert.rejects(dropped[0]!.step(), /generation 2 has begun/);
  dropped[0]!.procedure.dispose();
  await assertNothingKept();

  // Of two shards on two devices one may have stepped where the other has failed: both begin the round anew.
  let calls = 0;
  const failing: Compute = {
    ...compute,
    stepStates: async (...given) => {
      await compute.stepStates(...given);
      if (++calls === 4) throw new FleetError('resourceExhausted', 'device 1 has no memory left');
    },
  };
  const failed = await gang({ counts: [4], compute: failing });
  await assert.rejects(failed[0]!.step(), /device 1 has no memory left/);
  const again = { replicas: [failed[0]!.replica], procedures: [failed[0]!.procedure], generation: 2 };
  assert.deepEqual(await digestsOf(await gang({ counts: [4], ...again }), 3), reference);
  await assertNothingKept();
});

test('rounds on one, three and four devices have equal bits', async () => {
  const results: string[][] = [];
  for (const devices of [1, 3, 4]) {
    const thread = gangs.thread(devices);
    let together = 0;
    const counted: Compute = {
      ...thread,
      stepStates: (graph, steps) => {
        together = Math.max(together, steps.length);
        return thread.stepStates(graph, steps);
      },
    };
    results.push(await digestsOf(await gang({ counts: [4], compute: counted }), 2));
    assert.equal(together, devices, 'all devices compute at the same time');
    await thread.close();
  }
  const [one, ...others] = results;
  for (const other of others) assert.deepEqual(other, one);
});

test('a step on the device has the bits of the optimiser on the host, and its weights stay there', () => {
  const own = cpuEngine({ devices: [1, 0] });
  const classes = 6;
  const layout = layoutOf(buildNetwork(spec.network), { classes });
  const graph = own.compile({
    ...{ key: 'step', cacheDir },
    ...trainingFunction({
      ...{ network: buildNetwork(spec.network), layout, batch: 2 },
      loss: spec.training.loss,
    }),
  });
  const states = createKeptStates({ engine: own, cacheDir, layoutFor: createLayouts() });
  const stateOf = () => ({
    weights: initialWeights(layout, 3),
    momentum: new Float32Array(layout.parameterCount),
    running: new Float32Array(layout.runningCount).fill(1),
  });
  const [host, memory] = [stateOf(), stateOf()];
  const { optimizer } = spec.training;
  const update = { kind: 'update', network: spec.network, classes, optimizer } as const;
  const kept = states.keep({ update, state: memory, device: 0 })!;
  const into = new Float32Array(layout.vectorCount);
  for (let step = 0; step < 3; step++) {
    const images = Uint8Array.from({ length: 2 * 112 * 112 * 3 }, (_, i) => ((i + step) * 7919) % 251);
    const labels = Int32Array.of(step, step + 1);
    const [mean] = graph.run([host.weights, images, labels]);
    applyStep({ layout, ...host, mean: mean!, learningRate: 0.1, optimizer });
    const before = cpuClient().copied();
    states.step(graph, [{ kept, inputs: [images, labels], into, learningRate: 0.1, step }]);
    const { toDevice, fromDevice } = cpuClient().copied();
    // The scale and the rate beside the batch.
    assert.equal(toDevice - before.toDevice, images.byteLength + labels.byteLength + 2 * 8);
    assert.equal(fromDevice - before.fromDevice, into.byteLength);
    assert.deepEqual(into, mean);
  }
  states.read(kept, memory);
  assert.deepEqual(memory, host);
  states.drop(kept);
  assert.equal(states.gauges().tensors, 0);
  graph.dispose();
});
