// One step of a run whose shards are summed after each step: compute, sum, apply, commit.

import { contributionDigest } from '../../core/data/loading/sample-ledger.ts';
import { LOSS_COUNT } from '../../core/nn/layout.ts';
import { beginsStage, epochOfStep, learningRateAt, stageEndingAt } from '../../core/spec/schedule.ts';
import { secondsSince, type TrainContext, trainingGraph } from './context.ts';
import { createDataWait } from './data-wait.ts';
import { commitHead } from './head.ts';
import { computeWithHead } from './head-step.ts';
import { assertCounted } from './step-ledger.ts';

export async function trainStep(context: TrainContext) {
  const { replica, schedule, clock, spec, signal } = context;
  const { step } = replica;
  const epoch = epochOfStep(schedule, step);
  const stage = stageEndingAt(schedule, step);
  // The checkpoint is stored while the next step computes: weights do not change before the sum is there.
  const stored = stage > 0 ? context.onBoundary(stage) : Promise.resolve();
  const counted = context.ledger.open(step);
  const learningRate = learningRateAt(spec.training, epoch);
  const digest = contributionDigest(replica.digest, counted.tag);
  const { vectors, data, teacher, compute, waited } = await computeShards(context, {
    epoch,
    stored,
    learningRate,
    digest,
    ...counted,
  });
  await stored;
  signal.throwIfAborted();

  const reduceAt = clock.monotonic();
  const mean = await context.exchange.reduce(step, vectors, {
    digest,
    fresh: beginsStage(schedule, step),
  });
  const allreduce = waited + secondsSince(clock, reduceAt);
  signal.throwIfAborted();

  const applyAt = clock.monotonic();
  const [loss, lossArcface, lossKd] = mean.subarray(mean.length - LOSS_COUNT);
  const { gradientNorm, digest: digestAfter } = await context.compute.apply({
    network: spec.network,
    classes: context.classes,
    optimizer: spec.training.optimizer,
    learningRate,
    step,
    weights: replica.weights,
    momentum: replica.momentum,
    running: replica.running,
    mean,
  });
  // With the replica or not at all: nothing between the two may be stopped.
  if (context.head) await commitHead(context.head, context.compute);
  replica.step = step + 1;
  replica.digest = digestAfter;
  return {
    point: {
      step: step + 1,
      epoch: ((step + 1) * schedule.batch) / schedule.images,
      loss: loss!,
      lossArcface: lossArcface!,
      lossKd: context.teacher === undefined ? Number.NaN : lossKd!,
      learningRate,
      gradientNorm,
      weightsDigest: digestAfter,
    },
    times: {
      data,
      teacher,
      compute,
      allreduce,
      optimizer: secondsSince(clock, applyAt),
      images: (schedule.batch / schedule.shards) * context.shards.length,
      vectorBytes: mean.byteLength,
    },
  };
}

/** All own shards, one after the other in the compute thread; `stored` only so that its failure ends the wait early. */
async function computeShards(
  context: TrainContext,
  step: {
    readonly epoch: number;
    readonly stored: Promise<void>;
    readonly learningRate: number;
    /** Under which this member contributes. */
    readonly digest: string;
    /** Of each shard. */
    readonly images: readonly Uint32Array[];
  },
) {
  const { epoch, stored } = step;
  const { shards, clock, teacher, replica, compute, loader, schedule, head, headGang } = context;
  const { training } = context.spec;
  const startedAt = clock.monotonic();
  const graph = trainingGraph(context.spec, context.classes);
  const network = await teacher?.forEpoch(epoch, context.signal);
  const teacherSeconds = secondsSince(clock, startedAt);
  const wait = createDataWait(clock);
  const batchOf = async (shard: number) => {
    const batch = await loader.batch({
      schedule,
      seed: training.seed,
      flip: training.flip,
      step: replica.step,
      shard,
    });
    wait.arrived();
    assertCounted(step.images[shard]!, batch.indices, { step: replica.step, shard });
    return batch;
  };
  const computeShard = async (shard: number, vectors: Map<number, Float32Array>) => {
    const batch = await batchOf(shard);
    const embeddings = network && (await network.embed(batch.images));
    const inputs = [replica.weights, batch.images, batch.labels, ...(embeddings ? [embeddings] : [])];
    const vector = context.exchange.vector(shard);
    await compute.run(graph, inputs, vector);
    wait.computed();
    vectors.set(shard, vector);
  };
  const computeAll = async () => {
    const vectors = new Map<number, Float32Array>();
    await Promise.all(shards.map((shard) => computeShard(shard, vectors)));
    return { vectors, waited: 0 };
  };
  const computed =
    head && headGang
      ? computeWithHead(
          { ...context, head, headGang, weights: replica.weights },
          {
            ...step,
            step: replica.step,
            batchOf,
            teacherOf: network && (({ images }) => network.embed(images)),
          },
        )
      : computeAll();
  await Promise.race([computed, rejectionOf(stored)]);
  const { vectors, waited } = await computed;
  return {
    vectors,
    /** For others, in rounds before the sum. */
    waited,
    data: wait.seconds(),
    teacher: teacherSeconds,
    compute: secondsSince(clock, startedAt) - teacherSeconds - waited,
  };
}

/** Never resolves; rejects when the promise does. */
function rejectionOf(promise: Promise<void>): Promise<never> {
  return new Promise((_, reject) => promise.catch(reject));
}
