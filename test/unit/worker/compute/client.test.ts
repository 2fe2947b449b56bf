// The compute thread as it runs in a worker: a real thread with real TensorFlow and a tiny network.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { IMAGE_BYTES } from '../../../../core/data/images/pixels.ts';
import { digest64 } from '../../../../core/digest.ts';
import { buildNetwork } from '../../../../core/nn/build.ts';
import { layoutOf } from '../../../../core/nn/layout.ts';
import { sharedFloats } from '../../../../core/shared-memory.ts';
import { stepDigest } from '../../../../core/step-digest.ts';
import { createCompute } from '../../../../worker/compute/client.ts';
import { medianPassMs } from '../../../../worker/compute/latency.ts';
import type { GraphSpec } from '../../../../worker/compute/messages.ts';
import { initialVectors } from '../../../support/replicas.ts';
import { tinyRun } from '../../../support/tiny-run.ts';

const { network, training } = tinyRun();
const classes = 6;
const batch = 4;
const layout = layoutOf(buildNetwork(network), { classes });
const graph: GraphSpec = {
  kind: 'train',
  network,
  classes,
  loss: training.loss,
  batch,
  distils: false,
};
const images = new Uint8Array(batch * IMAGE_BYTES).map((_, i) => (i * 7919) % 256);
const labels = Int32Array.of(0, 1, 2, 3);
const kinds: string[] = [];
const compute = createCompute({ cacheDir: '', onJob: (kind) => kinds.push(kind) });
after(() => compute.close());

test('the device is proved by a kernel in the thread', async () => {
  const proof = await compute.proveDevice();
  assert.equal(proof.kind, 'cpu');
  assert.match(proof.tensorflowVersion, /^2\./);
});

test('jobs run in the order they were asked for, and the main thread stays free', async () => {
  const replica = initialVectors(layout, 1);
  await compute.compileGraph(graph);
  const order: number[] = [];
  let ticks = 0;
  const ticking = setInterval(() => ticks++, 1);
  const runs = [0, 1, 2, 3].map((i) =>
    compute.runGraph(graph, [replica.weights, images, labels]).then((outputs) => {
      order.push(i);
      return outputs[0]!;
    }),
  );
  assert.equal(compute.queuedJobs(), 4);
  const vectors = await Promise.all(runs);
  clearInterval(ticking);
  assert.deepEqual(order, [0, 1, 2, 3]);
  assert.ok(ticks > 0, 'timers ran while kernels did');
  assert.equal(vectors[0]!.length, layout.vectorCount);
  assert.equal(digest64(vectors[3]!), digest64(vectors[0]!), 'equal inputs give equal bits');
  assert.equal(compute.threadGauges().graphs, 1, 'one graph for one key');
});

test('an optimiser step changes the shared weights in place and digests them', async () => {
  const replica = initialVectors(layout, 1);
  const before = digest64(replica.weights);
  const [mean] = await compute.runGraph(graph, [replica.weights, images, labels]);
  const { gradientNorm, digest } = await compute.applyStep({
    network,
    classes,
    optimizer: training.optimizer,
    learningRate: 0.1,
    step: 0,
    weights: replica.weights,
    momentum: replica.momentum,
    running: replica.running,
    mean: mean!,
  });
  assert.ok(gradientNorm > 0);
  assert.notEqual(digest64(replica.weights), before);
  assert.equal(digest, stepDigest(replica.weights));
});

test('a job that fails comes back as one of the error family and leaves the thread at work', async () => {
  await assert.rejects(compute.runGraph(graph, [sharedFloats(3), images, labels]), {
    code: 'invalidArgument',
    message: /weights/,
  });
  const mean = new Float32Array(layout.vectorCount).fill(Number.NaN);
  const applied = { network, classes, optimizer: training.optimizer, learningRate: 0.1, mean };
  await assert.rejects(compute.applyStep({ ...applied, ...initialVectors(layout, 1), step: 5 }), {
    code: 'outOfRange',
    message: /step 5/,
  });
  assert.equal((await compute.proveDevice()).kind, 'cpu');
  assert.ok(kinds.includes('train') && kinds.includes('apply'));
});

test('tensors do not pile up over jobs', async () => {
  const replica = initialVectors(layout, 1);
  const run = () => compute.runGraph(graph, [replica.weights, images, labels]);
  await run();
  const { tensors } = compute.threadGauges();
  for (let i = 0; i < 5; i++) await run();
  assert.equal(compute.threadGauges().tensors, tensors);
});

test('a backbone runs in two stages, whose maps go with the second or with the release', async () => {
  const backbone = { kind: 'backbone', network, batch, distils: false } as const;
  const { weights } = initialVectors(layoutOf(buildNetwork(network)), 1);
  const inputs = [weights, images] as const;
  const late = [new Float32Array(batch * network.embedding).fill(0.01), Float32Array.of(1)] as const;
  const { digest } = await compute.compileGraph(backbone);
  assert.match(digest, /^[0-9a-f]{64}$/);
  const level = compute.threadGauges();
  const [first, second, third] = await Promise.all(
    [0, 1, 2].map(() => compute.startTwoPart(backbone, inputs)),
  );
  const { graphs } = await compute.proveDevice();
  const kept = compute.threadGauges().bytes - level.bytes;
  assert.equal(kept > 0, graphs === 'as-recorded');
  assert.deepEqual(second!.outputs, first!.outputs);
  const vectors = [0, 1].map(() => sharedFloats(layoutOf(buildNetwork(network)).vectorCount));
  await second!.complete(late, vectors[1]!);
  await first!.complete(late, vectors[0]!);
  assert.equal(digest64(vectors[0]!), digest64(vectors[1]!));
  assert.ok(vectors[0]!.some((value) => value !== 0));
  await assert.rejects(first!.complete(late, vectors[0]!), { code: 'cancelled' });
  third!.discard();
  third!.discard();
  await compute.proveDevice();
  assert.deepEqual(compute.threadGauges(), level);
});

test('a second stage that fails frees what was kept and leaves the thread at work', async () => {
  const backbone = { kind: 'backbone', network, batch, distils: false } as const;
  const { weights } = initialVectors(layoutOf(buildNetwork(network)), 1);
  await compute.compileGraph(backbone);
  const level = compute.threadGauges();
  const staged = await compute.startTwoPart(backbone, [weights, images]);
  await assert.rejects(staged.complete([Float32Array.of(1)], sharedFloats(1)), {
    code: 'invalidArgument',
    message: /takes 2 inputs \(slopes, margin\), not 1/,
  });
  staged.discard();
  assert.equal((await compute.proveDevice()).kind, 'cpu');
  assert.deepEqual(compute.threadGauges(), level);
});

test('the latency of a network is the median of passes of one image', async () => {
  const backbone = layoutOf(buildNetwork(network));
  const { weights, running } = initialVectors(backbone, 1);
  const image = images.subarray(0, IMAGE_BYTES);
  const milliseconds = await compute.measureLatency({ network, weights, running, image });
  assert.ok(milliseconds > 0 && milliseconds < 1_000, `${milliseconds} ms`);
  // Three passes to warm up, then 31, or as many as fit into a second and five at least.
  const timed = (passMs: (pass: number) => number) => {
    const clock = { ms: 0, passes: 0 };
    const median = medianPassMs(
      () => {
        clock.ms += passMs(clock.passes++);
      },
      () => clock.ms,
    );
    return [median, clock.passes];
  };
  assert.deepEqual(
    timed((pass) => (pass < 3 ? 90 : pass % 2 === 0 ? 4 : 2)),
    [2, 34],
  );
  assert.deepEqual(
    timed((pass) => 300 + pass),
    [305, 8],
  );
});

test('closing rejects what is still open, and nobody is told of a death', async () => {
  const other = createCompute({ cacheDir: '' });
  const open = other.proveDevice();
  const closed = other.close();
  await assert.rejects(open, { code: 'cancelled' });
  await closed;
  await assert.rejects(other.proveDevice(), { code: 'cancelled' });
});
