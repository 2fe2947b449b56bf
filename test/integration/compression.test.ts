// Compressed exchanges: what they promise (`training.compression` in core/spec/training.ts) against a dumb
// reference without members, nodes or messages. With bf16 and int8 the bits follow from the shards alone,
// however they are placed and move; with int8 what rounding left of a shard moves along, and is lost only
// with a worker that leaves or dies.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Compression, Faults, State } from '../../core/allreduce/exchange.ts';
import { slicesOf } from '../../core/allreduce/plan.ts';
import { createResidualStore, type ResidualStore } from '../../core/allreduce/residuals.ts';
import { digest64 } from '../../core/digest.ts';
import { stepDigest } from '../../core/step-digest.ts';
import {
  assertWeights,
  dumbSum,
  type GangOptions,
  membersOf,
  nextRun,
  gang as openGang,
  type Replica,
  random,
  shardVector,
  synchronise,
  train,
} from '../support/gang.ts';
import { startNats, type TestNats } from '../support/nats.ts';

let nats: TestNats;
before(async () => {
  nats = await startNats({ jetstream: false, token: 'compression-token' });
});
after(() => nats.stop());

const gang = (options: Omit<GangOptions, 'nats'>, work: (replicas: Replica[]) => Promise<void>) =>
  openGang({ ...options, nats }, work);

interface Image {
  /** What others decode. */
  readonly image: Float32Array;
  /** What it leaves of the values, with int8. */
  readonly left: Float32Array;
}

const nearestEven = (value: number): number => {
  const below = Math.floor(value);
  const part = value - below;
  return part > 0.5 || (part === 0.5 && below % 2 !== 0) ? below + 1 : below;
};

/** Eight significant bits, the nearest, of two the even one; doubles have room for all of it. */
function imageBf16(values: Float32Array): Image {
  const image = values.map((value) => {
    const size = Math.abs(value);
    let exponent = Math.max(-126, Math.floor(Math.log2(size)));
    // The logarithm of a number just below a power of two may round up to it.
    if (exponent > -126 && size < 2 ** exponent) exponent--;
    const unit = 2 ** (exponent - 7);
    return (Object.is(value, -0) || value < 0 ? -1 : 1) * nearestEven(size / unit) * unit;
  });
  return { image, left: new Float32Array(values.length) };
}

/** 256 elements share a scale, that of the largest divided by 127; each becomes a whole number of scales. */
function imageInt8(values: Float32Array): Image {
  const image = new Float32Array(values.length);
  const left = new Float32Array(values.length);
  for (let at = 0; at < values.length; at += 256) {
    const block = values.subarray(at, at + 256);
    let top = 0;
    for (const value of block) top = Math.max(top, Math.abs(value));
    // A block of nothing but tiny numbers stays whole.
    if (top < 2 ** -119) {
      left.set(block, at);
      continue;
    }
    const scale = Math.fround(top / 127);
    const inverse = Math.fround(127 / top);
    block.forEach((value, i) => {
      image[at + i] = nearestEven(Math.fround(value * inverse)) * scale + 0;
      left[at + i] = value - image[at + i]!;
    });
  }
  return { image, left };
}

const imageOf = (values: Float32Array, compression: 'bf16' | 'int8'): Image =>
  compression === 'bf16' ? imageBf16(values) : imageInt8(values);

/**
 * The definition: each shard with what was left of it, rounded except in its own slice; the tree over all
 * shards; the sum rounded, what that leaves being the slice's shard's.
 */
function createReference(shards: number, elements: number, compression: 'bf16' | 'int8') {
  const left = Array.from({ length: shards }, () => new Float32Array(elements));
  const slices = slicesOf(elements, shards, compression);
  return {
    left,
    step(step: number, fresh: boolean): Float32Array {
      if (fresh) for (const vector of left) vector.fill(0);
      const sent = left.map((residual, shard) => {
        const vector = shardVector(step, shard, elements);
        if (compression === 'int8') for (let i = 0; i < elements; i++) vector[i]! += residual[i]!;
        const rounded = imageOf(vector, compression);
        residual.set(rounded.left);
        for (const slice of slices.filter((one) => one.shard === shard))
          rounded.image.set(vector.subarray(slice.offset, slice.offset + slice.count), slice.offset);
        return rounded.image;
      });
      const sum = imageOf(dumbSum(sent), compression);
      for (const { shard, offset, count } of slices)
        left[shard]!.set(sum.left.subarray(offset, offset + count), offset);
      return sum.image;
    },
  };
}

const STEPS = 4;
const EXACT_FROM = 1e-6;
const PLACEMENTS: readonly (readonly number[])[] = [
  [8],
  [4, 4],
  [3, 3, 2],
  [1, 7],
  [2, 2, 2, 2],
  [1, 2, 4, 1],
  [1, 1, 1, 1, 1, 1, 1, 1],
];
/** Eight slices with a ragged end, and one slice for all. */
const LENGTHS = [8 * 16_384 - 100, 3_000];

for (const compression of ['bf16', 'int8'] as const) {
  test(`${compression}: every placement gives the bits of the definition, step after step`, async () => {
    for (const elements of LENGTHS) {
      const reference = createReference(8, elements, compression);
      const expected = Array.from({ length: STEPS }, (_, step) => digest64(reference.step(step, step === 0)));
      for (const counts of PLACEMENTS) {
        await gang({ counts, elements, compression }, async (replicas) => {
          await Promise.all(replicas.map(synchronise));
          for (let step = 0; step < STEPS; step++) {
            await Promise.all(
              replicas.map((replica, rank) => train(replica, membersOf(counts)[rank]!, step + 1)),
            );
            for (const { state } of replicas)
              assert.equal(digest64(state.weights), expected[step], `${counts.join('+')}, step ${step}`);
          }
        });
      }
    }
  });

  test(`${compression}: losses and repetitions change nothing`, async () => {
    const counts = [2, 1, 4, 1];
    const elements = 300_000;
    const reference = createReference(8, elements, compression);
    let expected = reference.step(0, true);
    for (let step = 1; step < STEPS; step++) expected = reference.step(step, false);
    const faults = (rank: number): Faults => {
      const next = random(rank + 99);
      return () => {
        const chance = next();
        return chance < 0.05 ? 'drop' : chance < 0.1 ? 'duplicate' : 'pass';
      };
    };
    await gang({ counts, elements, compression, faults }, async (replicas) => {
      await Promise.all(replicas.map(synchronise));
      await Promise.all(replicas.map((replica, rank) => train(replica, membersOf(counts)[rank]!, STEPS)));
      assertWeights(replicas, expected);
      const resends = replicas.reduce((sum, { exchange }) => sum + exchange.stats().resends, 0);
      assert.ok(resends > 0);
    });
  });
}

test('the sum is close to the exact one, and what int8 leaves is made up for over steps', async () => {
  const elements = 3_000;
  const exact = new Float64Array(elements);
  const withFeedback = new Float64Array(elements);
  const without = new Float64Array(elements);
  const [a, b] = [createReference(8, elements, 'int8'), createReference(8, elements, 'int8')];
  for (let step = 0; step < 20; step++) {
    // The same gradient each time: what is left of it must not be lost each time.
    const sum = dumbSum(Array.from({ length: 8 }, (_, shard) => shardVector(0, shard, elements)));
    const [fed, unfed] = [a.step(0, step === 0), b.step(0, true)];
    for (let i = 0; i < elements; i++) {
      exact[i]! += sum[i]!;
      withFeedback[i]! += fed[i]!;
      without[i]! += unfed[i]!;
    }
  }
  const error = (sums: Float64Array): number =>
    Math.sqrt(sums.reduce((total, value, i) => total + (value - exact[i]!) ** 2, 0) / elements);
  assert.ok(error(withFeedback) < error(without) / 5, `${error(withFeedback)} against ${error(without)}`);
  const size = Math.sqrt(exact.reduce((total, value) => total + value ** 2, 0) / elements);
  assert.ok(error(without) < size / 50 && error(without) > size * EXACT_FROM);
});

test('int8: after any number of steps the sums differ from the exact ones by what is left then, less than a quantum a shard', async () => {
  const elements = 3_000;
  const reference = createReference(8, elements, 'int8');
  const exact = new Float64Array(elements);
  const given = new Float64Array(elements);
  const size = new Float64Array(elements);
  for (let step = 0; step < 40; step++) {
    const vectors = Array.from({ length: 8 }, (_, shard) => shardVector(step, shard, elements));
    const sum = reference.step(step, step === 0);
    for (let i = 0; i < elements; i++) {
      given[i]! += sum[i]!;
      for (const vector of vectors) exact[i]! += vector[i]!;
      size[i]! += vectors.reduce((most, vector) => most + Math.abs(vector[i]!), 0);
    }
    const quantum = quantumOf([...vectors, sum]);
    for (let i = 0; i < elements; i++) {
      const left = reference.left.reduce((total, vector) => total + vector[i]!, 0);
      // Each of the float32 operations, fewer than 64 a step, errs by less than 2^-24 of what it handles.
      const rounding = (size[i]! + quantum) * 64 * 2 ** -24;
      assert.ok(Math.abs(exact[i]! - given[i]! - left) <= rounding, `step ${step}, element ${i}`);
      assert.ok(Math.abs(left) <= 8 * quantum, `${left} is left, a quantum is ${quantum}`);
    }
  }
});

/** Of the largest number; that of a block is smaller, or no larger for what was left before. */
function quantumOf(vectors: readonly Float32Array[]): number {
  let top = 0;
  for (const vector of vectors) for (const value of vector) top = Math.max(top, Math.abs(value));
  return (top / 127) * (1 + 1 / 64);
}

test('int8 and bf16 send a quarter and a half of the bytes', async () => {
  const sent = new Map<Compression, number>();
  for (const compression of ['none', 'bf16', 'int8'] as const) {
    const counts = [1, 1, 1, 1];
    await gang({ counts, elements: 400_000, compression, stallMs: 60_000 }, async (replicas) => {
      await Promise.all(replicas.map(synchronise));
      await Promise.all(replicas.map((replica, rank) => train(replica, membersOf(counts)[rank]!, 3)));
      sent.set(compression, replicas[0]!.exchange.stats().bytesSent);
    });
  }
  const ratio = (compression: Compression): number => sent.get(compression)! / sent.get('none')!;
  assert.ok(ratio('bf16') < 0.51 && ratio('bf16') > 0.49, `${ratio('bf16')}`);
  assert.ok(ratio('int8') < 0.265 && ratio('int8') > 0.25, `${ratio('int8')}`);
});

/** Members of one generation after the other, with what each worker keeps. */
async function generations(
  runId: string,
  elements: number,
  plan: readonly {
    readonly counts: readonly number[];
    /** Worker of each rank; their stores and states live on. */
    readonly workers: readonly string[];
    readonly end: number;
    /** Called when all have reached `end`, before the generation ends. */
    readonly last?: (replicas: readonly Replica[]) => Promise<void>;
  }[],
): Promise<{ readonly weights: Float32Array; readonly lost: number[][] }> {
  const stores = new Map<string, ResidualStore>();
  const states = new Map<string, { step: number; state: State }>();
  const lost: number[][] = [];
  let weights = new Float32Array(0);
  const empty = { weights: new Float32Array(0), momentum: new Float32Array(0), running: new Float32Array(0) };
  for (const [index, { counts, workers, end, last }] of plan.entries()) {
    for (const worker of workers) if (!stores.has(worker)) stores.set(worker, createResidualStore());
    const zero = { step: 0, state: { ...empty, weights: new Float32Array(elements) } };
    const starts = workers.map(
      (worker) => states.get(worker) ?? (index === 0 ? zero : { step: -1, state: empty }),
    );
    const residuals = workers.map((worker) => stores.get(worker)!);
    const options = {
      counts,
      elements,
      runId,
      generation: index + 1,
      compression: 'int8' as const,
      starts,
      residuals,
    };
    await gang(options, async (replicas) => {
      const lostHere = await Promise.all(replicas.map(synchroniseAndTellLost));
      if (index > 0) lost.push(lostHere.flat());
      const members = membersOf(counts);
      await Promise.all(replicas.map((replica, rank) => train(replica, members[rank]!, end)));
      for (const { state } of replicas)
        assert.equal(digest64(state.weights), digest64(replicas[0]!.state.weights));
      await last?.(replicas);
      workers.forEach((worker, rank) => {
        const { step, state } = replicas[rank]!;
        states.set(worker, { step, state });
      });
      weights = Float32Array.from(replicas[0]!.state.weights);
    });
  }
  return { weights, lost };
}

async function synchroniseAndTellLost(replica: Replica): Promise<readonly number[]> {
  const mine =
    replica.step < 0
      ? { step: -1, digest: '0'.repeat(16) }
      : { step: replica.step, digest: stepDigest(replica.state.weights) };
  const { step, state, residualsLost } = await replica.exchange.sync(mine);
  replica.step = step;
  if (state !== undefined) replica.state = state;
  return residualsLost ?? [];
}

function int8Reference(elements: number, end: number): Float32Array {
  const reference = createReference(8, elements, 'int8');
  let sum = reference.step(0, true);
  for (let step = 1; step < end; step++) sum = reference.step(step, false);
  return sum;
}

test('int8: shards that move to other workers, old and new, take along what was left of them', async () => {
  const elements = 8 * 16_384 - 100;
  const { weights, lost } = await generations(nextRun(), elements, [
    { counts: [4, 4], workers: ['a', 'b'], end: 2 },
    // c is new, and every shard but two changes hands.
    { counts: [2, 3, 3], workers: ['c', 'a', 'b'], end: 4 },
    // a leaves; its shards are fetched while it is still in the gang with one.
    { counts: [1, 7], workers: ['a', 'b'], end: 5 },
    { counts: [5, 3], workers: ['b', 'c'].reverse(), end: 6 },
  ]);
  assert.deepEqual(lost.slice(0, 1), [[]], 'everybody who had something was there');
  // c was away in the third generation and a is in the fourth: what a had of shard 0 went with it.
  assert.deepEqual(lost[2], [0]);
  assert.notEqual(digest64(weights), digest64(int8Reference(elements, 6)));
  const undisturbed = await generations(nextRun(), elements, [
    { counts: [4, 4], workers: ['a', 'b'], end: 2 },
    { counts: [2, 3, 3], workers: ['c', 'a', 'b'], end: 4 },
    { counts: [1, 6, 1], workers: ['a', 'b', 'c'], end: 6 },
  ]);
  assert.deepEqual(undisturbed.lost, [[], []]);
  assert.equal(digest64(undisturbed.weights), digest64(int8Reference(elements, 6)));
});

test('int8: a generation that ends in the middle of a step leaves what was left as if it had not begun', async () => {
  const elements = 8 * 16_384 - 100;
  const { weights, lost } = await generations(nextRun(), elements, [
    {
      counts: [4, 4],
      workers: ['a', 'b'],
      end: 3,
      async last(replicas) {
        // One member contributes to step 3, the other does not before the generation ends.
        const member = membersOf([4, 4])[0]!;
        const vectors = new Map<number, Float32Array>();
        for (let shard = 0; shard < member.shardCount; shard++)
          vectors.set(shard, shardVector(3, shard, elements));
        replicas[0]!.exchange.reduce(3, vectors).catch(() => {});
      },
    },
    { counts: [3, 5], workers: ['a', 'b'], end: 5 },
  ]);
  assert.deepEqual(lost, [[]]);
  assert.equal(digest64(weights), digest64(int8Reference(elements, 5)));
});

test('int8: a member that missed the end of a step which others completed keeps what that step left', async () => {
  const elements = 8 * 16_384 - 100;
  const runId = nextRun();
  const stores = [createResidualStore(), createResidualStore()];
  const counts = [4, 4];
  const ends: { step: number; state: State }[] = [];
  // Rank 1 hears no result of step 2 from rank 0, and everything else.
  const faults =
    (rank: number): Faults =>
    ({ direction, kind, step }) =>
      rank === 1 && direction === 'receive' && kind === 'result' && step === 2 ? 'drop' : 'pass';
  await gang(
    { counts, elements, runId, compression: 'int8', residuals: stores, faults },
    async (replicas) => {
      await Promise.all(replicas.map(synchronise));
      const members = membersOf(counts);
      await Promise.all(replicas.map((replica, rank) => train(replica, members[rank]!, 2)));
      const behind = train(replicas[1]!, members[1]!, 3);
      behind.catch(() => {});
      await train(replicas[0]!, members[0]!, 3);
      assert.equal(replicas[1]!.step, 2, 'rank 1 lacks a result');
      ends.push(...replicas.map(({ step, state }) => ({ step, state })));
    },
  );
  await gang(
    { counts: [6, 2], elements, runId, generation: 2, compression: 'int8', residuals: stores, starts: ends },
    async (replicas) => {
      const lost = await Promise.all(replicas.map(synchroniseAndTellLost));
      assert.deepEqual(lost, [[], []]);
      const members = membersOf([6, 2]);
      await Promise.all(replicas.map((replica, rank) => train(replica, members[rank]!, 4)));
      assertWeights(replicas, int8Reference(elements, 4));
    },
  );
});

test('int8: a worker that dies takes along what was left of its shards; it is told, weights stay equal, a stage begins anew', async () => {
  const elements = 8 * 16_384 - 100;
  const runId = nextRun();
  const stores = [createResidualStore(), createResidualStore()];
  const ends: { step: number; state: State }[] = [];
  await gang(
    { counts: [4, 4], elements, runId, compression: 'int8', residuals: stores },
    async (replicas) => {
      await Promise.all(replicas.map(synchronise));
      await Promise.all(replicas.map((replica, rank) => train(replica, membersOf([4, 4])[rank]!, 2)));
      ends.push(...replicas.map(({ step, state }) => ({ step, state })));
    },
  );
  const survivors = { starts: [ends[0]!, ends[0]!], residuals: [stores[0]!, createResidualStore()] };
  await gang(
    { counts: [4, 4], elements, runId, generation: 2, compression: 'int8', ...survivors },
    async (replicas) => {
      const lost = await Promise.all(replicas.map(synchroniseAndTellLost));
      assert.deepEqual(lost, [[], [4, 5, 6, 7]]);
      const isFresh = (step: number): boolean => step === 4;
      await Promise.all(
        replicas.map((replica, rank) => train(replica, membersOf([4, 4])[rank]!, 4, isFresh)),
      );
      assert.equal(digest64(replicas[0]!.state.weights), digest64(replicas[1]!.state.weights));
      assert.notEqual(digest64(replicas[0]!.state.weights), digest64(int8Reference(elements, 4)));
      // Step 4 begins a stage: from here on the bits are again those of an undisturbed run with this state.
      await Promise.all(
        replicas.map((replica, rank) => train(replica, membersOf([4, 4])[rank]!, 6, isFresh)),
      );
      const reference = createReference(8, elements, 'int8');
      reference.step(4, true);
      assertWeights(replicas, reference.step(5, false));
    },
  );
});

test('a number that is not finite is not hidden by compression', async () => {
  for (const compression of ['bf16', 'int8'] as const) {
    await gang({ counts: [1, 1], elements: 40_000, compression }, async (replicas) => {
      await Promise.all(replicas.map(synchronise));
      const sums = await Promise.all(
        replicas.map(({ exchange }, rank) => {
          const vector = shardVector(0, rank, 40_000);
          if (rank === 1) vector[39_999] = Number.POSITIVE_INFINITY;
          return exchange.reduce(0, new Map([[rank, vector]]), { fresh: true });
        }),
      );
      for (const sum of sums) {
        assert.ok(!Number.isFinite(sum[39_999]));
        assert.ok(Number.isFinite(sum[0]));
      }
    });
  }
});
