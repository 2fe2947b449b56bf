import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDeferred, type Deferred } from '../../../../core/deferred.ts';
import { FleetError } from '../../../../core/errors.ts';
import type { DistillationSpec, TeacherSchedule } from '../../../../core/spec/distillation.ts';
import type { BlockSupply } from '../../../../worker/training/block-supply.ts';
import { createTeacherFeed, type StoredNetwork } from '../../../../worker/training/teacher.ts';
import { createTeacherBlocks, type TeacherBlocks } from '../../../../worker/training/teacher-blocks.ts';

const stored = (embedding: number): StoredNetwork => ({
  network: { kind: 'mobilefacenet', embedding },
  weights: new Float32Array(4),
  running: new Float32Array(2),
  digest: `of ${embedding}`,
  networkDigest: `values of ${embedding}`,
});

/** A feed over stages that the test stores when it likes. The compute thread counts and gives the first byte. */
function feed(
  options: {
    stages?: number;
    schedule?: TeacherSchedule;
    embedding?: number;
    weight?: DistillationSpec['weight'];
    blocks?: TeacherBlocks;
    supply?: BlockSupply;
  } = {},
) {
  const arrivals = new Map<number, Deferred<StoredNetwork>>();
  const arrival = (stage: number) => {
    const deferred = arrivals.get(stage) ?? createDeferred<StoredNetwork>();
    arrivals.set(stage, deferred);
    return deferred;
  };
  const counted: string[] = [];
  const asked: number[] = [];
  const told: (number | undefined)[] = [];
  const present = new Set<number>();
  const teacher = createTeacherFeed({
    teacherRunId: 'run-t',
    taught: { schedule: options.schedule ?? 'multi-step', epochs: 8, teacherStages: options.stages ?? 3 },
    strength: { weight: options.weight ?? 10 },
    batch: 2,
    embedding: 8,
    blocks: options.blocks ?? createTeacherBlocks(),
    begin: () => () => undefined,
    order: 'one order',
    onImages: (images, source) => counted.push(`${images} ${source}`),
    compute: {
      runGraph: async (_graph: unknown, [, , images]: Uint8Array[]) => {
        counted.push('a pass');
        return [Float32Array.of(images![0]!)];
      },
    } as never,
    load: (stage) => {
      asked.push(stage);
      return arrival(stage).promise;
    },
    exists: async (stage) => present.has(stage),
    digestOf: async (stage) => `stored ${stage}`,
    onWaiting: (stage) => told.push(stage),
  });
  const store = (stage: number) => {
    present.add(stage);
    arrival(stage).resolve(stored(options.embedding ?? 8));
  };
  teacher.shareThrough(options.supply);
  return { teacher, asked, told, counted, store, arrival };
}
const never = new AbortController().signal;

test('a stage that is not stored is waited for and told; the wait ends when it arrives', async () => {
  const { teacher, told, store } = feed();
  const first = teacher.forEpoch(0, never);
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  assert.deepEqual(told, [1]);
  store(1);
  assert.equal((await first).stage, 1);
  assert.deepEqual(told, [1, undefined]);
});

test('the next stage is fetched while the current one is used, and the last has none after it', async () => {
  const { teacher, asked, store } = feed({ stages: 2 });
  store(1);
  await teacher.forEpoch(0, never);
  assert.deepEqual(asked, [1, 2]);
  store(2);
  assert.equal((await teacher.forEpoch(1, never)).stage, 2);
  assert.equal((await teacher.forEpoch(7, never)).stage, 2, 'a longer student stays with the last stage');
  assert.deepEqual(asked, [1, 2], 'each stage is loaded once');
});

test('the digest of a stage is that of what was loaded, or else of what is stored', async () => {
  const { teacher, store } = feed();
  store(1);
  await teacher.forEpoch(0, never);
  assert.equal(await teacher.digestFor(0, never), 'of 8');
  assert.equal(await teacher.digestFor(1, never), 'stored 2');
  assert.equal(await teacher.digestFor(7, never), 'stored 3', 'a longer student stays with the last stage');
});

test('a single-step student asks for the last stage alone', async () => {
  const { teacher, asked, store } = feed({ schedule: 'single-step' });
  store(3);
  assert.equal((await teacher.forEpoch(0, never)).stage, 3);
  assert.deepEqual(asked, [3]);
});

test('a released student stops waiting with the reason', async () => {
  const { teacher, told } = feed();
  const stopping = new AbortController();
  const waiting = teacher.forEpoch(0, stopping.signal);
  stopping.abort(new FleetError('cancelled', 'released'));
  await assert.rejects(waiting, { code: 'cancelled' });
  assert.equal(told.at(-1), undefined);
});

test('a teacher with another embedding size is refused by name and size', async () => {
  const { teacher, store } = feed({ embedding: 16 });
  store(1);
  await assert.rejects(teacher.forEpoch(0, never), {
    code: 'invalidArgument',
    message: /embeddings of 16.*of 8/,
  });
});

test('a load that failed is tried again by the next need', async () => {
  const { teacher, asked, arrival } = feed();
  arrival(1).reject(new FleetError('dataLoss', 'garbled'));
  await assert.rejects(teacher.forEpoch(0, never), { code: 'dataLoss' });
  await assert.rejects(teacher.forEpoch(0, never), { code: 'dataLoss' });
  assert.deepEqual(asked, [1, 1]);
});

test('two students of one order share the pass over a shard batch, and each has its own weight', async () => {
  const blocks = createTeacherBlocks();
  const one = feed({ blocks });
  const other = feed({ blocks, weight: { from: 4, to: 8, epochs: 2 } });
  for (const { store } of [one, other]) store(1);
  const batch = { step: 0, shard: 1, images: Uint8Array.of(7) };
  const [first, second] = await Promise.all(
    [one, other].map(async ({ teacher }) => (await teacher.forEpoch(0, never)).inputsOf(batch)),
  );
  assert.deepEqual(first, [Float32Array.of(7), Float32Array.of(10)]);
  assert.deepEqual(second, [Float32Array.of(7), Float32Array.of(4)]);
  assert.deepEqual([one.counted, other.counted], [['a pass', '2 computed'], ['2 shared']]);
  other.store(2);
  const [, later] = await (await other.teacher.forEpoch(1, never)).inputsOf({ ...batch, step: 9 });
  assert.deepEqual(later, Float32Array.of(6));
});

test('what was embedded ahead of its step is not embedded again, nor counted twice', async () => {
  const { teacher, counted, store } = feed();
  store(1);
  const batch = { step: 1, shard: 0, images: Uint8Array.of(3) };
  (await teacher.forEpoch(0, never)).ahead(batch);
  (await teacher.forEpoch(0, never)).ahead(batch);
  const [embeddings] = await (await teacher.forEpoch(0, never)).inputsOf(batch);
  assert.deepEqual(embeddings, Float32Array.of(3));
  assert.deepEqual(counted, ['a pass', '2 computed']);
});

test('a list of stages may go back to one that was used before', async () => {
  const { teacher, store } = feed({ schedule: [2, 1, 2, 1, 1, 1, 1, 1] });
  for (const stage of [1, 2]) store(stage);
  for (const [epoch, stage] of [2, 1, 2].entries())
    assert.equal((await teacher.forEpoch(epoch, never)).stage, stage);
});
