// Candidates with inherited weights on a worker: from which batches their statistics come, and how the search network is
// shared. Passes are formulas; test/golden/supernet.ts has the graphs themselves, test/search/one-shot.ts a fleet.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BatchRequest } from '../../../../core/data/loading/loader-messages.ts';
import { shardSamples } from '../../../../core/data/loading/sampler.ts';
import { layoutOf } from '../../../../core/nn/layout.ts';
import { ALPHA_COUNT, buildSupernet } from '../../../../core/nn/supernet.ts';
import { halfSizes } from '../../../../core/search/halves.ts';
import { type Inherits, inheritsSchema } from '../../../../core/spec/inherits.ts';
import type { Compute } from '../../../../worker/compute/client.ts';
import type { Checkpoints } from '../../../../worker/run/checkpoints.ts';
import { calibrate, createSupernets, supernetOf } from '../../../../worker/training/inherited.ts';

const CLASSES = 6;
const IMAGES = 22;
const INHERITS: Inherits = inheritsSchema.parse({
  ...{ run: 'run-1', stage: 2, digest: 'ab'.repeat(32), supernet: { channels: 2, layers: 4 } },
  ...{ halves: { seed: 9 }, batch: 4, cropFrom: 128, flip: true, seed: 5, calibration: 3 },
});
const layout = layoutOf(buildSupernet(supernetOf(INHERITS, CLASSES)));
const weights = new Float32Array(layout.parameterCount);
const alphas = new Float32Array(ALPHA_COUNT).map((_, i) => i);
const signal = new AbortController().signal;

function setting() {
  const asked: BatchRequest[] = [];
  const graphs = new Set<string>();
  const loader = {
    facts: { classes: CLASSES, trainingImages: IMAGES } as never,
    async batch(request: BatchRequest) {
      asked.push(request);
      return { images: Uint8Array.of(request.step), indices: new Uint32Array(), labels: new Int32Array() };
    },
  };
  const compute = {
    async runGraph(graph: unknown, [given, at, images]: readonly [Float32Array, Float32Array, Uint8Array]) {
      graphs.add(JSON.stringify(graph));
      assert.equal(given, weights);
      assert.equal(at, alphas);
      return [new Float32Array(layout.runningCount).map((_, i) => i + 10 ** images[0]!)];
    },
  } as unknown as Compute;
  return { asked, graphs, loader, compute };
}

test('statistics are the mean over the first batches of the half of the weights, each image once', async () => {
  const { asked, graphs, loader, compute } = setting();
  const running = await calibrate({ inherits: INHERITS, alphas, weights, compute, loader, signal });
  assert.equal(running.length, layout.runningCount);
  // (1 + 10 + 100) / 3 = 37.
  running.forEach((value, i) => {
    assert.equal(value, Math.fround(i + 37));
  });
  assert.equal(graphs.size, 1, 'one graph for all batches');
  assert.deepEqual(
    asked.map(({ step, shard, half, cropFrom, flip, seed }) => ({ step, shard, half, cropFrom, flip, seed })),
    [0, 1, 2].map((step) => ({
      ...{ step, shard: 0, half: { half: 'weights', seed: 9 }, cropFrom: 128, flip: true, seed: 5 },
    })),
  );
  // Eleven images are in the half, of which twelve are asked for: the last batch begins anew.
  assert.equal(halfSizes(IMAGES).weights, 11);
  const samples = asked.flatMap((request) => shardSamples({ ...request, half: 'weights' }));
  assert.equal(new Set(samples.slice(0, 11).map(({ index }) => index)).size, 11);
});

test('weights of another search network are refused', async () => {
  const { loader, compute } = setting();
  const other = weights.slice(1);
  await assert.rejects(
    calibrate({ inherits: INHERITS, alphas, weights: other, compute, loader, signal }),
    /over 6 people needs \d+ weights, stage 2 of run-1 has \d+/,
  );
});

test('candidates of a worker share one search network, which one that is aborted does not take from the others', async () => {
  let loads = 0;
  let give = (_: unknown): void => undefined;
  const stored = { vectors: [{ name: 'weights', values: weights }], weightsDigest: 'w' };
  const checkpoints = {
    find: async () => ({ digest: INHERITS.digest }),
    load: () => {
      loads++;
      return new Promise((resolve) => {
        give = () => resolve(stored);
      });
    },
  } as unknown as Checkpoints;
  const supernets = createSupernets();
  const stop = new AbortController();
  const first = supernets.of(checkpoints, INHERITS, stop.signal);
  const second = supernets.of(checkpoints, INHERITS, signal);
  stop.abort(new Error('released'));
  await assert.rejects(first, /released/);
  give(undefined);
  assert.equal((await second).weights, weights);
  assert.equal((await supernets.of(checkpoints, INHERITS, signal)).weightsDigest, 'w');
  assert.equal(loads, 1);
});

test('a stage that is stored with other bytes than the sweep began with is refused, and looked for again later', async () => {
  let digest = 'cd'.repeat(32);
  const checkpoints = {
    find: async () => ({ digest }),
    load: async () => ({ vectors: [{ name: 'weights', values: weights }], weightsDigest: 'w' }),
  } as unknown as Checkpoints;
  const supernets = createSupernets();
  await assert.rejects(supernets.of(checkpoints, INHERITS, signal), /stage 2 of run-1 is another one/);
  digest = INHERITS.digest;
  assert.equal((await supernets.of(checkpoints, INHERITS, signal)).weights, weights);
});
