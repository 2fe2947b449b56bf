// The step loop of one run in one generation: batches, teacher embeddings, the compiled step of each own shard, the sum over
// the gang, the optimiser. Decides the order in which these meet and where the loop may stop (before a step's result is
// applied, never in it). Joining a gang and what happens after the last step are run.ts'.

import type { Exchange } from '../../core/allreduce/exchange.ts';
import type { Clock } from '../../core/clock.ts';
import type { Loader } from '../../core/data/loading/loader.ts';
import { contributionDigest } from '../../core/ledger.ts';
import { type Layout, LOSS_COUNT } from '../../core/nn/layout.ts';
import {
  beginsStage,
  epochOfStep,
  learningRateAt,
  type Schedule,
  stageEndingAt,
} from '../../core/schedule.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { StepPoint } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { Compute } from '../compute/client.ts';
import type { GraphSpec } from '../compute/messages.ts';
import { createDataWait } from './data-wait.ts';
import { commitHead, type Head } from './head.ts';
import type { HeadGang } from './head-gang.ts';
import { computeWithHead } from './head-step.ts';
import { type InnerReplicas, trainRound } from './outer.ts';
import { createRate } from './rate.ts';
import type { Replica } from './replica.ts';
import { assertCounted, type Ledger } from './step-ledger.ts';
import type { TeacherFeed } from './teacher.ts';

/** Seconds of one step, or of one round, by what they went into; they overlap where work does. */
export interface StepTimes {
  readonly total: number;
  readonly data: number;
  readonly teacher: number;
  readonly compute: number;
  readonly allreduce: number;
  readonly optimizer: number;
  /** Steps that were committed together, and images computed here for them. */
  readonly steps: number;
  readonly images: number;
  /** Bytes of one shard's vector. */
  readonly vectorBytes: number;
}

export interface TrainContext {
  readonly spec: RunSpec;
  readonly classes: number;
  readonly layout: Layout;
  readonly schedule: Schedule;
  readonly replica: Replica;
  /** Used by `sync: outer` alone. */
  readonly inner: InnerReplicas;
  /** Own shards. */
  readonly shards: readonly number[];
  readonly compute: Compute;
  readonly loader: Loader;
  readonly exchange: Pick<Exchange, 'reduce' | 'vector'>;
  /** Both or neither: a head that is sharded by class. */
  readonly head: Head | undefined;
  readonly headGang: HeadGang | undefined;
  readonly teacher: TeacherFeed | undefined;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /**
   * Called when the replica stands at the end of a stage, before this member contributes to the next step; the loop
   * waits for it, so nobody can pass a boundary whose checkpoint is not stored.
   */
  readonly onBoundary: (stage: number) => Promise<void>;
  readonly onStep: (point: StepPoint, times: StepTimes) => void;
  /** With outer steps: every own shard has trained so many of the open round. */
  readonly onRoundStep: (openRoundSteps: number) => void;
}

/** Trains until the last step is committed, or throws the signal's reason. */
export async function train(context: TrainContext): Promise<void> {
  const { schedule, replica, signal, clock } = context;
  const rate = createRate();
  while (replica.step < schedule.stepsTotal) {
    signal.throwIfAborted();
    const startedAt = clock.monotonic();
    const before = replica.step;
    const outcome = await trainOn(context);
    const total = secondsSince(clock, startedAt);
    const steps = replica.step - before;
    const imagesPerSecond = rate.add(schedule.batch * steps, total);
    context.onStep(
      { ...outcome.point, imagesPerSecond, atMs: clock.now() },
      { ...outcome.times, total, steps },
    );
  }
  const last = stageEndingAt(schedule, replica.step);
  if (last > 0) await context.onBoundary(last);
}

/** From one sum over the gang to the next. */
function trainOn(context: TrainContext) {
  const { sync } = context.spec.training;
  if (sync.kind === 'every-step') return trainStep(context);
  return trainRound({ ...context, outer: sync, graph: trainingGraph(context.spec, context.classes) });
}

async function trainStep(context: TrainContext) {
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

export function trainingGraph(spec: RunSpec, classes: number): GraphSpec {
  return {
    kind: 'train',
    network: spec.network,
    classes,
    loss: spec.training.loss,
    batch: spec.training.batch / spec.training.shards,
    distillationWeight: spec.distillation?.weight,
  };
}

/** Never resolves; rejects when the promise does. */
function rejectionOf(promise: Promise<void>): Promise<never> {
  return new Promise((_, reject) => promise.catch(reject));
}

const secondsSince = (clock: Clock, at: number): number => (clock.monotonic() - at) / 1000;
