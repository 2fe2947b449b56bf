// The backbone's two halves of a step with a real compute thread: each shard's numbers go where they belong,
// and a step that is broken off leaves nothing in the thread, wherever it stood.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { IMAGE_BYTES } from '../../../../core/data/images/pixels.ts';
import type { Batch } from '../../../../core/data/loading/loader-messages.ts';
import { createDeferred } from '../../../../core/deferred.ts';
import { digest64 } from '../../../../core/digest.ts';
import { buildNetwork } from '../../../../core/nn/build.ts';
import { layoutOf } from '../../../../core/nn/layout.ts';
import { sharedFloats } from '../../../../core/shared-memory.ts';
import { createCompute } from '../../../../worker/compute/client.ts';
import {
  type BackboneStarter,
  backboneGraph,
  createBackboneStep,
} from '../../../../worker/training/backbone-step.ts';
import { createHead } from '../../../../worker/training/head.ts';
import { sgdVectors } from '../../../../worker/training/replica.ts';
import { initialReplica } from '../../../support/replicas.ts';
import { tinyRun, withTraining } from '../../../support/tiny-run.ts';

const spec = tinyRun(withTraining({ head: 'sharded' }));
const { shards: V, batch: B } = spec.training;
const { embedding } = spec.network;
const perShard = B / V;
const layout = layoutOf(buildNetwork(spec.network));
const replica = initialReplica(layout, 1);
const compute = createCompute({ cacheDir: '' });
after(() => compute.close());
await compute.compileGraph(backboneGraph(spec));
const level = compute.threadGauges();
const starter: BackboneStarter = {
  startTwoPart: (graph, of, inputs) => compute.startTwoPart(graph, [sgdVectors(of).weights, ...inputs]),
};

const batchOf = async (shard: number): Promise<Batch> => ({
  images: new Uint8Array(perShard * IMAGE_BYTES).map((_, i) => (i * (shard + 7919)) % 251),
  labels: Int32Array.from({ length: perShard }, (_, i) => shard + i),
  indices: new Uint32Array(perShard),
});
const SLOPES = new Float32Array(B * embedding).map((_, i) => Math.sin(i) / 100);
const LOSSES = new Float32Array(B).map((_, i) => i);

function stepOf(shards: readonly number[], read = batchOf) {
  const vectors = new Map(shards.map((shard) => [shard, sharedFloats(layout.vectorCount)]));
  const exchange = { vector: (shard: number) => vectors.get(shard)! };
  return createBackboneStep(
    { head: createHead(spec, 6), starter },
    { first: 0, replica, shards, exchange, teacher: undefined, readBatch: (_step, shard) => read(shard) },
  );
}

/** The thread answers in the order it was asked, a release before this. */
async function assertNothingKept(): Promise<void> {
  await compute.proveDevice();
  assert.deepEqual(compute.threadGauges(), level);
}

test('a shard gives the same embeddings, labels and vector whichever shards are beside it', async () => {
  const all = stepOf([0, 1, 2, 3]);
  const gathered = new Float32Array(B * (embedding + 1));
  (await all.forward())(gathered);
  const vectors = await all.backward(SLOPES, LOSSES);
  all.dispose();
  assert.equal(new Set([...vectors.values()].map(digest64)).size, V, 'each shard has other images');
  for (const shard of [0, 3]) {
    const alone = stepOf([shard]);
    const own = new Float32Array(gathered.length);
    (await alone.forward())(own);
    const [units, labels] = [shard * perShard * embedding, B * embedding + shard * perShard];
    const expected = new Float32Array(gathered.length);
    expected.set(gathered.subarray(units, units + perShard * embedding), units);
    expected.set(gathered.subarray(labels, labels + perShard), labels);
    assert.deepEqual(own, expected);
    const vector = (await alone.backward(SLOPES, LOSSES)).get(shard)!;
    assert.equal(digest64(vector), digest64(vectors.get(shard)!));
    // Mean of the losses of its images: 4 shard + (0 + 1 + 2 + 3) / 4.
    assert.equal(vector.at(-2), perShard * shard + 1.5);
  }
  await assertNothingKept();
});

test('a step that is broken off between its halves leaves nothing in the compute thread', async () => {
  const step = stepOf([0, 1]);
  await step.forward();
  step.dispose();
  await assert.rejects(step.backward(SLOPES, LOSSES), { code: 'cancelled' });
  await assertNothingKept();
});

test('nor does one that is broken off while its batches arrive', async () => {
  const late = createDeferred<Batch>();
  const step = stepOf([0, 1, 2], (shard) => {
    if (shard === 1) return Promise.reject(new Error('the disk is gone'));
    return shard === 2 ? late.promise : batchOf(shard);
  });
  await assert.rejects(step.forward(), /the disk is gone/);
  step.dispose();
  const before = compute.queuedJobs();
  late.resolve(await batchOf(2));
  await late.promise;
  assert.equal(compute.queuedJobs(), before, 'nothing is begun any more');
  // That of shard 0 was asked for; its release follows when it is there.
  while (compute.queuedJobs() > 0) await compute.proveDevice();
  await assertNothingKept();
});
