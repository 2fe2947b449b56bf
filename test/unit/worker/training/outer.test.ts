// Claims about worker/training/outer.ts and the loop around it with the real compute thread, loader and
// ledger. The gang is a sum in this process, because these claims are about who trains which shard when.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { systemClock } from '../../../../core/clock.ts';
import { createLoader } from '../../../../core/data/loading/loader.ts';
import { createDeferred } from '../../../../core/deferred.ts';
import { FleetError } from '../../../../core/errors.ts';
import { buildNetwork } from '../../../../core/nn/build.ts';
import { layoutOf } from '../../../../core/nn/layout.ts';
import { sharedFloats } from '../../../../core/shared-memory.ts';
import { scheduleOf } from '../../../../core/spec/schedule.ts';
import { type Compute, createCompute } from '../../../../worker/compute/client.ts';
import { createBatchSource } from '../../../../worker/training/batch-source.ts';
import { createInnerReplicas, type InnerReplicas } from '../../../../worker/training/inner-replicas.ts';
import { createOuter } from '../../../../worker/training/outer.ts';
import type { Replica } from '../../../../worker/training/replica.ts';
import { createLedger } from '../../../../worker/training/step-ledger.ts';
import { type TrainContext, trainUnit } from '../../../../worker/training/train.ts';
import { firstPlace, initialReplica } from '../../../support/replicas.ts';
import { tinyRun, withTraining } from '../../../support/tiny-run.ts';

// 48 images, 8 a step: rounds of 4 and 2 steps in each of two epochs.
const spec = tinyRun(withTraining({ batch: 8, sync: { kind: 'outer', every: 4 } }));
assert.ok(spec.training.sync.kind === 'outer');
const { sync, shards: V } = spec.training;
const loader = await createLoader({ data: spec.data });
const { classes, trainingImages } = loader.facts;
const network = buildNetwork(spec.network);
const layout = layoutOf(network, { classes });
const schedule = scheduleOf(spec.training, trainingImages);
const compute = createCompute({ cacheDir: '' });
after(async () => {
  await loader.close();
  await compute.close();
});

type Vectors = ReadonlyMap<number, Float32Array>;

/**
 * Adds up what members contribute, the left half of the shards before the right one; answers when all have.
 */
function createSum() {
  const given = new Map<number, Float32Array>();
  const digests = new Set<string>();
  let mean = createDeferred<Float32Array<SharedArrayBuffer>>();
  const vectors = Array.from({ length: V }, () => sharedFloats(layout.vectorCount));
  const sumOf = (first: number, size: number): Float32Array => {
    if (size === 1) return given.get(first)!;
    const [left, right] = [sumOf(first, size / 2), sumOf(first + size / 2, size / 2)];
    return left.map((value, i) => value + right[i]!);
  };
  return {
    vector: (shard: number) => vectors[shard]!,
    async reduce(_round: number, own: Vectors, options?: { readonly digest?: string }) {
      for (const [shard, vector] of own) given.set(shard, vector.slice());
      digests.add(options?.digest ?? '');
      const waited = mean;
      if (given.size === V) {
        assert.equal(digests.size, 1, 'all contribute under one digest');
        const result = sharedFloats(layout.vectorCount);
        result.set(sumOf(0, V).map((value) => value / V));
        given.clear();
        digests.clear();
        mean = createDeferred();
        waited.resolve(result);
      }
      return waited.promise;
    },
  };
}

const contextOf = async (member: {
  readonly shards: readonly number[];
  readonly sum: ReturnType<typeof createSum>;
  readonly replica?: Replica;
  readonly inner?: InnerReplicas;
  readonly signal?: AbortSignal;
  readonly compute?: Compute;
}): Promise<TrainContext & { readonly inner: InnerReplicas }> => {
  const inner = member.inner ?? createInnerReplicas(layout);
  const signal = member.signal ?? new AbortController().signal;
  const procedure = createOuter(
    { runId: 'run-1', spec, network, classes, schedule, compute: member.compute ?? compute },
    sync,
    inner,
  );
  return {
    spec,
    schedule,
    replica: member.replica ?? initialReplica(layout, spec.training.seed),
    membership: await procedure.join(firstPlace(signal)),
    inner,
    shards: member.shards,
    batches: createBatchSource({ loader, schedule, training: spec.training }),
    exchange: member.sum,
    teacher: undefined,
    ledger: createLedger({ own: { schedule, seed: spec.training.seed } }),
    clock: systemClock,
    begin: () => () => undefined,
    signal,
    onBoundary: async () => undefined,
    onUnit: () => undefined,
    onProgress: () => undefined,
  };
};

/** Trains to the end with a member for each part of the shards; returns digests after each round. */
async function train(placement: readonly (readonly number[])[]): Promise<string[]> {
  const sum = createSum();
  const members = await Promise.all(placement.map((shards) => contextOf({ shards, sum })));
  const digests: string[] = [];
  while (members[0]!.replica.step < schedule.stepsTotal) {
    const ends = await Promise.all(members.map(trainUnit));
    for (const { point } of ends) assert.equal(point.weightsDigest, ends[0]!.point.weightsDigest);
    digests.push(`${ends[0]!.point.step} ${ends[0]!.point.weightsDigest} ${ends[0]!.point.loss}`);
  }
  return digests;
}

const all = Array.from({ length: V }, (_, shard) => shard);

test('every placement of the shards gives the same weights and losses after every round', async () => {
  const alone = await train([all]);
  assert.deepEqual(
    alone.map((line) => Number(line.split(' ')[0])),
    [4, 6, 10, 12],
  );
  for (const placement of [
    [
      [0, 1],
      [2, 3],
    ],
    [[0], [1, 2, 3]],
    [[0, 1, 2], [3]],
    all.map((shard) => [shard]),
  ])
    assert.deepEqual(await train(placement), alone, JSON.stringify(placement));
});

test('a round that another generation interrupts goes on where its shards are, with the same result', async () => {
  const undisturbed = await contextOf({ shards: all, sum: createSum() });
  const expected = await trainUnit(undisturbed);
  const replica = initialReplica(layout, spec.training.seed);
  const inner = createInnerReplicas(layout);
  const generation = new AbortController();
  const interrupted = await contextOf({
    shards: [0, 1],
    sum: createSum(),
    replica,
    inner,
    signal: generation.signal,
  });
  // Interrupted with the fourth batch that is asked for: both shards have taken a step by then.
  let asked = 0;
  const counting = {
    ...loader,
    batch: (request: Parameters<typeof loader.batch>[0]) => {
      if (++asked === 4) generation.abort(new FleetError('aborted', 'generation 2 has begun'));
      return loader.batch(request);
    },
  };
  await assert.rejects(
    trainUnit({
      ...interrupted,
      batches: createBatchSource({ loader: counting, schedule, training: spec.training }),
    }),
    /generation 2 has begun/,
  );
  assert.equal(replica.step, 0);
  assert.equal(replica.digest, initialReplica(layout, spec.training.seed).digest);
  const { point, times } = await trainUnit(
    await contextOf({ shards: all, sum: createSum(), replica, inner }),
  );
  assert.equal(point.weightsDigest, expected.point.weightsDigest);
  assert.equal(point.loss, expected.point.loss);
  // A round has 4 steps of 8 images, 2 a shard; two shards had taken at least one step each, and at most all
  // but the last.
  assert.ok(times.images >= 32 - 16 && times.images <= 32 - 4, `${times.images} images were computed again`);
  assert.equal(expected.times.images, 32);
});

test('a round tells how far all shards of the member have got, step by step', async () => {
  const told: number[] = [];
  const context = await contextOf({ shards: all, sum: createSum() });
  const taken = () => Math.min(...all.map((shard) => context.inner.of(shard, context.replica).steps));
  await trainUnit({
    ...context,
    onProgress: (steps) => {
      assert.equal(steps, taken());
      told.push(steps);
    },
  });
  assert.equal(told.length, 4 * V, 'once for each step of each shard');
  assert.deepEqual(
    told,
    told.toSorted((a, b) => a - b),
  );
  assert.equal(told.at(-1), 4);
  assert.equal(context.replica.step, 4);
});

test('a round waits for data whenever no shard has any, whichever it waits for, and not while one computes', async () => {
  let nowMs = 0;
  const clock = { ...systemClock, monotonic: () => nowMs };
  const firstDone = createDeferred<void>();
  const late = {
    ...loader,
    // The second shard has its first batch 1000 ms after the first one is through its round; while the first
    // computes time passes too.
    batch: async (request: Parameters<typeof loader.batch>[0]) => {
      const batch = await loader.batch(request);
      if (request.shard === 1 && request.step === 0) {
        await firstDone.promise;
        nowMs += 1000;
      }
      return batch;
    },
  };
  const passing = {
    ...compute,
    applyStep: (...given: Parameters<typeof compute.applyStep>) => {
      nowMs += 10;
      return compute.applyStep(...given);
    },
    writeDifference: (...given: Parameters<typeof compute.writeDifference>) => {
      firstDone.resolve();
      return compute.writeDifference(...given);
    },
  };
  const alone = {
    ...(await contextOf({ shards: [0, 1], sum: createPair(), compute: passing })),
    clock,
    batches: createBatchSource({ loader: late, schedule, training: spec.training }),
  };
  const { times } = await trainUnit(alone);
  assert.equal(times.data, 1);
});

/** A gang in which the other member contributes zeros at once. */
function createPair(): ReturnType<typeof createSum> {
  const sum = createSum();
  const zeros = new Map([2, 3].map((shard) => [shard, new Float32Array(layout.vectorCount)] as const));
  return {
    ...sum,
    reduce(round, own, options) {
      void sum.reduce(round, zeros, options);
      return sum.reduce(round, own, options);
    },
  };
}

test('a round whose checkpoint cannot be stored stops before it is summed', async () => {
  const sum = createSum();
  const context = await contextOf({ shards: all, sum });
  await trainUnit(context);
  await trainUnit(context);
  assert.equal(context.replica.step, 6);
  const lost = new FleetError('dataLoss', 'the store refuses');
  await assert.rejects(trainUnit({ ...context, onBoundary: () => Promise.reject(lost) }), lost);
  assert.equal(context.replica.step, 6);
});

test('a checkpoint that cannot be stored also ends the wait for a teacher', async () => {
  const context = await contextOf({
    shards: all,
    sum: createSum(),
    replica: { ...initialReplica(layout, spec.training.seed), step: 6 },
  });
  const teacher = {
    forEpoch: (_epoch: number, signal: AbortSignal) =>
      new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    digestFor: () => Promise.reject(new Error('not asked')),
    shareThrough: () => undefined,
    keepRows: () => undefined,
    rowsRefused: () => undefined,
    passSpeed: () => undefined,
    allowanceMs: () => 0,
    close: () => undefined,
  };
  const lost = new FleetError('dataLoss', 'the store refuses');
  await assert.rejects(trainUnit({ ...context, teacher, onBoundary: () => Promise.reject(lost) }), lost);
  assert.equal(context.replica.step, 6);
});
