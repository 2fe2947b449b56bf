// `npm run test:pjrt`, several devices in one process: an engine on one, two and four devices of the CPU plugin gives the same bits,
// whether nodes of the canonical tree are added up on the devices or on the host; and a member of a gang with two devices, or four, has the bits of as
// many members with one device each, in threads with clients of their own: the gang sees one member with more shards.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Node, rootOf } from '../../core/allreduce/plan.ts';
import { createLoader } from '../../core/data/loading/loader.ts';
import { buildNetwork } from '../../core/nn/build.ts';
import { initialWeights } from '../../core/nn/init.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import { trainingFunction } from '../../core/nn/step-function.ts';
import { comparedDigest, stateDigest } from '../../core/state-vectors.ts';
import { stepDigest } from '../../core/step-digest.ts';
import { createCompute } from '../../worker/compute/client.ts';
import { openEngine } from '../../worker/compute/engine.ts';
import { createKeptStates } from '../../worker/compute/kept-states.ts';
import { createLayouts } from '../../worker/compute/layouts.ts';
import { dealShards } from '../../worker/training/device-shards.ts';
import { dumbSum } from '../support/gang.ts';
import { cpuClient, cpuEngine, QUICK_XLA_FLAGS } from '../support/pjrt.ts';
import { createSums, joinSearch } from '../support/search-gang.ts';
import { tinyRun, withTraining } from '../support/tiny-run.ts';

const NETWORK = {
  ...{ kind: 'iresnet', blocks: [1, 1, 1, 1], widths: [4, 4, 4, 4], stem: 4, embedding: 8 },
} as const;
const PER_SHARD = 2;
const CLASSES = 6;
const network = buildNetwork({ ...NETWORK } as Parameters<typeof buildNetwork>[0]);
const loss = { margin: 0.5, scale: 64 } as Parameters<typeof trainingFunction>[0]['loss'];

// Threads of workers, each with a client of its own.
process.env.XLA_FLAGS = QUICK_XLA_FLAGS;
const cacheDir = mkdtempSync(join(tmpdir(), 'pocketfleet-devices-'));
const spec = tinyRun({ network: NETWORK });
const loader = await createLoader({ data: spec.data });
after(async () => {
  await loader.close();
  rmSync(cacheDir, { recursive: true, force: true });
});

/** Places of devices among the plugin's, and for each list of shards how many vectors then come to the host. */
const DEVICES = [[0], [0, 1], [3, 1, 0, 2]] as const;
const PLACEMENTS = [
  { shards: [0, 1, 2, 3, 4, 5, 6, 7], vectors: [1, 2, 4] },
  // 3, 4..8; 3, 4..6, 6..8 with any more.
  { shards: [3, 4, 5, 6, 7], vectors: [2, 3, 3] },
] as const;
const STEPS = 2;

/** Digests of the sums and the weights of steps on these devices, and how many vectors came to the host in each. */
function stepsOn(places: readonly number[], shards: readonly number[], apart: boolean) {
  const engine = cpuEngine({ devices: places });
  const devices = engine.devices;
  assert.equal(devices, places.length);
  const layout = layoutOf(network, { classes: CLASSES });
  const graph = engine.compile({
    ...{ key: 'step', cacheDir },
    ...trainingFunction({ network, layout, batch: PER_SHARD, loss }),
  });
  const states = createKeptStates({ engine, cacheDir, layoutFor: createLayouts() });
  const state = {
    weights: initialWeights(layout, 3),
    momentum: new Float32Array(layout.parameterCount),
    running: new Float32Array(layout.runningCount).fill(1),
  };
  const { optimizer } = spec.training;
  const update = { kind: 'update', network: spec.network, classes: CLASSES, optimizer } as const;
  const kept = states.keep({ update, state })!;
  const { groups, nodes } = dealShards({ shards, devices, apart });
  const digests: string[] = [];
  let vectors = 0;
  for (let step = 0; step < STEPS; step++) {
    const sums = new Map(nodes.map(({ first }) => [first, new Float32Array(layout.vectorCount)]));
    const before = cpuClient().copied().fromDevice;
    for (const group of groups) {
      const runs = group.map((placed) => ({
        ...placed,
        inputs: [images(step, placed.shard), Int32Array.of(placed.shard % CLASSES, step)],
        into: sums.get(placed.node.first)!,
      }));
      states.run(kept, graph, runs);
    }
    vectors = (cpuClient().copied().fromDevice - before) / (4 * layout.vectorCount);
    assert.equal(states.gauges().tensors, 3, 'no vector of a shard is left');
    const sum = sumOf(sums, nodes, shards.at(-1)! + 1);
    digests.push(stepDigest(sum));
    const mean = sum.map((value) => value / shards.length);
    digests.push(states.apply({ kept, mean, learningRate: 0.1, step }).digest);
  }
  const read = { ...state, weights: new Float32Array(layout.parameterCount) };
  states.read(kept, read);
  assert.equal(stepDigest(read.weights), digests.at(-1));
  states.drop(kept);
  graph.dispose();
  return { digests, vectors };
}

/** The root of the tree over [0, end), in which shards that were not computed are zeros. */
function sumOf(sums: ReadonlyMap<number, Float32Array>, nodes: readonly Node[], end: number): Float32Array {
  const zeros = new Float32Array(sums.values().next().value!.length);
  const all = Array.from({ length: end }, (_, shard) => sums.get(shard) ?? zeros);
  return dumbSum(all, 0, rootOf(end).size, nodes);
}

for (const { shards, vectors } of PLACEMENTS)
  test(`shards ${shards[0]} to ${shards.at(-1)} on one, two and four devices: equal sums and states, added up there or here`, () => {
    const [reference, ...others] = DEVICES.flatMap((places, i) =>
      [true, false].map((apart) => {
        const { digests, vectors: came } = stepsOn(places, shards, apart);
        assert.equal(came, apart ? shards.length : vectors[i], `${places.length} devices, apart: ${apart}`);
        return digests;
      }),
    );
    assert.equal(new Set(reference).size, 2 * STEPS, 'each step is another one');
    for (const digests of others) assert.deepEqual(digests, reference);
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
async function digestOf(counts: readonly number[], devices: number, trained = spec): Promise<string> {
  const engine = { wanted: 'pjrt', gpu: false, memoryShare: 0, devices } as const;
  const computes = counts.map(() => createCompute({ cacheDir, engine }));
  try {
    const { classes, trainingImages } = loader.facts;
    const members = await joinSearch({
      ...{ spec: trained, classes, trainingImages, loader, counts, runId: `${counts} on ${devices}` },
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

test('shards of a run that is compressed come apart, because each is rounded by itself', async () => {
  const rounded = tinyRun({ network: NETWORK, ...withTraining({ compression: 'bf16' }) });
  assert.equal(await digestOf([4], 2, rounded), await digestOf([4], 1));
});
