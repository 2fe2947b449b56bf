// `npm run test:pjrt`, several devices in one process: an engine on one, two and four devices of the CPU plugin gives the same bits,
// also where it has another number of runs than devices; and a member of a gang with two devices, or four, has the bits of as
// many members with one device each, in threads with clients of their own: the gang sees one member with more shards.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createLoader } from '../../core/data/loading/loader.ts';
import { buildNetwork } from '../../core/nn/build.ts';
import { initialWeights } from '../../core/nn/init.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import { trainingFunction } from '../../core/nn/step-function.ts';
import { compileSgd, keepState } from '../../core/optim/resident-sgd.ts';
import { comparedDigest, stateDigest } from '../../core/state-vectors.ts';
import { stepDigest } from '../../core/step-digest.ts';
import { createCompute } from '../../worker/compute/client.ts';
import { openEngine } from '../../worker/compute/engine.ts';
import { cpuEngine } from '../support/pjrt.ts';
import { createSums, joinSearch } from '../support/search-gang.ts';
import { tinyRun } from '../support/tiny-run.ts';

const NETWORK = {
  ...{ kind: 'iresnet', blocks: [1, 1, 1, 1], widths: [4, 4, 4, 4], stem: 4, embedding: 8 },
} as const;
const SHARDS = 5;
const PER_SHARD = 2;
const CLASSES = 6;

// Threads of workers, each with a client of its own. The compiler at its quickest, as in test/support/pjrt.ts.
process.env.XLA_FLAGS = '--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true';
const cacheDir = mkdtempSync(join(tmpdir(), 'pocketfleet-devices-'));
const spec = tinyRun({ network: NETWORK });
const loader = await createLoader({ data: spec.data });
after(async () => {
  await loader.close();
  rmSync(cacheDir, { recursive: true, force: true });
});

test('one, two and four devices: the same vectors, state and digest, step by step', () => {
  const network = buildNetwork({ ...NETWORK } as Parameters<typeof buildNetwork>[0]);
  const layout = layoutOf(network, { classes: CLASSES });
  const optimizer = { momentum: 0.9, weightDecay: 5e-4, clipNorm: 5 };
  const loss = { margin: 0.5, scale: 64 } as Parameters<typeof trainingFunction>[0]['loss'];
  const results = [[0], [0, 1], [3, 1, 0, 2]].map((devices) => {
    const engine = cpuEngine({ devices });
    assert.equal(engine.devices, devices.length);
    const graph = engine.compile({
      ...{ key: 'step', cacheDir },
      ...trainingFunction({ network, layout, batch: PER_SHARD, loss }),
    });
    const programs = compileSgd(engine, { layout, optimizer, cacheDir })!;
    const state = {
      weights: initialWeights(layout, 3),
      momentum: new Float32Array(layout.parameterCount),
      running: new Float32Array(layout.runningCount).fill(1),
    };
    const resident = keepState(engine, { layout, optimizer, state });
    const digests: string[] = [];
    for (let step = 0; step < 3; step++) {
      const runs = Array.from({ length: SHARDS }, (_, shard) => ({
        inputs: [resident.weights(), images(step, shard), Int32Array.of(shard % CLASSES, step)],
        into: new Float32Array(layout.vectorCount),
      }));
      graph.runAll(runs);
      digests.push(...runs.map(({ into }) => stepDigest(into)));
      // Any mean will do, as long as it is the same one.
      const mean = runs[0]!.into.map((_, i) => runs.reduce((sum, { into }) => sum + into[i]!, 0) / SHARDS);
      digests.push(resident.apply({ programs, mean, learningRate: 0.1 }).digest);
    }
    for (const device of devices.keys()) {
      const weights = new Float32Array(layout.parameterCount);
      resident.weights().read(weights, device);
      assert.equal(stepDigest(weights), digests.at(-1), `replica on device ${device}`);
    }
    resident.free();
    programs.dispose();
    graph.dispose();
    return digests;
  });
  assert.equal(new Set(results[0]).size, results[0]!.length, 'each shard and each step is another one');
  rmSync(cacheDir, { recursive: true, force: true });
  assert.deepEqual(results[1], results[0]);
  assert.deepEqual(results[2], results[0]);
});

test('more devices than the plugin has are refused', () => {
  assert.throws(() => openEngine({ wanted: 'pjrt', gpu: false, memoryShare: 0, devices: 64 }), {
    code: 'failedPrecondition',
    message:
      /^the worker is to compute on 64 devices and the plugin has \d+; set engineDevices \(POCKETFLEET_ENGINE_DEVICES\) to that at most$/,
  });
});

function images(step: number, shard: number): Uint8Array {
  return Uint8Array.from(
    { length: PER_SHARD * 112 * 112 * 3 },
    (_, i) => ((i + step * 31 + shard) * 7919) % 251,
  );
}

/** The digest after three steps of a gang whose members have so many shards, and each so many devices. */
async function digestOf(counts: readonly number[], devices: number): Promise<string> {
  const engine = { wanted: 'pjrt', gpu: false, memoryShare: 0, devices } as const;
  const computes = counts.map(() => createCompute({ cacheDir, engine }));
  try {
    const { classes, trainingImages } = loader.facts;
    const members = await joinSearch({
      ...{ spec, classes, trainingImages, loader, counts, runId: `${counts} on ${devices}` },
      compute: (rank) => computes[rank]!,
      planes: shared(createSums()),
    });
    for (let step = 0; step < 3; step++) await Promise.all(members.map((member) => member.step()));
    for (const { threadGauges } of computes) assert.equal(threadGauges().tensors, 3);
    for (const member of members) await member.leave();
    const [digest, ...others] = new Set(members.map(({ replica }) => stateDigest(replica.vectors)));
    assert.deepEqual(others, []);
    assert.equal(comparedDigest(members[0]!.replica.vectors), members[0]!.replica.digest);
    return digest!;
  } finally {
    for (const compute of computes) await compute.close();
  }
}

const shared =
  <T>(plane: T) =>
  () =>
    plane;

test('a member with two devices, or four, has the bits of two members, or four, with one each', async () => {
  const alone = await digestOf([4], 1);
  assert.equal(await digestOf([2, 2], 1), alone, 'two members');
  assert.equal(await digestOf([1, 1, 1, 1], 1), alone, 'four members');
  assert.equal(await digestOf([4], 2), alone, 'two devices');
  assert.equal(await digestOf([4], 4), alone, 'four devices');
  assert.equal(await digestOf([1, 3], 2), alone, 'shards that the devices do not divide');
});
