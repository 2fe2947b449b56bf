import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../../../core/clock.ts';
import { createDeferred, type Deferred } from '../../../../core/deferred.ts';
import { FleetError } from '../../../../core/errors.ts';
import type { BlockForm, DistillationSpec, TeacherSchedule } from '../../../../core/spec/distillation.ts';
import { decodeBlock, encodeBlock, roundedBlock } from '../../../../worker/training/block-form.ts';
import type { BlockSupply } from '../../../../worker/training/block-supply.ts';
import { createTeacherFeed } from '../../../../worker/training/teacher.ts';
import { createTeacherBlocks, type TeacherBlocks } from '../../../../worker/training/teacher-blocks.ts';
import type { StoredStage } from '../../../../worker/training/teacher-network.ts';

const storedStage = (embedding: number, load: () => void): StoredStage => ({
  ...{ digest: `of ${embedding}`, networkDigest: `values of ${embedding}`, bytes: 50_000 },
  async load() {
    load();
    return {
      network: { kind: 'mobilefacenet', embedding },
      weights: new Float32Array(4),
      running: new Float32Array(2),
    };
  },
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
    form?: BlockForm;
    rows?: Float32Array;
  } = {},
) {
  const arrivals = new Map<number, Deferred<StoredStage>>();
  const arrival = (stage: number) => {
    const deferred = arrivals.get(stage) ?? createDeferred<StoredStage>();
    arrivals.set(stage, deferred);
    return deferred;
  };
  const counted: string[] = [];
  const asked: number[] = [];
  const loaded: number[] = [];
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
    form: options.form ?? 'float32',
    clock: systemClock,
    onImages: (images, source) => counted.push(`${images} ${source}`),
    compute: {
      runGraph: async (_graph: unknown, [, , images]: Uint8Array[]) => {
        counted.push('a pass');
        return [options.rows ?? Float32Array.of(images![0]!)];
      },
    } as never,
    find: (stage) => {
      asked.push(stage);
      return arrival(stage).promise;
    },
    exists: async (stage) => present.has(stage),
    digestOf: async (stage) => `stored ${stage}`,
    onWaiting: (stage) => told.push(stage),
  });
  const store = (stage: number) => {
    present.add(stage);
    arrival(stage).resolve(storedStage(options.embedding ?? 8, () => loaded.push(stage)));
  };
  teacher.shareThrough(options.supply);
  return { teacher, asked, loaded, told, counted, store, arrival };
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
  const { teacher, asked, loaded, store } = feed({ stages: 2 });
  store(1);
  await teacher.forEpoch(0, never);
  assert.deepEqual(asked, [1, 2]);
  store(2);
  await new Promise(setImmediate);
  assert.deepEqual(loaded, [1, 2], 'ahead of its epoch');
  assert.equal((await teacher.forEpoch(1, never)).stage, 2);
  assert.equal((await teacher.forEpoch(7, never)).stage, 2, 'a longer student stays with the last stage');
  assert.deepEqual(
    [asked, loaded],
    [
      [1, 2],
      [1, 2],
    ],
    'each stage is found and loaded once',
  );
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

test('a stage that could not be found is looked for again by the next need', async () => {
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

test('where an embedding run computes, the network of a stage is loaded for the first block that it has not', async () => {
  const fetched = new Set([0, 1, 3, 4, 6]);
  const supply: BlockSupply = {
    isFed: true,
    async obtain({ step }, length, compute) {
      if (fetched.has(step)) return { values: new Float32Array(length), source: 'fetched' };
      return { values: await compute(), source: 'computed' };
    },
    allowanceMs: () => 7,
    make: async () => 'there',
  };
  const { teacher, loaded, counted, store } = feed({ supply });
  for (const stage of [1, 2, 3]) store(stage);
  const take = async (epoch: number, step: number) =>
    (await teacher.forEpoch(epoch, never)).inputsOf({ step, shard: 0, images: Uint8Array.of(step) });
  await take(0, 0);
  await take(0, 1);
  assert.deepEqual(loaded, [], 'nothing was loaded for blocks that were fetched');
  assert.equal(teacher.allowanceMs(), 12, 'loading 50,000 bytes may still come on top');
  assert.deepEqual((await take(0, 2))[0], Float32Array.of(2));
  assert.equal(teacher.allowanceMs(), 7);
  await take(0, 5);
  await take(1, 3);
  await take(2, 6);
  assert.deepEqual(loaded, [1], 'once, and no later stage');
  teacher.shareThrough(undefined);
  await take(2, 7);
  assert.deepEqual(loaded, [1, 3], 'without the embedding run as for a student that is alone');
  assert.deepEqual(counted, [
    '2 fetched',
    '2 fetched',
    'a pass',
    '2 computed',
    'a pass',
    '2 computed',
    '2 fetched',
    '2 fetched',
    'a pass',
    '2 computed',
  ]);
});

test('a student of float16 has the same numbers from its own pass, from another one here and from the stream', async () => {
  const rows = Float32Array.of(1 / 3, -2.7, 1e-6, 0.1, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7);
  const blocks = createTeacherBlocks();
  let sent: ReturnType<typeof encodeBlock> | undefined;
  const maker: BlockSupply = {
    ...{ isFed: false, allowanceMs: () => 0, make: async () => 'there' },
    async obtain(_key, _length, compute) {
      const values = await compute();
      sent = encodeBlock(values, 'float16');
      return { values, source: 'computed' };
    },
  };
  const taker: BlockSupply = {
    ...maker,
    async obtain(_key, length) {
      const values = decodeBlock(sent!.bytes, sent!.form, { form: 'float16', length });
      assert.ok(typeof values !== 'string', String(values));
      return { values, source: 'fetched' };
    },
  };
  const of = { form: 'float16', rows } as const;
  const feeds = [
    feed(of),
    feed({ ...of, blocks, supply: maker }),
    feed({ ...of, blocks }),
    feed({ ...of, supply: taker }),
  ];
  const taken: Float32Array[] = [];
  for (const { teacher, store } of feeds) {
    store(1);
    const batch = { step: 0, shard: 0, images: Uint8Array.of(1) };
    taken.push((await (await teacher.forEpoch(0, never)).inputsOf(batch))[0]);
  }
  assert.deepEqual(
    feeds.map(({ counted }) => counted.at(-1)),
    ['2 computed', '2 computed', '2 shared', '2 fetched'],
  );
  assert.equal(sent?.form, 'float16');
  assert.notDeepEqual(taken[0], rows);
  for (const values of taken) assert.deepEqual(values, roundedBlock(rows, 8, 'float16'));
});
