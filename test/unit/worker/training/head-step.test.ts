// A step with a class-sharded head that is broken off in one of its rounds, with the real compute thread. The
// gang is one member in this process, because these claims are about what a member leaves behind.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { systemClock } from '../../../../core/clock.ts';
import { IMAGE_BYTES } from '../../../../core/data/images/pixels.ts';
import { digest64 } from '../../../../core/digest.ts';
import { FleetError } from '../../../../core/errors.ts';
import { STATISTICS } from '../../../../core/head/classes.ts';
import { buildNetwork } from '../../../../core/nn/build.ts';
import { layoutOf } from '../../../../core/nn/layout.ts';
import { normals } from '../../../../core/rng.ts';
import { sharedFloats } from '../../../../core/shared-memory.ts';
import { createCompute } from '../../../../worker/compute/client.ts';
import { createHead, holdFrom } from '../../../../worker/training/head.ts';
import { computeWithHead, type HeadStepContext, headGraphs } from '../../../../worker/training/head-step.ts';
import { sgdVectors } from '../../../../worker/training/replica.ts';
import { createResidentHead } from '../../../../worker/training/resident-head.ts';
import { initialReplica } from '../../../support/replicas.ts';
import { tinyRun, withTraining } from '../../../support/tiny-run.ts';

const spec = tinyRun(withTraining({ head: 'sharded' }));
const { shards: V, batch: B } = spec.training;
const { embedding } = spec.network;
const CLASSES = 9;
const shards = Array.from({ length: V }, (_, shard) => shard);
const layout = layoutOf(buildNetwork(spec.network));
const replica = initialReplica(layout, 1);
const head = createHead(spec, CLASSES);
head.wanted = shards;
const kernel = Float32Array.from(normals(3, 'kernel', CLASSES * embedding), (value) => value / 100);
holdFrom(head, { weights: kernel, momentum: new Float32Array(kernel.length) }, 0);
const compute = createCompute({ cacheDir: '' });
after(() => compute.close());
for (const graph of headGraphs(head)) await compute.compileGraph(graph);
const level = compute.threadGauges();
const starter: HeadStepContext['replica'] = {
  startTwoPart: (graph, of, inputs) => compute.startTwoPart(graph, [sgdVectors(of).weights, ...inputs]),
};

type Round = 'embeddings' | 'statistics' | 'slopes';

/** Broken off in a round, as by a new generation, or in none. */
function gangOf(brokenIn?: Round): HeadStepContext['headGang'] {
  const slopes: Float32Array[] = shards.map(() => sharedFloats(B * embedding));
  const round = async (name: Round, values: () => Float32Array) => {
    if (name === brokenIn) throw new FleetError('aborted', `${name} was broken off`);
    return values();
  };
  const gather = (name: Round, length: number) => (fill: (own: Float32Array) => void) =>
    round(name, () => {
      const all = new Float32Array(length);
      fill(all);
      return all;
    });
  return {
    gatherEmbeddings: gather('embeddings', B * (embedding + 1)),
    gatherStatistics: gather('statistics', V * STATISTICS * B),
    slopesVector: (shard) => slopes[shard]!,
    sumSlopes: () =>
      round('slopes', () => slopes.reduce((sum, own) => sum.map((value, i) => value + own[i]!))),
  };
}

function step(brokenIn?: Round) {
  const vectors = shards.map(() => sharedFloats(layout.vectorCount));
  return computeWithHead(
    { head, headGang: gangOf(brokenIn), replica: starter, rows: createResidentHead(head, compute) },
    {
      first: 0,
      replica,
      shards,
      exchange: { vector: (shard) => vectors[shard]! },
      teacher: undefined,
      clock: systemClock,
      begin: () => () => undefined,
      learningRate: 0.1,
      contributionDigest: () => '',
      readBatch: async (_step, shard) => ({
        images: new Uint8Array((B / V) * IMAGE_BYTES).map((_, i) => (i * (shard + 7919)) % 251),
        labels: Int32Array.from({ length: B / V }, (_, i) => (shard + i) % CLASSES),
        indices: new Uint32Array(B / V),
      }),
    },
  );
}

const digestsOf = async (computed: ReturnType<typeof step>) =>
  [...(await computed).vectors.values()].map(digest64);

/** The thread answers in the order it was asked, a release before this. */
async function assertNothingKept(): Promise<void> {
  await compute.proveDevice();
  assert.deepEqual(compute.threadGauges(), level);
}

for (const round of ['embeddings', 'statistics', 'slopes'] as const)
  test(`a step that is broken off while it waits for ${round} leaves nothing in the compute thread, and the next is whole`, async () => {
    const expected = await digestsOf(step());
    assert.equal(new Set(expected).size, V);
    await assertNothingKept();
    await assert.rejects(step(round), { code: 'aborted' });
    assert.equal(head.pendingRate, undefined, 'no update waits to be committed');
    await assertNothingKept();
    assert.deepEqual(await digestsOf(step()), expected);
  });
