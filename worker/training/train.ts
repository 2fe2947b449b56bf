// The loop of one run in one generation: unit after unit (procedure.ts) until the last step is committed.
// Decides the order in which boundary checkpoint, data, computation, sum and optimiser meet, and where the
// loop may stop.
//
// It stops between the parts of a unit and never in the optimiser: the replica is always the state after a
// whole number of units, and the next generation goes on with it.

import type { Exchange } from '../../core/allreduce/exchange.ts';
import type { Clock } from '../../core/clock.ts';
import { contributionDigest } from '../../core/data/loading/sample-ledger.ts';
import { LOSS_COUNT } from '../../core/nn/layout.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import {
  beginsStage,
  epochOfStep,
  learningRateAt,
  roundEnd,
  roundsBefore,
  type Schedule,
  stageEndingAt,
} from '../../core/spec/schedule.ts';
import { type BeginPhase, during } from '../../core/worker-time.ts';
import type { StepPoint } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { BatchSource } from './batch-source.ts';
import { createDataWait, type DataWait } from './data-wait.ts';
import { timedTeacher } from './pass-time.ts';
import type { Applied, Membership, Unit } from './procedure.ts';
import { createRate } from './rate.ts';
import type { Replica } from './replica.ts';
import { assertCounted, type Ledger } from './step-ledger.ts';
import type { TeacherFeed } from './teacher.ts';

/**
 * Seconds of one unit by what they went into, which overlap where work does, and what the unit consisted of.
 */
export interface UnitTimes {
  readonly total: number;
  readonly data: number;
  /** Waiting for a stage of it. */
  readonly teacher: number;
  /** Waiting for its embeddings, which are computed here or shared. */
  readonly teacherPass: number;
  readonly compute: number;
  readonly allreduce: number;
  readonly optimizer: number;
  /** Steps that were committed together. */
  readonly steps: number;
  /** Images computed here for them. */
  readonly images: number;
  /** Bytes of one shard's vector. */
  readonly vectorBytes: number;
}

export interface TrainContext {
  readonly spec: RunSpec;
  readonly schedule: Schedule;
  readonly replica: Replica;
  /** What this worker does in the run's procedure in this generation. */
  readonly membership: Membership;
  /** Own shards, ascending. */
  readonly shards: readonly number[];
  readonly batches: BatchSource;
  /** Of a search: those of the half of the alphas. */
  readonly alphaBatches?: BatchSource | undefined;
  readonly exchange: Pick<Exchange, 'reduce' | 'vector'>;
  readonly teacher: TeacherFeed | undefined;
  readonly ledger: Ledger;
  readonly clock: Clock;
  /** Where the time of this run goes. */
  readonly begin: BeginPhase;
  readonly signal: AbortSignal;
  /**
   * Called when the replica stands at the end of a stage, before this member contributes to the next unit.
   * The loop waits for it, so no member can pass a boundary whose checkpoint is not stored.
   */
  readonly onBoundary: (stage: number) => Promise<void>;
  /** A unit is committed; the next one begins when this resolves. `differenceError`: as of Applied. */
  readonly onUnit: (
    point: StepPoint,
    times: UnitTimes,
    differenceError: number | undefined,
  ) => void | Promise<void>;
  /** So many steps of the open unit are trained by all own shards. Units of one step are not announced. */
  readonly onProgress: (openSteps: number) => void;
}

/** Trains until the last step is committed, or throws the signal's reason. */
export async function train(context: TrainContext): Promise<void> {
  const { schedule, replica, signal, clock } = context;
  const rate = createRate();
  while (replica.step < schedule.stepsTotal) {
    signal.throwIfAborted();
    const startedAt = clock.monotonic();
    const { point, times, differenceError } = await trainUnit(context);
    const total = secondsSince(clock, startedAt);
    const imagesPerSecond = rate.add(schedule.batch * times.steps, total);
    const whole = { ...point, imagesPerSecond, atMs: clock.now() };
    await context.onUnit(whole, { ...times, total }, differenceError);
  }
  const last = stageEndingAt(schedule, replica.step);
  if (last > 0) await during(context.begin, 'checkpoint', context.onBoundary(last));
}

/** Trains one unit; the replica then stands at its end. */
export async function trainUnit(context: TrainContext) {
  const { replica, schedule, clock, signal, membership, begin } = context;
  const stage = stageEndingAt(schedule, replica.step);
  // The checkpoint is stored while the unit is computed: the replica does not change before the sum is there.
  const stored = stage > 0 ? context.onBoundary(stage) : Promise.resolve();
  const contributed = await contribute(context, stored);
  const { unit, contribution } = contributed;
  await during(begin, 'checkpoint', stored);
  signal.throwIfAborted();

  embedAhead(context, unit);
  const sumAt = clock.monotonic();
  const reduced = context.exchange.reduce(roundsBefore(schedule, unit.first), contribution.vectors, {
    digest: unit.contributionDigest(),
    fresh: beginsStage(schedule, unit.first),
    ...(contribution.summed === undefined ? {} : { summed: contribution.summed }),
  });
  const mean = await during(begin, 'reduce_wait', reduced);
  const allreduce = contribution.waited + secondsSince(clock, sumAt);
  signal.throwIfAborted();

  const applyAt = clock.monotonic();
  const ofMean = lossesOf(mean);
  const applied = await membership.applyMean(unit, mean);
  const { gradientNorm, digest, losses = ofMean, differenceError } = applied;
  const { loss, lossArcface, lossKd } = losses;
  replica.step = unit.end;
  replica.digest = digest;
  return {
    differenceError,
    point: {
      step: unit.end,
      epoch: (unit.end * schedule.batch) / schedule.images,
      loss,
      lossArcface,
      lossKd: context.teacher === undefined ? Number.NaN : lossKd,
      learningRate: unit.learningRate,
      gradientNorm,
      weightsDigest: digest,
    },
    times: {
      data: contributed.data,
      teacher: contributed.teacher,
      teacherPass: contributed.teacherPass,
      compute: contributed.compute,
      allreduce,
      optimizer: secondsSince(clock, applyAt),
      steps: unit.end - unit.first,
      images: contribution.images,
      vectorBytes: mean.byteLength,
    },
  };
}

/**
 * Waits for the teacher and lets the procedure compute; a checkpoint that cannot be stored ends both early.
 */
async function contribute(context: TrainContext, stored: Promise<void>) {
  const { schedule, clock } = context;
  const stop = new AbortController();
  const signal = AbortSignal.any([context.signal, stop.signal]);
  const failed = rejectionOf(stored);
  failed.catch((caught: unknown) => stop.abort(caught));
  const startedAt = clock.monotonic();
  const epoch = epochOfStep(schedule, context.replica.step);
  const teacher =
    context.teacher && (await during(context.begin, 'teacher_wait', context.teacher.forEpoch(epoch, signal)));
  const teacherSeconds = secondsSince(clock, startedAt);
  const wait = createDataWait(clock, context.begin);
  const timed = teacher && timedTeacher(teacher, clock);
  const unit = openUnit(context, { teacher: timed?.teacher, wait, signal, failed });
  const contribution = await context.membership.contribute(unit).finally(wait.end);
  const teacherPass = timed?.seconds() ?? 0;
  return {
    unit,
    contribution,
    data: wait.seconds(),
    teacher: teacherSeconds,
    teacherPass,
    compute: secondsSince(clock, startedAt) - teacherSeconds - teacherPass - contribution.waited,
  };
}

function openUnit(
  context: TrainContext,
  opened: Pick<Unit, 'teacher' | 'signal' | 'failed'> & { readonly wait: DataWait },
): Unit {
  const { spec, schedule, replica, batches, ledger } = context;
  const { training } = spec;
  const { wait, ...rest } = opened;
  const first = replica.step;
  const end = roundEnd(schedule, first);
  const { digest } = replica;
  /** Shards ask for a step at about the same time, and its samples are computed once. */
  const samples = new Map<number, ReturnType<Ledger['samplesOf']>>();
  const samplesOf = (step: number) => {
    const found = samples.get(step) ?? ledger.samplesOf(step);
    samples.set(step, found);
    return found;
  };
  return {
    ...rest,
    first,
    end,
    learningRate: learningRateAt(training, epochOfStep(schedule, first)),
    replica,
    shards: context.shards,
    exchange: context.exchange,
    clock: context.clock,
    begin: context.begin,
    async readBatch(step, shard, half = 'weights') {
      const isAlphas = half === 'alphas';
      const batch = await (isAlphas ? context.alphaBatches! : batches).take(step, shard);
      wait.arrived();
      const { own, alphas } = samplesOf(step);
      assertCounted((isAlphas ? alphas! : own)[shard]!, batch.indices, { step, shard });
      return batch;
    },
    batchDone: () => wait.computed(),
    contributionDigest() {
      let all = digest;
      for (let step = first; step < end; step++) all = contributionDigest(all, samplesOf(step).tag);
      return all;
    },
    onProgress: context.onProgress,
  };
}

/**
 * The teacher's pass over the next step's batches depends on nothing that is being summed, so it fills the wait
 * for the sum. Within an epoch, because the next one may have another stage, which may have to be waited for.
 */
function embedAhead({ schedule, shards, batches, signal }: TrainContext, { teacher, end }: Unit): void {
  if (teacher === undefined || end >= schedule.stepsTotal) return;
  if (epochOfStep(schedule, end) !== epochOfStep(schedule, end - 1)) return;
  for (const shard of shards)
    batches.ahead(end, shard).then(
      ({ images }) => {
        if (!signal.aborted) teacher.ahead({ step: end, shard, images });
      },
      () => undefined,
    );
}

/** At the end of a vector of gradients. */
function lossesOf(mean: Float32Array): NonNullable<Applied['losses']> {
  const [loss, lossArcface, lossKd] = mean.subarray(mean.length - LOSS_COUNT);
  return { loss: loss!, lossArcface: lossArcface!, lossKd: lossKd! };
}

/** Never resolves; rejects when the promise does. */
function rejectionOf(promise: Promise<void>): Promise<never> {
  return new Promise((_, reject) => promise.catch(reject));
}

const secondsSince = (clock: Clock, at: number): number => (clock.monotonic() - at) / 1000;
