// One round of a run with `sync: outer`: every own shard trains a replica of its own for the steps of the round, the gang
// averages how far they got, all apply the outer step (core/optim/outer.ts). Decides what of a round outlives a generation: the
// shards' replicas, so that losing a member costs the shards it had and nobody else's work. Where rounds end is
// core/spec/schedule.ts'; nothing here knows how many workers there are, hence the result does not depend on it.

import type { Clock } from '../../core/clock.ts';
import { contributionDigest } from '../../core/data/loading/sample-ledger.ts';
import { LOSS_COUNT } from '../../core/nn/layout.ts';
import {
  beginsStage,
  epochOfStep,
  learningRateAt,
  roundEnd,
  roundsBefore,
  stageEndingAt,
} from '../../core/spec/schedule.ts';
import type { GraphSpec } from '../compute/messages.ts';
import type { TrainContext } from './context.ts';
import { createDataWait, type DataWait } from './data-wait.ts';
import type { Replica } from './replica.ts';
import { assertCounted, type Ledger } from './step-ledger.ts';
import type { TeacherNetwork } from './teacher.ts';

/** The loop's context (train.ts) without what only single steps need. */
export interface RoundContext extends Omit<TrainContext, 'layout' | 'head' | 'headGang' | 'onStep'> {
  readonly outer: { readonly learningRate: number; readonly momentum: number };
  /** The training step of one shard. */
  readonly graph: GraphSpec;
}

/** Trains one round and applies it; the replica then stands at its end. */
export async function trainRound(context: RoundContext) {
  const { replica, schedule, clock, spec, signal, exchange } = context;
  const first = replica.step;
  const round: Round = {
    first,
    end: roundEnd(schedule, first),
    learningRate: learningRateAt(spec.training, epochOfStep(schedule, first)),
    samples: samplesOf(context.ledger),
  };
  const stage = stageEndingAt(schedule, first);
  // The checkpoint is stored while the shards train: the replica does not change before the mean is there.
  const stored = stage > 0 ? context.onBoundary(stage) : Promise.resolve();
  const trained = await trainShards(context, round, stored);
  await stored;
  signal.throwIfAborted();

  const reduceAt = clock.monotonic();
  const mean = await exchange.reduce(roundsBefore(schedule, first), trained.vectors, {
    digest: digestOf(replica, round),
    fresh: beginsStage(schedule, first),
  });
  const allreduce = secondsSince(clock, reduceAt);
  signal.throwIfAborted();

  const applyAt = clock.monotonic();
  const [loss, lossArcface, lossKd] = mean.subarray(mean.length - LOSS_COUNT);
  const { differenceNorm, digest } = await context.compute.applyOuter({
    network: spec.network,
    classes: context.classes,
    outer: context.outer,
    step: first,
    weights: replica.weights,
    momentum: replica.momentum,
    running: replica.running,
    mean,
  });
  replica.step = round.end;
  replica.digest = digest;
  context.inner.keep(context.shards);
  return {
    point: {
      step: round.end,
      epoch: (round.end * schedule.batch) / schedule.images,
      loss: loss!,
      lossArcface: lossArcface!,
      lossKd: context.teacher === undefined ? Number.NaN : lossKd!,
      learningRate: round.learningRate,
      gradientNorm: differenceNorm,
      weightsDigest: digest,
    },
    times: {
      ...trained.times,
      allreduce,
      optimizer: secondsSince(clock, applyAt),
      vectorBytes: mean.byteLength,
    },
  };
}

interface Round {
  /** Steps [first, end). */
  readonly first: number;
  readonly end: number;
  /** Of the inner optimiser. */
  readonly learningRate: number;
  /** Tag and images of a step; shards ask at about the same time, and each step is computed once. */
  readonly samples: (step: number) => ReturnType<Ledger['open']>;
}

async function trainShards(context: RoundContext, round: Round, stored: Promise<void>) {
  const { clock, schedule } = context;
  const stop = new AbortController();
  const signal = AbortSignal.any([context.signal, stop.signal]);
  const halt = (caught: unknown): never => {
    stop.abort(caught);
    throw caught;
  };
  stored.catch(halt).catch(() => undefined);
  const startedAt = clock.monotonic();
  const teacher = await context.teacher?.forEpoch(epochOfStep(schedule, round.first), signal);
  const teacherSeconds = secondsSince(clock, startedAt);
  // Nothing may go on training a replica that the next generation takes up, so all have stopped before this throws.
  const wait = createDataWait(clock);
  const ended = await Promise.allSettled(
    context.shards.map((shard) =>
      trainShard({ ...context, signal }, round, { shard, teacher, wait }).catch(halt),
    ),
  );
  const vectors = new Map<number, Float32Array>();
  let steps = 0;
  ended.forEach((outcome, i) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    vectors.set(context.shards[i]!, outcome.value.vector);
    steps += outcome.value.steps;
  });
  return {
    vectors,
    times: {
      data: wait.seconds(),
      teacher: teacherSeconds,
      compute: secondsSince(clock, startedAt) - teacherSeconds,
      images: (steps * schedule.batch) / schedule.shards,
    },
  };
}

/** `steps`: how many were computed now, the others had been in an earlier generation. */
async function trainShard(
  context: RoundContext,
  round: Round,
  {
    shard,
    teacher,
    wait,
  }: { readonly shard: number; readonly teacher: TeacherNetwork | undefined; readonly wait: DataWait },
) {
  const { spec, classes, graph, compute, loader, schedule, replica, signal } = context;
  const { training } = spec;
  const inner = context.inner.of(shard, replica);
  // Room for the gradients, until what is summed goes there.
  const vector = context.exchange.vector(shard);
  let steps = 0;
  for (; round.first + inner.steps < round.end; steps++) {
    signal.throwIfAborted();
    const step = round.first + inner.steps;
    const batch = await loader.batch({ schedule, seed: training.seed, flip: training.flip, step, shard });
    wait.arrived();
    assertCounted(round.samples(step).images[shard]!, batch.indices, { step, shard });
    const embeddings = teacher && (await teacher.embed(batch.images));
    const inputs = [inner.weights, batch.images, batch.labels, ...(embeddings ? [embeddings] : [])];
    await compute.run(graph, inputs, vector);
    const losses = vector.slice(vector.length - LOSS_COUNT);
    await compute.apply({
      network: spec.network,
      classes,
      optimizer: training.optimizer,
      learningRate: round.learningRate,
      step,
      weights: inner.weights,
      momentum: inner.momentum,
      running: inner.running,
      mean: vector,
    });
    wait.computed();
    for (let i = 0; i < LOSS_COUNT; i++) inner.losses[i]! += losses[i]!;
    inner.steps += 1;
    const slowest = Math.min(...context.shards.map((own) => context.inner.of(own, replica).steps));
    context.onRoundStep(slowest);
  }
  await compute.difference({
    from: { weights: replica.weights, running: replica.running },
    to: { weights: inner.weights, running: inner.running },
    losses: inner.losses,
    steps: inner.steps,
    into: vector,
  });
  return { vector, steps };
}

function samplesOf(ledger: Ledger): Round['samples'] {
  const opened = new Map<number, ReturnType<Ledger['open']>>();
  return (step) => {
    const samples = opened.get(step) ?? ledger.open(step);
    opened.set(step, samples);
    return samples;
  };
}

/** Under what a member contributes: the weights with which the round begins and the samples of all its steps. */
function digestOf(replica: Replica, { first, end, samples }: Round): string {
  let digest = replica.digest;
  for (let step = first; step < end; step++) digest = contributionDigest(digest, samples(step).tag);
  return digest;
}

const secondsSince = (clock: Clock, at: number): number => (clock.monotonic() - at) / 1000;
