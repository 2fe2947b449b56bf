// The plan of the passes of a teacher, by what an image costs each way.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sharingIn, type TextStudent } from '../../../../coordinator/api/shared-passes.ts';
import { countRows, rowsText } from '../../../../coordinator/scheduling/image-rows.ts';
import { planSharing, sharingText } from '../../../../coordinator/scheduling/sharing.ts';
import { shardSamples } from '../../../../core/data/loading/sampler.ts';
import type { TeacherSchedule } from '../../../../core/spec/distillation.ts';
import { student } from '../../../sim/specs.ts';

const of = (count: number, workers: number, teacher = 12.08e9) =>
  planSharing({ teacher, students: new Array(count).fill(0.85e9 / 3), workers });

test('eight students of S-128 and IResNet-100: a pass each, one a worker, one for all', () => {
  const plan = of(8, 4);
  assert.equal(plan.chosen, 'stream');
  assert.deepEqual(plan.passes, { own: 8, worker: 4, stream: 1 });
  assert.ok(Math.abs(plan.costs.own / 1e9 - (8 * 12.08 + 8 * 0.85)) < 1e-9);
  assert.ok(Math.abs(plan.costs.stream / 1e9 - (12.08 + 8 * 0.85)) < 1e-9);
  assert.equal(
    sharingText(plan),
    'an image costs 103.44 GMAC with a pass each, 55.12 GMAC with 4 passes, one a worker, 18.88 GMAC with one for all (by multiply-adds; a pass is 14.2 steps)',
  );
});

test('one student, one worker, or a pass that costs less than a step: nothing to gain from a stream', () => {
  assert.equal(of(1, 4).chosen, 'worker');
  assert.equal(of(8, 1).chosen, 'worker');
  assert.equal(of(8, 4, 0.8e9).chosen, 'worker');
  assert.equal(
    sharingText(of(1, 1)),
    'an image costs 12.93 GMAC with its own pass (by multiply-adds; a pass is 14.2 steps)',
  );
});

/** It has as many stages as its students have epochs; nothing was measured, and no rows are kept. */
const TEACHER = {
  ...{ adds: 1e9, stages: student('t').training.epochs, embedding: 128, images: 1_000 },
  ...{ attached: 4, deviceClass: undefined, observed: {} },
};

test('students of a text share by order, and what they ask for is done', () => {
  const { data, training } = student('t');
  const named = (name: string, change: Partial<TextStudent> = {}): TextStudent => ({
    ...{ name, data, digest: undefined, training: { ...training, order: 1 }, adds: 1e8, workersMax: 1 },
    ...{ distillation: { schedule: 'multi-step' }, ...change },
  });
  const students = [
    named('a'),
    named('b', { training: { ...training, order: 1, seed: 9 } }),
    named('c', { training: { ...training, order: 2 } }),
    named('d', { distillation: { schedule: 'multi-step', share: 'own' } }),
  ];
  const passes = (attached: number) =>
    [...sharingIn(students, { ...TEACHER, attached })].map(([name, shared]) => [name, shared.passes]);
  assert.deepEqual(passes(4), [
    ['a', 0.5],
    ['b', 0.5],
    ['c', 1],
    ['d', 1],
  ]);
  assert.deepEqual(passes(0), [
    ['a', 0.5],
    ['b', 0.5],
    ['c', 1],
    ['d', 1],
  ]);
  const kept = students.map((one) => ({
    ...one,
    distillation: { ...one.distillation, share: 'worker' as const },
  }));
  const [first] = sharingIn(kept, { ...TEACHER, attached: 2 }).values();
  assert.equal(first!.passes, 2 / 3);
  assert.match(first!.note, /^3 students of one order share passes \(worker\): an image costs /);
});

test('where steps and passes were measured, seconds decide, which need not follow multiply-adds', () => {
  const seconds = { pass: 0.227, step: 0.0335 };
  const measured = (of: Partial<typeof seconds>) => ({
    deviceClass: 'cpu',
    secondsOf: (kind: 'pass' | 'step', on: string) => (on === 'cpu' ? of[kind] : undefined),
  });
  const order = { teacher: 12.08e9, students: new Array(8).fill(0.85e9 / 3), workers: 4 };
  const plan = planSharing({ ...order, measured: measured(seconds) });
  assert.equal(plan.chosen, 'stream');
  assert.equal(
    sharingText(plan),
    'an image costs 2.08e+3 ms with a pass each, 1.18e+3 ms with 4 passes, one a worker, 495 ms with one for all (measured; a pass is 6.8 steps)',
  );
  // A device on which the small network is the slow one: fetching is not worth it.
  assert.equal(planSharing({ ...order, measured: measured({ pass: 0.01, step: 0.02 }) }).chosen, 'worker');
  // As long as one of them was not measured, multiply-adds count.
  for (const half of [{ pass: 0.01 }, { step: 0.02 }])
    assert.equal(planSharing({ ...order, measured: measured(half) }).unit, 'multiply-adds');
});

test('rows of images are kept where that takes fewer passes than batches do, and fit', () => {
  const { training } = student('t');
  const order = (schedule: TeacherSchedule, epochs = 26) => ({
    schedule,
    training: { ...training, epochs, flip: true },
  });
  const count = (
    orders: readonly ReturnType<typeof order>[],
    { workers = 1, isShared = true, bytesMax = 1 << 30 } = {},
  ) =>
    countRows({
      ...{ orders, workers, isShared, bytesMax },
      ...{ teacherStages: 26, images: 500_000, embedding: 128 },
    });
  const single = count([order('single-step')]);
  assert.deepEqual([single.byBatch, single.byImage, single.isWorthIt], [26, 2, true]);
  assert.equal(single.bytes, 500_000 * 2 * (128 * 4 + 1));
  assert.equal(count([order('single-step')], { workers: 4 }).byImage, 2, 'workers have rows of each other');
  assert.equal(count([order('single-step')], { isShared: false }).byImage, 2, 'one worker has all');
  assert.equal(count([order('single-step')], { bytesMax: 1 << 20 }).isWorthIt, false, 'no room');
  assert.equal(count([order('multi-step')]).isWorthIt, false, 'each stage is used once');
  const several = count(new Array(8).fill(order('multi-step')));
  assert.deepEqual([several.byBatch, several.byImage], [8 * 26, 2 * 26]);
  assert.equal(
    rowsText(several, 1 << 30),
    'by image 52 passes over the images in place of 208 (8 orders); the rows of a stage take 489.2 MiB of 1.0 GiB',
  );
  const one = {
    ...{ name: 'a', data: student('t').data, digest: undefined, adds: 1e8, workersMax: 1 },
    training: order('single-step').training,
    distillation: { schedule: 'single-step' as const },
  };
  const kept = { ...TEACHER, stages: 26, observed: { imageRowsBytes: 1 << 30 } };
  const shared = sharingIn([one], kept).get('a')!;
  assert.equal(shared.passes, 2 / 26);
  assert.match(
    shared.note,
    /0\.08 passes, each image kept .*by image 2 passes .* in place of 26 \(one order\)/,
  );
  const byBatch = { ...one, distillation: { ...one.distillation, embed: 'by-batch' as const } };
  assert.equal(sharingIn([byBatch], kept).get('a')!.passes, 1);
});

test('kept rows are counted once for all workers that have them of each other, and else once a worker', () => {
  const { training, data } = student('t');
  const of = (share: 'worker' | undefined) => {
    const students = ['a', 'b', 'c', 'd'].map((name, seed) => ({
      // A pass costs less than a step, so that they share on a worker.
      ...{ name, data, digest: undefined, adds: 1e10, workersMax: 1 },
      training: { ...training, epochs: 26, flip: true, order: 1, seed },
      distillation: { schedule: 'single-step' as const, share },
    }));
    const observed = { imageRowsBytes: 1 << 30 };
    return sharingIn(students, { ...TEACHER, stages: 26, observed }).get('a')!;
  };
  // 4 students of 3 x 10 GMAC, passes of 1 GMAC.
  assert.equal(of(undefined).passes, 2 / 26 / 4);
  assert.match(
    of(undefined).note,
    /share passes \(worker\): .*, 120\.08 GMAC with 0\.08 passes, each image kept/,
  );
  assert.equal(of('worker').passes, 2 / 26);
  assert.match(of('worker').note, /, 120\.31 GMAC with 0\.31 passes, each image kept .*by image 2 passes/);
});

test('without rows of each other workers compute about as many passes as a walk over the batches finds', () => {
  const images = 4096;
  const { training } = student('t');
  for (const flip of [true, false])
    for (const [workers, epochs, batch] of [
      [2, 26, 16],
      [4, 26, 16],
      [4, 10, 16],
      [2, 26, 64],
    ] as const) {
      const of = { ...training, epochs, flip, shards: 4, batch: 4 * batch };
      const { byImage } = countRows({
        orders: [{ schedule: 'single-step', training: of }],
        ...{ workers, isShared: false, bytesMax: 1 << 30, teacherStages: 3, images, embedding: 8 },
      });
      const found = walked({ images, epochs, workers, batch, flip });
      assert.ok(
        Math.abs(byImage / found - 1) < 0.03,
        `${workers}, ${epochs}, ${batch}: ${byImage}, ${found}`,
      );
      assert.ok(byImage > 2 * workers, 'more than two for each worker');
    }
});

/** Passes over the images of workers that keep what they compute, each by itself: with four shards, batch by batch. */
function walked(of: {
  images: number;
  epochs: number;
  workers: number;
  batch: number;
  flip: boolean;
}): number {
  const { images, epochs, workers, batch, flip } = of;
  const stepsTotal = (epochs * images) / (4 * batch);
  const schedule = { images, batch: 4 * batch, shards: 4, epochs, roundSteps: 1, stepsTotal };
  const kept = Array.from({ length: workers }, () => new Set<number>());
  let passes = 0;
  for (let step = 0; step < stepsTotal; step++)
    for (let shard = 0; shard < 4; shard++) {
      const own = kept[Math.floor((shard * workers) / 4)]!;
      const samples = shardSamples({ schedule, seed: 1, step, shard, flip });
      const rowOf = (index: number, isMirrored: boolean) => 2 * index + (isMirrored ? 1 : 0);
      const lacked = samples.filter((one) => !own.has(rowOf(one.index, one.flip)));
      if (lacked.length === 0) continue;
      passes += batch / images;
      for (const one of lacked) own.add(rowOf(one.index, one.flip));
      const others = samples.filter((one) => flip && !own.has(rowOf(one.index, !one.flip)));
      for (const one of others.slice(0, batch - lacked.length)) own.add(rowOf(one.index, !one.flip));
    }
  return passes;
}
