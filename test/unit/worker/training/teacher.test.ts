import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDeferred, type Deferred } from '../../../../core/deferred.ts';
import { FleetError } from '../../../../core/errors.ts';
import { createTeacherFeed, type StoredNetwork } from '../../../../worker/training/teacher.ts';

const stored = (embedding: number): StoredNetwork => ({
  network: { kind: 'mobilefacenet', embedding },
  weights: new Float32Array(4),
  running: new Float32Array(2),
  digest: `of ${embedding}`,
});

/** A feed over stages that the test stores when it likes; embeddings never run here. */
function feed(
  options: { stages?: number; schedule?: 'multi-step' | 'single-step'; embedding?: number } = {},
) {
  const arrivals = new Map<number, Deferred<StoredNetwork>>();
  const arrival = (stage: number) => {
    const deferred = arrivals.get(stage) ?? createDeferred<StoredNetwork>();
    arrivals.set(stage, deferred);
    return deferred;
  };
  const asked: number[] = [];
  const told: (number | undefined)[] = [];
  const present = new Set<number>();
  const teacher = createTeacherFeed({
    teacherRunId: 'run-t',
    teacherStages: options.stages ?? 3,
    schedule: options.schedule ?? 'multi-step',
    batch: 2,
    embedding: 8,
    compute: {} as never,
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
  return { teacher, asked, told, store, arrival };
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
